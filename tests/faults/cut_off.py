"""Networks of their own for parts, whose cables can be pulled: namespaces and virtual interfaces (root, Linux).

```
  namespace of a part                   this machine
    to-kafka  10.213.N.K  ---cable---   a switch, 10.213.N.1     Kafka's proxy
    to-mqtt   10.213.M.K  ---cable---   a switch, 10.213.M.1     Mosquitto's proxy
```

A pulled cable loses packets and tells nobody. What was made is taken away at the end, and what a killed run left behind
at the next start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_NAME = "tlw"  # an interface's name has 15 letters at most
_FIRST_NET = 16
_LISTED = re.compile(r"^\d+: (?P<name>[^:@]+)", re.MULTILINE)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_not() -> str:
    """What keeps us from making networks here, in words; "" where nothing does."""
    if os.geteuid() != 0:
        return "a network of its own takes root"
    if shutil.which("ip") is None:
        return "the command ip is missing (Debian: apt-get install iproute2)"
    return ""


def _sweep() -> None:
    """Take away what runs left behind that no longer live."""
    for name in _LISTED.findall(_ip("-o", "link", "show", "type", "bridge")):
        if name.startswith(_NAME) and not _lives(name):
            _ip("link", "delete", name)
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(_NAME) and not _lives(name):
            _ip("netns", "delete", name)


def _lives(name: str) -> bool:
    owner = name.removeprefix(_NAME).split("-")[0]
    return owner.isdigit() and Path(f"/proc/{owner}").exists()


class Cables:
    """``with Cables(ways, parts) as cables``: a switch for each way, and a namespace for each part."""

    def __init__(self, ways: Sequence[str], parts: Sequence[str]) -> None:
        """Nothing is made before it is entered.

        Args:
            ways: What is led over networks of its own.
            parts: Who gets a cable of each.
        """
        self._ways, self._parts = list(ways), list(parts)
        self._own = f"{_NAME}{os.getpid()}"
        self._nets: dict[str, int] = {}

    def __enter__(self) -> Self:
        _sweep()
        try:
            for number, way in enumerate(self._ways):
                self._nets[way] = _FIRST_NET + (os.getpid() * len(self._ways) + number) % 200
                switch = self._switch(way)
                _ip("link", "add", switch, "type", "bridge")
                _ip("address", "add", f"{self.address(way)}/24", "dev", switch)
                _ip("link", "set", switch, "up")
            for part in self._parts:
                _ip("netns", "add", self._space(part))
                _ip("-n", self._space(part), "link", "set", "lo", "up")
                for way in self._ways:
                    self._lay(way, part)
        except BaseException:
            self._away()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._away()

    def address(self, way: str) -> str:
        """Of this machine on a way's network."""
        return f"10.213.{self._nets[way]}.1"

    def inside(self, part: str) -> list[str]:
        """What goes before a command that shall live in a part's network."""
        ip = shutil.which("ip")
        assert ip is not None
        return [ip, "netns", "exec", self._space(part)]

    def pull(self, way: str, part: str) -> None:
        """Nothing goes over a part's cable any more."""
        _ip("link", "set", self._cable(way, part), "down")

    def plug(self, way: str, part: str) -> None:
        """As before."""
        _ip("link", "set", self._cable(way, part), "up")

    def _lay(self, way: str, part: str) -> None:
        cable, space = self._cable(way, part), self._space(part)
        _ip("link", "add", cable, "type", "veth", "peer", "name", f"to-{way}", "netns", space)
        _ip("link", "set", cable, "master", self._switch(way), "up")
        address = f"10.213.{self._nets[way]}.{2 + self._parts.index(part)}/24"
        _ip("-n", space, "address", "add", address, "dev", f"to-{way}")
        _ip("-n", space, "link", "set", f"to-{way}", "up")

    def _switch(self, way: str) -> str:
        return f"{self._own}-s{self._ways.index(way)}"

    def _cable(self, way: str, part: str) -> str:
        return f"{self._own}-{self._ways.index(way)}{self._parts.index(part)}"

    def _space(self, part: str) -> str:
        return f"{self._own}-n{self._parts.index(part)}"

    def _away(self) -> None:
        there = set(_LISTED.findall(_ip("-o", "link", "show")))
        spaces = {line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()}
        for way in self._ways:
            for part in self._parts:
                if self._cable(way, part) in there:  # its other end, in the namespace, goes with it
                    _ip("link", "delete", self._cable(way, part))
            if self._switch(way) in there:
                _ip("link", "delete", self._switch(way))
        for part in self._parts:
            if self._space(part) in spaces:
                _ip("netns", "delete", self._space(part))
