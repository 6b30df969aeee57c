"""``teleward up --stack native`` as its user meets it: up, a device let in, a part killed, asked how it is, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from natives import connected, installed, refusal, trusting

from transport.mqtt import MqttSettings, PublishRefusedError
from vitals import topics

pytestmark = pytest.mark.integration

TELEWARD = (sys.executable, "-m", "deploy.cli")


class Up:
    """The command while it runs, and what it has said."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.lines = folder, []
        self._said = threading.Condition()
        ports = [word for name in ("port", "mqtt-port", "kafka-port", "influx-port") for word in (f"--{name}", "0")]
        self.process = subprocess.Popen(
            [*TELEWARD, "up", "--stack", "native", "--folder", str(folder), "--json", *ports, *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout as output:
            for line in output:
                with self._said:
                    self.lines.append(line.rstrip())
                    self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def says(self, words: str) -> str:
        """The first line with these words; waits for it as long as the command lives."""
        with self._said:
            while True:
                found = [line for line in self.lines if words in line]
                if found:
                    return found[0]
                assert self._reader.is_alive(), "\n".join(self.lines)
                self._said.wait(1)

    @property
    def state(self) -> dict:
        return json.loads((self.folder / "stack.json").read_text())

    def end(self) -> dict:
        """Ctrl-C; what it ends with."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait() == 0, "\n".join(self.lines)
        self._reader.join()
        return json.loads(self.lines[-1])


def teleward(*words: str) -> tuple[int, str]:
    done = subprocess.run([*TELEWARD, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def asked(folder: Path) -> dict[str, str]:
    """What the doctor finds wrong, by its name."""
    status, said = teleward("doctor", "--folder", str(folder), "--json")
    findings = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    wrong = {one["what"]: one["text"] for one in findings["findings"] if not one["well"]}
    assert (status == 0) == (not wrong) == findings["well"]
    return wrong


def found(folder: Path, what: str) -> str:
    """What the doctor says of one thing, be the others well or not."""
    said = teleward("doctor", "--folder", str(folder), "--json")[1]
    findings = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    return next((one["text"] for one in findings["findings"] if one["what"] == what), "")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    installed()
    one = Up(tmp_path_factory.mktemp("stack"), "--workers", "2", "--tls-host", "localhost", "--tls-port", "0")
    try:
        one.says("Ctrl-C stops it")
        yield one
    finally:
        if one.process.poll() is None:
            one.end()


def test_everything_is_well_once_it_says_that_it_is_up(up: Up) -> None:
    assert asked(up.folder) == {}
    assert set(up.state["parts"]) >= {"bridge", "monitoring-0", "monitoring-1", "storing", "console"}


async def test_a_device_that_was_added_comes_in_by_tls_and_only_as_itself(up: Up) -> None:
    status, said = teleward("device", "add", "wrist-1", "--folder", str(up.folder), "--json")
    assert status == 0, said
    made = json.loads(said.splitlines()[-1])
    assert made["told"]
    settings = MqttSettings(
        "wrist-1", host="localhost", port=up.state["tls_port"], username="wrist-1", password=made["password"],
        tls=trusting(Path(made["authority"])), reconnect_min_s=0.01, reconnect_max_s=0.05,
    )  # fmt: skip
    async with connected(settings) as client:
        now = time.time_ns()
        bundle = {
            "v": 1,
            "device": "wrist-1",
            "boot": 1,
            "seq": 0,
            "sent_ns": now,
            "n": 0,
            "n_before": 0,
            "readings": [],
        }
        await client.publish(topics.bundle_topic("wrist-1"), json.dumps(bundle).encode())
        with pytest.raises(PublishRefusedError):
            await client.publish(topics.bundle_topic("wrist-2"), json.dumps(bundle).encode())
    stranger = MqttSettings(
        "wrist-1", host="localhost", port=up.state["tls_port"], username="wrist-1", password="guessed",
        tls=trusting(Path(made["authority"])), reconnect_min_s=0.01, reconnect_max_s=0.05,
    )  # fmt: skip
    assert "uthori" in await refusal(stranger)


def test_a_device_that_exists_is_not_given_away_again(up: Up) -> None:
    assert teleward("device", "add", "wrist-9", "--folder", str(up.folder))[0] == 0
    status, said = teleward("device", "add", "wrist-9", "--folder", str(up.folder))
    assert status == 1
    assert "wrist-9" in said
    assert "renew" in said
    assert teleward("device", "remove", "wrist-9", "--folder", str(up.folder))[0] == 0
    assert "wrist-9" not in teleward("device", "list", "--folder", str(up.folder))[1]


@pytest.mark.parametrize("part", ["bridge", "monitoring-1", "storing", "console"])
def test_a_part_that_is_killed_is_started_again(up: Up, part: str) -> None:
    pid = json.loads((up.folder / "pulse" / f"{part}.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    assert re.search("killed by signal 9; it is started again in", up.says(f"{part} was killed"))
    up.says(f"{part} is up again")
    assert json.loads((up.folder / "pulse" / f"{part}.json").read_text())["pid"] != pid


def test_a_second_stack_in_the_same_folder_is_refused_in_words(up: Up) -> None:
    status, said = teleward("up", "--stack", "native", "--folder", str(up.folder))
    assert status == 1
    assert "--folder" in said


def test_it_stops_in_order_keeps_what_it_holds_and_starts_again(up: Up) -> None:
    ended = up.end()
    assert ended["restarts"]["bridge"] == 1
    left = [line for name in ("pulse/bridge.json", "stack.json") for line in [up.folder / name] if line.exists()]
    assert left == []
    assert list(asked(up.folder)) == ["stack"]
    again = Up(up.folder, "--workers", "1", "--speed", "20")
    try:
        again.says("Ctrl-C stops it")
        assert not [line for line in again.lines if line.startswith("made the topic")]
        devices = teleward("device", "list", "--folder", str(up.folder))[1]
        assert "wrist-1" in devices
        assert topics.SYNTHETIC_DEVICE not in devices
        assert teleward("device", "remove", topics.SYNTHETIC_DEVICE, "--folder", str(up.folder))[0] == 1
        trial = ""
        while "to come" in (trial := found(up.folder, "test patient")) or not trial:
            assert again.process.poll() is None
        assert re.fullmatch(r"its alarm was answered \d+\.\d s after it was raised; 0 of 1 failed", trial)
    finally:
        again.end()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stack", "cloud"), "it takes embedded, native or compose"),
        (("--stack", "native", "--workers", "9"), "4 partitions keep 1 to 4"),
        (("--stack", "native", "--store", "paper"), "it takes influx or sqlite"),
        (("--speed", "0"), "must be above 0"),
    ],
)
def test_what_cannot_be_is_said(options: tuple[str, ...], words: str) -> None:
    status, said = teleward("up", *options)
    assert status == 2
    assert words in " ".join(said.replace("│", " ").split())


def test_without_an_engine_compose_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, said = teleward("up", "--stack", "compose")
    assert status == 1
    assert "no engine for containers is at hand" in " ".join(said.split())
