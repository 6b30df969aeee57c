"""``make stack``: fetches Kafka's jars with Maven and builds influxd with Go, into `.stack/`; twice does nothing.

Each part is made in a folder of another name and gets its own, with its version in it, when it is complete: what is
half made is never taken for the real thing. Maven and Go are told no addresses: they use what this machine has set up
for them, check what they get (Maven by the published checksums, Go by its checksum database), and keep their caches
where they always do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.native.installed import Installed, Missing, command, look
from deploy.native.kafka import Kafka, class_archive
from deploy.native.process import ServerError

_POM: Final = Path(__file__).with_name("pom.xml")
_INFLUXD: Final = "github.com/influxdata/influxdb/cmd/influxd"
_COMPOSE_READER: Final = "github.com/compose-spec/compose-go/v2/cmd"


class BuildError(Exception):
    """A part could not be made; the message says why."""


def tools_missing(there: Installed) -> tuple[Missing, ...]:
    """What has to be installed before what is not there yet can be made, and before it can run."""
    rows = [missing for missing in there.missing() if missing.how != "make stack"]
    java, kafka = there.versions.java_at_least, not there.kafka_libs.is_dir()
    if kafka and command("mvn") is None:
        rows.append(Missing("Maven", "fetches Kafka's jars", f"apt-get install maven openjdk-{java}-jdk-headless"))
    if not there.influxd.is_file() and command("go") is None:
        rows.append(Missing("Go", "builds influxd", "apt-get install golang-go"))
    return tuple(rows)


def build(there: Installed, say: Callable[[str], None] = print, *, checks: bool = False) -> None:
    """Make what is not there.

    Args:
        there: What is; see `deploy.native.installed.look`.
        say: Told what is being done.
        checks: With what only our own checks need.

    Raises:
        BuildError: If a tool is missing or fails.
    """
    lacking = tools_missing(there)
    if lacking:
        raise BuildError("\n".join(str(one) for one in lacking))
    there.folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (f"Apache Kafka {there.versions.kafka}", there.kafka_libs, _fetch_kafka),
        (f"InfluxDB {there.versions.influxd}", there.influxd.parent, _build_influxd),
    ]
    if checks:
        wanted.append((f"compose-go {there.versions.compose_go}", there.compose_reader.parent, _build_compose_reader))
    for name, target, make in wanted:
        if target.is_dir():
            continue
        say(f"{name}: on its way")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=there.folder, prefix=".making-") as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            make(there, made)
            made.replace(target)
        say(f"{name}: {_megabytes(target)} MB in {target}, {time.monotonic() - began:.0f} s")
    archive = class_archive(there.kafka_libs)
    if not archive.exists():
        say("Kafka is started once, so that it starts faster from now on")
        _archive_classes(there, archive)


def _archive_classes(there: Installed, archive: Path) -> None:
    """Start Kafka once and have Java write down its classes: every later start takes half the time."""
    if there.java is None:
        return

    async def once(java: Path, folder: Path) -> None:
        async with Kafka(folder, java, there.kafka_libs, jvm=(f"-XX:ArchiveClassesAtExit={folder / 'classes'}",)):
            pass

    with tempfile.TemporaryDirectory(dir=there.folder, prefix=".making-") as scratch:
        asyncio.run(once(there.java, Path(scratch)))
        made = Path(scratch, "classes")
        if made.exists():  # a help, not a need
            made.replace(archive)


def _fetch_kafka(there: Installed, made: Path) -> None:
    versions = there.versions
    plugin = f"org.apache.maven.plugins:maven-dependency-plugin:{versions.maven_dependency_plugin}"
    _run(
        "mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", str(_POM),
        f"-Dkafka.version={versions.kafka}", f"-Dscala.version={versions.scala}", f"-Dlog4j.version={versions.log4j}",
        f"{plugin}:copy-dependencies", f"-DoutputDirectory={made}", "-DincludeScope=runtime",
    )  # fmt: skip
    jar = made / f"kafka_{versions.scala}-{versions.kafka}.jar"
    if not jar.is_file():
        raise BuildError(f"Maven ended well but brought no {jar.name}")


def _build_influxd(there: Installed, made: Path) -> None:
    # Version 1.8 asks for a Go as old as itself; newer ones build it unchanged.
    _run("go", "install", "-trimpath", f"{_INFLUXD}@v{there.versions.influxd}", environ={"GOBIN": str(made)})
    if not (made / "influxd").is_file():
        raise BuildError("Go ended well but built no influxd")


def _build_compose_reader(there: Installed, made: Path) -> None:
    _run("go", "install", "-trimpath", f"{_COMPOSE_READER}@v{there.versions.compose_go}", environ={"GOBIN": str(made)})


def _run(program: str, *arguments: str, environ: dict[str, str] | None = None) -> None:
    # Politely: this may be a ward's machine. And elsewhere: Go must find no module, Maven no settings of this checkout.
    nice = [found] if (found := shutil.which("nice")) else []
    done = subprocess.run(
        [*nice, str(command(program)), *arguments], env={**os.environ, **(environ or {})},
        capture_output=True, text=True, check=False, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    if done.returncode:
        raise BuildError(f"{program} failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")


def _megabytes(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6)


def main(arguments: list[str] | None = None) -> int:
    """See the module; exit status 0 only if the whole stack is there."""
    parser = argparse.ArgumentParser(prog="python -m deploy.native.build", description="Make the native stack.")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    parser.add_argument("--checks", action="store_true", help="with what only our own checks need")
    options = parser.parse_args(arguments)
    there = look()
    if not options.check:
        try:
            build(there, checks=options.checks)
        except (BuildError, ServerError) as error:
            print(error, file=sys.stderr)
            return 1
    missing = there.missing()
    for one in missing:
        print(one, file=sys.stderr)
    if not missing:
        print(f"the native stack is in {there.folder}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
