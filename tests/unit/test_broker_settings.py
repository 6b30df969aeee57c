"""Mosquitto's configuration and rules, accounts, topics as planned, what is missing: all without a server."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from deploy.brokers import values
from deploy.brokers.mosquitto import BrokerFiles, Listener, Role, Tls, configuration, rules
from deploy.devices import AccountError, Accounts, hash_password, tell_broker
from deploy.kafka_topics import Difference, plan
from deploy.native.installed import Installed, java_version, look, mosquitto_version, stack_folder
from deploy.native.kafka import Kafka
from transport.kafka import KafkaSettings
from vitals import topics, wire

FILES = BrokerFiles("/data", "/users/passwords", "/users/rules")
TLS = Tls("/ca.pem", "/server.pem", "/server.key")


def settings(text: str) -> list[tuple[str, str]]:
    """Key and value of each line that says something."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


class TestConfiguration:
    def test_nothing_acknowledged_is_dropped_and_nobody_comes_in_without_a_name(self):
        said = dict(settings(configuration(FILES, (Listener("127.0.0.1", 1883),))))
        assert said["max_queued_bytes"] == "0"
        assert int(said["max_queued_messages"]) >= 1_000_000_000
        assert said["allow_anonymous"] == "false"
        assert said["persistence"] == "true"
        assert (said["password_file"], said["acl_file"]) == (FILES.passwords, FILES.rules)
        assert said["persistence_location"] == "/data/"
        assert int(said["autosave_interval"]) * 3 <= wire.RESEND_S

    def test_everything_was_filled_in(self):
        text = configuration(FILES, (Listener("127.0.0.1", 1883),), user="somebody", pid_file="/run/x.pid")
        assert not re.search(r"^[^#]*\$", text, re.MULTILINE)
        assert ("user", "somebody") in settings(text)
        assert ("pid_file", "/run/x.pid") in settings(text)

    def test_a_session_is_named_after_its_user_on_every_listener(self):
        listeners = (Listener("127.0.0.1", 1883), Listener("10.0.0.1", 8883, TLS))
        rows = settings(configuration(FILES, listeners))
        keys = [key for key, _ in rows]
        first, second = (at for at, key in enumerate(keys) if key == "listener")
        assert keys[first + 1] == keys[second + 1] == "use_username_as_clientid"
        assert ("certfile", "/server.pem") in rows[second:]
        assert "certfile" not in keys[first:second]

    def test_a_client_certificate_is_asked_for_where_it_names_the_user(self):
        tls = Tls("/ca.pem", "/server.pem", "/server.key", client_certificates=True)
        rows = settings(configuration(FILES, (Listener("10.0.0.1", 8883, tls),)))
        assert {("require_certificate", "true"), ("use_identity_as_username", "true")} <= set(rows)

    @pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.4", "::", "broker.example"])
    def test_a_listener_that_others_can_reach_has_tls(self, host):
        with pytest.raises(ValueError, match="TLS"):
            Listener(host, 1883)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
    def test_loopback_may_go_without(self, host):
        assert Listener(host, 1883).tls is None

    def test_a_path_can_not_smuggle_a_setting_in(self):
        with pytest.raises(ValueError, match=r"mosquitto\.conf"):
            configuration(BrokerFiles("/d\nallow_anonymous true", "/p", "/r"), (Listener("127.0.0.1", 1883),))

    def test_without_a_listener_there_is_no_broker(self):
        with pytest.raises(ValueError, match="listener"):
            configuration(FILES, ())


class TestRules:
    def test_a_device_has_the_one_pattern_and_nothing_else(self):
        text = rules({"dev-1": Role.DEVICE})
        assert "pattern write teleward/v1/%u/bundle" in text
        assert "pattern read teleward/v1/clock" in text
        assert "dev-1" not in text

    def test_each_part_may_do_what_it_does(self):
        said = rules({"bridge": Role.BRIDGE, "player": Role.PLAYER, "watcher": Role.WATCHER})
        per_user = {block.splitlines()[0]: set(block.splitlines()[1:]) for block in said.split("\n\nuser ")[1:]}
        assert per_user == {
            "bridge": {
                "topic read teleward/v1/+/+",
                "topic write teleward/v1/bridge/probe",
                "topic write teleward/v1/clock",
                "topic write teleward/v1/+/mark/done",
            },
            "player": {
                "topic write teleward/v1/+/bundle",
                "topic write teleward/v1/player/mark",
                "topic write teleward/v1/player/arrivals",
                "topic read teleward/v1/player/mark/done",
            },
            "watcher": {"topic read $SYS/#"},
        }


