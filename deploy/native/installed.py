"""What of the native stack is on this machine, where, and what is missing with the way to get it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.brokers.values import NativeVersions, versions

_REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent
# Debian puts servers where only root's PATH looks.
_SERVER_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not there.

    Attributes:
        what: It.
        why: What needs it.
        how: The way to get it.
    """

    what: str
    why: str
    how: str

    def __str__(self) -> str:
        return f"{self.what} is missing ({self.why}): {self.how}"


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the parts are; a part may be missing, `missing` says which.

    Attributes:
        folder: All that was fetched and built.
        versions: What should be there.
        java: The command; None where there is none that is new enough.
        mosquitto: The command; None where there is none that is new enough.
    """

    folder: Path
    versions: NativeVersions
    java: Path | None
    mosquitto: Path | None

    @property
    def kafka_libs(self) -> Path:
        """Folder of Kafka's jars. It gets this name when it is complete."""
        return self.folder / f"kafka-{self.versions.kafka}"

    @property
    def influxd(self) -> Path:
        """The server's program."""
        return self.folder / f"influxdb-{self.versions.influxd}" / "influxd"

    @property
    def compose_reader(self) -> Path:
        """What reads compose files as compose does; made only for checks (``make stack CHECKS=1``)."""
        return self.folder / f"compose-go-{self.versions.compose_go}" / "cmd"

    def missing(self) -> tuple[Missing, ...]:
        """What is not there and has to be, before anything can be started."""
        v = self.versions
        build = "make stack"
        rows = (
            (self.java, f"Java {v.java_at_least}", "Kafka", f"apt-get install openjdk-{v.java_at_least}-jre-headless"),
            (self.mosquitto, f"Mosquitto {v.mosquitto_at_least}", "the MQTT broker", "apt-get install mosquitto"),
            (self.kafka_libs.is_dir(), f"Apache Kafka {v.kafka}", f"not in {self.folder}", build),
            (self.influxd.is_file(), f"InfluxDB {v.influxd}", f"not in {self.folder}", build),
        )
        return tuple(Missing(what, why, how) for there, what, why, how in rows if not there)


def stack_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the native stack is kept: ``.stack`` of the checkout, or ``TELEWARD_STACK``."""
    given = environ.get("TELEWARD_STACK")
    return Path(given).resolve() if given else _REPOSITORY / ".stack"


def look(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Installed:
    """What is there.

    Args:
        folder: As `stack_folder` says if it is None.
        environ: The environment: ``PATH`` and ``JAVA_HOME``.
    """
    wanted = versions().native
    return Installed(
        folder=folder or stack_folder(environ),
        versions=wanted,
        java=_java(wanted.java_at_least, environ),
        mosquitto=_mosquitto(wanted.mosquitto_at_least, environ),
    )


def command(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """A program of the system, in ``PATH`` or where servers are."""
    path = os.pathsep.join((environ.get("PATH", os.defpath), *_SERVER_FOLDERS))
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def java_version(text: str) -> int:
    """The main version in what ``java -version`` says; 0 where it says none. 1.8.0_362 is 8, 17.0.15 is 17."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


def mosquitto_version(text: str) -> tuple[int, ...]:
    """The version in what ``mosquitto -h`` says, as numbers; empty where it says none."""
    found = re.search(r"mosquitto version (\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _java(at_least: int, environ: Mapping[str, str]) -> Path | None:
    home = environ.get("JAVA_HOME")
    found = Path(home, "bin", "java") if home else command("java", environ)
    if found is None or not found.exists() or java_version(_said(found, "-version")) < at_least:
        return None
    return found


def _mosquitto(at_least: str, environ: Mapping[str, str]) -> Path | None:
    found = command("mosquitto", environ)
    wanted = tuple(int(part) for part in at_least.split("."))
    return found if found is not None and mosquitto_version(_said(found, "-h")) >= wanted else None


def _said(program: Path, argument: str) -> str:
    done = subprocess.run([program, argument], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr
