"""Where the others live: a folder for each, made on request, because some want other versions than Teleward does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.native.installed import Installed, command, look

_HERE: Final = Path(__file__).parent
VERSIONS: Final = {"bytewax": "0.21.1", "quixstreams": "3.28.0", "confluent-kafka": "2.16.1", "orjson": "3.13.0"}
_WANTED: Final = {
    "bytewax": ("bytewax", "confluent-kafka", "orjson"),
    "quix": ("quixstreams",),  # brings a confluent-kafka of its own, older than Teleward's
}


class PeerError(RuntimeError):
    """A peer is not there, or did not do its work; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Environments:
    """Where peers are installed.

    Attributes:
        folder: A folder in it for each.
        installed: The native stack: Java, and which Kafka.
    """

    folder: Path
    installed: Installed

    @classmethod
    def found(cls, folder: Path | None = None) -> Environments:
        """Under the native stack's folder unless told otherwise."""
        there = look()
        return cls(folder or there.folder / "peers", there)

    def python(self, name: str) -> str:
        """The interpreter of a peer: its own, or ours where it needs none of its own."""
        return str(self.folder / name / "bin" / "python") if name in _WANTED else sys.executable

    @property
    def streams(self) -> Path:
        """Folder of Kafka Streams' jars and of the compiled program."""
        return self.folder / f"kafka-streams-{self.installed.versions.kafka}"

    def missing(self, name: str) -> bool:
        """Whether a peer has to be installed first."""
        if name == "kafka-streams":
            return not (self.streams / "Judge.class").is_file()
        return name in _WANTED and not Path(self.python(name)).is_file()

    def install(self, name: str, say: Callable[[str], None]) -> None:
        """Install a peer where it is missing.

        Raises:
            PeerError: If a tool is missing or fails.
        """
        if not self.missing(name):
            return
        say(f"{name}: being installed under {self.folder}")
        self.folder.mkdir(parents=True, exist_ok=True)
        if name == "kafka-streams":
            self._install_streams()
            return
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".making-") as scratch:
            made = Path(scratch, name)
            wanted = [f"{package}=={VERSIONS[package]}" for package in _WANTED[name]]
            _run(sys.executable, "-m", "venv", str(made))
            _run(str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted)
            made.replace(self.folder / name)

    def _install_streams(self) -> None:
        versions = self.installed.versions
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".making-") as scratch:
            made = Path(scratch, "made")
            plugin = f"org.apache.maven.plugins:maven-dependency-plugin:{versions.maven_dependency_plugin}"
            pom, source = _HERE / "kafka_streams" / "pom.xml", _HERE / "kafka_streams" / "Judge.java"
            _run(
                "mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", str(pom),
                f"-Dkafka.version={versions.kafka}", f"-Dlog4j.version={versions.log4j}",
                f"{plugin}:copy-dependencies", f"-DoutputDirectory={made}", "-DincludeScope=runtime",
            )  # fmt: skip
            _run("javac", "-nowarn", "-Xlint:none", "-d", str(made), "-cp", f"{made}/*", str(source))
            made.replace(self.streams)


def _run(program: str, *arguments: str) -> None:
    found = command(program)
    if found is None:
        raise PeerError(f"{program} is missing: the comparison with Kafka Streams needs Maven and a JDK")
    done = subprocess.run(
        [str(found), *arguments], env=dict(os.environ), capture_output=True, text=True, check=False,
        cwd=tempfile.gettempdir(),
    )  # fmt: skip
    if done.returncode:
        raise PeerError(f"{program} failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")
