"""What a part is told by its environment, and its pulse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.brokers.mosquitto import Role
from deploy.clock import WallClock
from deploy.devices import Accounts
from deploy.parts import pulse
from deploy.parts.environment import Environment, SettingError
from deploy.parts.on_servers import store_address, ward_parts, ward_variables
from deploy.parts.pulse import Beat, Pulse, feel


def test_a_bridge_reads_its_password_from_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "bridge"
    kept.write_text("sesame\n")
    told = Environment({"TELEWARD_MQTT_PASSWORD_FILE": str(kept), "TELEWARD_MQTT_USER": "bridge"})
    assert told.bridge().mqtt.password == "sesame"
    with pytest.raises(SettingError, match=r"TELEWARD_MQTT_PASSWORD_FILE names .*nowhere"):
        Environment({"TELEWARD_MQTT_PASSWORD_FILE": str(tmp_path / "nowhere")}).bridge()


def test_an_authority_that_is_none_is_said(tmp_path: Path) -> None:
    wrong = tmp_path / "authority.pem"
    wrong.write_text("no certificate")
    with pytest.raises(SettingError, match="TELEWARD_MQTT_CA"):
        Environment({"TELEWARD_MQTT_CA": str(wrong)}).bridge()


def test_numbers_that_are_none_are_said_by_name() -> None:
    with pytest.raises(SettingError, match="TELEWARD_PARTITIONS is 'many'"):
        Environment({"TELEWARD_PARTITIONS": "many"}).partitions()
    with pytest.raises(SettingError, match="TELEWARD_SESSION_S is 0"):
        Environment({"TELEWARD_SESSION_S": "0"}).stream("monitoring")


def test_the_wall_is_the_clock_unless_a_trial_says_otherwise() -> None:
    assert Environment({}).clock().speed == 1
    fast = Environment({"TELEWARD_CLOCK": "20@1000"}).clock()
    assert isinstance(fast, WallClock)
    assert (fast.speed, fast.since_ns) == (20, 1000)
    for wrong in ("fast", "20", "0@1", "20@soon"):
        with pytest.raises(SettingError, match="SPEED@NANOSECONDS"):
            Environment({"TELEWARD_CLOCK": wrong}).clock()


def test_a_store_that_is_none_is_said() -> None:
    for wrong in ("redis:6379", "", "influx:127.0.0.1", "sqlite:///"):
        with pytest.raises(SettingError, match=r"TELEWARD_STORE: .* is no address of a store; write influx:http://"):
            Environment({"TELEWARD_STORE": wrong}).store()


async def test_a_pulse_is_felt_while_it_beats_and_missed_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "pulse" / "bridge.json"
    said = ("ok", "12 bundles")
    async with Pulse(str(path), lambda: said):
        assert feel(path) == ""
    assert "not running" in feel(path)


@pytest.mark.parametrize(
    ("beat", "words"),
    [
        (Beat(1, 990.0, "ok", ""), "silent for 10 s"),
        (Beat(1, 5000.0, "ok", ""), "before a restart"),
        (Beat(1, 1000.0, "slow", "Kafka does not answer"), "it says: Kafka does not answer"),
    ],
)
def test_a_pulse_that_is_not_well_is_told_in_words(
    beat: Beat, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    path = tmp_path / "bridge.json"
    path.write_bytes(msgspec.json.encode(beat))
    monkeypatch.setattr(pulse.time, "monotonic", lambda: 1000.4)
    assert words in feel(path)


def test_a_pulse_that_is_broken_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bridge.json"
    path.write_bytes(b"\xff{")
    assert "cannot be read" in feel(path)


def test_parts_on_servers_of_this_machine_are_told_where_they_are_and_stop_in_order(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "users")
    servers = SimpleNamespace(
        bootstrap="127.0.0.1:2", mqtt_port=1, influx_url="http://127.0.0.1:3", mqtt=SimpleNamespace(accounts=accounts),
        password=accounts.own,
    )  # fmt: skip
    assert store_address(servers, "sqlite", tmp_path) == f"sqlite:///{tmp_path / 'ward.sqlite'}"
    store = store_address(servers, "influx", tmp_path)
    told = ward_variables(servers, 5, store)
    read = Environment(told)
    assert read.kafka("x").bootstrap == "127.0.0.1:2"
    assert read.partitions() == 5
    assert "http://127.0.0.1:3/" in store
    bridge = read.bridge()
    assert (bridge.mqtt.host, bridge.mqtt.port, bridge.mqtt.username) == ("127.0.0.1", 1, bridge.bridge)
    assert bridge.mqtt.password == accounts.own(bridge.bridge, Role.BRIDGE)
    parts = ward_parts(tmp_path, told, 2, "console", "pager")
    assert [part.name for part in parts] == ["bridge", "monitoring-0", "monitoring-1", "storing", "console", "pager"]
    assert len({part.pulse for part in parts}) == len(parts)
