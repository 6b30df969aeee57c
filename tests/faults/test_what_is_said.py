"""A server that hangs: the page says in words what does not work while it does not, and nothing once it does again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import natives
import pytest
from integration.test_up import Up, asked

from dashboards.console.auth import CSRF_HEADER, CSRF_VALUE

pytestmark = [pytest.mark.integration, pytest.mark.long_faults]

_BEAT_S = 60.0
_MADE = re.compile(r"made the account (?P<name>\S+) of the page, password (?P<password>\S+)")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    natives.installed()
    one = Up(tmp_path_factory.mktemp("stack"), "--simulate", "demo", "--speed", "5")
    try:
        one.says("Ctrl-C stops it")
        yield one
    finally:
        if one.process.poll() is None:
            one.end()


Problems = dict[str, str]


@contextmanager
def page(up: Up) -> Iterator[Callable[[Callable[[Problems], bool]], Problems]]:
    """``until(holds)``: the page's problems, by part, once they are so."""
    made = _MADE.search(up.says("made the account"))
    assert made is not None
    address = up.state["page"]
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_BEAT_S)
    headers = {"content-type": "application/json", "origin": address.rstrip("/"), CSRF_HEADER: CSRF_VALUE}
    connection.request("POST", "/api/sign-in", json.dumps(made.groupdict()), headers)
    answer = connection.getresponse()
    cookie = (answer.getheader("set-cookie") or "").split(";")[0]
    assert answer.status == http.client.OK, answer.read()
    answer.read()
    connection.request("GET", "/events", headers={"cookie": cookie})
    stream = connection.getresponse()

    def until(holds: Callable[[Problems], bool]) -> Problems:
        while True:
            line = stream.readline()
            assert line, "the page's stream ended"
            if line.startswith(b"data: ") and b'"problems"' in line:
                told = {one["part"]: one["text"] for one in json.loads(line[6:])["problems"]}
                if holds(told):
                    return told

    yield until
    connection.close()


def pid_of(up: Up, words: str) -> int:
    """The process of a server, by what its command line holds beside the stack's folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if words in command and str(up.folder) in command:
                return int(process.name)
    raise AssertionError(f"no process of {words}")


@pytest.mark.parametrize(
    ("server", "part", "words"),
    [
        ("influxd run", "storing", "the store has taken nothing"),
        ("mosquitto.conf", "bridge", "MQTT broker"),
        ("kafka.Kafka", "pipeline", "Ward time stands still"),
    ],
)
def test_the_page_says_what_does_not_work_and_forgets_it(up: Up, server: str, part: str, words: str) -> None:
    with page(up) as until:
        until(lambda told: part not in told)
        pid = pid_of(up, server)
        os.kill(pid, signal.SIGSTOP)
        try:
            said = until(lambda told: part in told)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert words in said[part]
        until(lambda told: part not in told)
    assert not {"kafka", "mqtt", "influxdb"} & asked(up.folder).keys()