class TestAccounts:
    def test_a_password_is_shown_once_and_kept_as_a_hash(self, tmp_path):
        accounts = Accounts(tmp_path)
        password = accounts.add("dev-1")
        everything = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
        assert password not in everything
        name, hashed = accounts.passwords.read_text().strip().split(":")
        assert name == "dev-1"
        assert re.fullmatch(r"\$7\$101\$[A-Za-z0-9+/=]{16}\$[A-Za-z0-9+/=]{88}", hashed)
        assert len(password) == 32

    def test_two_hashes_of_one_password_differ(self):
        assert hash_password("x") != hash_password("x")

    def test_files_are_their_owners_alone(self, tmp_path):
        accounts = Accounts(tmp_path)
        accounts.add("dev-1")
        accounts.own("bridge", Role.BRIDGE)
        files = (accounts.passwords, accounts.rules, tmp_path / "users.json", tmp_path / "own" / "bridge")
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}

    def test_a_name_is_taken_once(self, tmp_path):
        accounts = Accounts(tmp_path)
        first = accounts.add("dev-1")
        with pytest.raises(AccountError, match="exists already"):
            accounts.add("dev-1")
        assert accounts.add("dev-1", renew=True) != first

    def test_a_device_never_becomes_a_bridge(self, tmp_path):
        accounts = Accounts(tmp_path)
        accounts.add("bridge")
        with pytest.raises(AccountError, match="is a device already"):
            accounts.own("bridge", Role.BRIDGE)

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "+", "#", "a:b", "a\nb", "-a", "x" * 65])
    def test_a_name_that_could_mean_more_than_itself_is_refused(self, tmp_path, name):
        with pytest.raises(AccountError, match="can't be a name"):
            Accounts(tmp_path).add(name)

    def test_our_own_parts_get_the_same_password_each_time(self, tmp_path):
        password = Accounts(tmp_path).own("bridge", Role.BRIDGE)
        assert Accounts(tmp_path).own("bridge", Role.BRIDGE) == password

    def test_who_was_taken_away_is_in_no_file(self, tmp_path):
        accounts = Accounts(tmp_path)
        accounts.own("player", Role.PLAYER)
        accounts.remove("player")
        assert "player" not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
        assert accounts.users() == {}
        with pytest.raises(AccountError, match="no user"):
            accounts.remove("player")

    def test_a_broker_that_is_gone_is_not_told(self, tmp_path):
        assert not tell_broker(tmp_path / "none.pid")
        stale = tmp_path / "stale.pid"
        stale.write_text("1\n")  # somebody's, but no mosquitto
        assert not tell_broker(stale)


class TestTopics:
    def test_every_topic_of_the_house_is_planned(self):
        planned = {one.name: one for one in plan(partitions=6)}
        assert set(planned) == {topic.name for topic in topics.ALL}
        assert planned["teleward.input"].partitions == planned["teleward.snapshots"].partitions == 6
        assert planned["teleward.registry"].partitions == 1
        assert planned["teleward.registry"].config["cleanup.policy"] == "compact"
        assert planned["teleward.registry"].config["retention.ms"] == "-1"
        assert planned["teleward.input"].config["retention.ms"] == str(7 * 24 * 3_600_000)

    @pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
    def test_an_acknowledgement_means_all_copies_but_one(self, replication, in_sync):
        assert {one.config["min.insync.replicas"] for one in plan(replication=replication)} == {in_sync}

    def test_the_largest_record_that_we_send_fits(self):
        (limit,) = {int(one.config["max.message.bytes"]) for one in plan()}
        assert KafkaSettings("x").max_record_bytes < limit == int(values.KAFKA_BROKER["message.max.bytes"])

    def test_snapshots_are_bounded_in_bytes_and_nothing_else_is(self):
        bounded = {one.name for one in plan() if one.config["retention.bytes"] != "-1"}
        assert bounded == {topics.SNAPSHOTS.name}

    def test_a_difference_is_a_sentence(self):
        assert str(Difference("t", "partitions", "4", "8")) == "t: partitions is 4, should be 8"
        assert str(Difference("t", "existence", "", "there")) == "t does not exist"

    @pytest.mark.parametrize("numbers", [{"partitions": 0}, {"replication": 0}])
    def test_less_than_one_is_refused(self, numbers):
        with pytest.raises(ValueError, match="at least 1"):
            plan(**numbers)


class TestInstalled:
    @pytest.mark.parametrize(
        ("text", "version"),
        [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "1.8.0_362"', 8), ("no such thing", 0)],
    )
    def test_java_says_its_version(self, text, version):
        assert java_version(text) == version

    def test_mosquitto_says_its_version(self):
        assert mosquitto_version("mosquitto version 2.0.11\n\nmosquitto is an MQTT broker.") == (2, 0, 11)
        assert mosquitto_version("?") == ()

    def test_an_empty_machine_is_told_all_that_it_lacks_and_how_to_get_it(self, tmp_path):
        there = Installed(tmp_path, values.versions().native, java=None, mosquitto=None)
        said = [str(one) for one in there.missing()]
        assert [line.split(" is missing")[0].split()[0] for line in said] == ["Java", "Mosquitto", "Apache", "InfluxDB"]
        assert "apt-get install openjdk-17-jre-headless" in said[0]
        assert "apt-get install mosquitto" in said[1]
        assert all("make stack" in line for line in said[2:])

    def test_the_folder_is_the_checkouts_or_the_environments(self, tmp_path):
        assert stack_folder({}).name == ".stack"
        assert stack_folder({"TELEWARD_STACK": str(tmp_path)}) == tmp_path

    def test_java_of_an_empty_home_is_none(self, tmp_path):
        assert look(tmp_path, {"JAVA_HOME": str(tmp_path), "PATH": ""}).java is None

    def test_the_pom_names_no_version_of_its_own(self):
        pom = Path(values.__file__).parent.parent.joinpath("native", "pom.xml").read_text()
        inside = pom[pom.index("<dependencies>") :]
        assert re.findall(r"<version>(.*?)</version>", inside) == ["${kafka.version}", "${log4j.version}"]
        assert "://" not in pom


def test_no_id_of_a_cluster_is_taken_for_an_option(tmp_path, monkeypatch):
    """One in 64 random ids begins with a hyphen; Kafka's own tool then refuses to format the folder."""
    for first in range(256):
        monkeypatch.setattr(uuid, "uuid4", lambda first=first: uuid.UUID(bytes=bytes([first]) + bytes(15)))
        folder = tmp_path / str(first)
        folder.mkdir()
        made = Kafka(folder, Path("java"), Path("libs"))._cluster_id
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", made)
        assert Kafka(folder, Path("java"), Path("libs"))._cluster_id == made, "made once for a folder"
