"""The same recording tells the same alarm events by the embedded brokers and by Mosquitto and Apache Kafka."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import natives
import pytest

from deploy import ward_process
from deploy.embedded import EmbeddedSettings
from deploy.kafka_topics import ensure, plan
from deploy.native.kafka import QUICK_START
from deploy.native.servers import Kafka, Mosquitto
from deploy.replay import through_stream, through_ward
from deploy.replay_source import open_source
from vitals.digest import digest

pytestmark = pytest.mark.integration

PATIENTS = 4
FALLS_ILL_S = 60
NOTHING = lambda _done, _of: None  # noqa: E731


class OpenMosquitto(Mosquitto):
    """One that asks nobody for a name, as the embedded broker does."""

    async def _prepare(self, port: int) -> list[str]:
        command = await super()._prepare(port)
        config = self.folder / "mosquitto.conf"
        lines = config.read_text(encoding="utf-8").splitlines()
        names = ("allow_anonymous", "password_file", "acl_file", "use_username_as_clientid")
        kept = [line for line in lines if not line.startswith(names)]
        config.write_text("\n".join([*kept, "allow_anonymous true", ""]), encoding="utf-8")
        return command


class RealBrokers:
    """What the ward of one process takes for its brokers, made of real servers."""

    def __init__(self, settings: EmbeddedSettings, folder: Path) -> None:
        there = natives.installed()
        self._partitions = max(settings.topics.values())
        self.mqtt = OpenMosquitto(folder / "mosquitto", there.mosquitto)
        self.kafka = Kafka(folder / "kafka", there.java, there.kafka_libs, jvm=QUICK_START)

    @property
    def mqtt_port(self) -> int:
        return self.mqtt.port

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    async def __aenter__(self) -> Self:
        await self.kafka.start()
        await self.mqtt.start()
        await ensure(self.bootstrap, plan(partitions=self._partitions))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mqtt.stop()
        await self.kafka.stop()


def recording(path: Path) -> Path:
    """Twenty minutes of some patients, a row each 20 s; all but the first fall ill, one after the other."""
    lines = ["patient,t_s,hr,spo2,resp,sbp,temp_c"]
    for k in range(PATIENTS):
        for second in range(0, 1200, 20):
            ill = min(1.0, max(0.0, (second - FALLS_ILL_S - 60 * k) / 200)) if k else 0.0
            wave = math.sin(second / 70 + k)
            sbp = f"{122 - 48 * ill:.0f}" if second % 300 == 0 else ""
            temp = f"{36.7 + 2.4 * ill:.1f}" if second % 600 == 0 else ""
            hr, spo2, resp = 74 + 4 * wave + 66 * ill, 97 - 14 * ill, 15 + wave + 16 * ill
            lines.append(f"p-{k},{second},{hr:.1f},{spo2:.1f},{resp:.1f},{sbp},{temp}")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


async def test_the_same_recording_tells_the_same_alarms_on_both(tmp_path, monkeypatch):
    source = open_source(recording(tmp_path / "night.csv"))
    embedded, by_embedded = await through_stream(source, None, NOTHING)
    monkeypatch.setattr(ward_process, "EmbeddedStack", lambda settings: RealBrokers(settings, tmp_path / "servers"))
    native, by_native = await through_stream(source, None, NOTHING)
    assert digest(native) == digest(embedded) == digest(through_ward(source, None, NOTHING).events)
    assert {event.rule for event in native if event.event == "raised"} >= {"spo2-low", "news2"}
    assert by_native["readings"] == by_embedded["readings"] > 0
    assert by_native["ledger"] == by_embedded["ledger"]
