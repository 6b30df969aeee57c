"""Apache Kafka as a process of this machine: one broker and its controller, in KRaft mode."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.brokers import values
from deploy.native.process import LOOPBACK, Server, ServerError, free_port

QUICK_START: Final = ("-XX:TieredStopAtLevel=1",)
"""For a Java that will not live long: 2.6 seconds of CPU to start Kafka instead of 3.9, but never as fast later."""

_ASK_S: Final = 2.0


class Kafka(Server):
    """One Apache Kafka in KRaft mode: broker and controller in one process."""

    name = "kafka"

    def __init__(
        self, folder: Path, java: Path, libs: Path, port: int = 0, *, heap_mb: int = 384,
        jvm: tuple[str, ...] = (), config: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Nothing is written before `start`.

        Args:
            folder: Its data and its log.
            java: The command.
            libs: Folder of its jars.
            port: Of the listener on loopback; 0 takes a free one.
            heap_mb: Heap; what it keeps beside that in the page cache is the system's.
            jvm: Further options of Java.
            config: Settings of the broker beside those of `values.KAFKA_BROKER`, or instead of them.
        """
        super().__init__(folder, port)
        self._java, self._libs, self._heap_mb, self._jvm = java, libs, heap_mb, jvm
        self._config = dict(config or {})
        self._controller_port = 0

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients; "" before the first start."""
        return f"{LOOPBACK}:{self.port}" if self.port else ""

    @property
    def _cluster_id(self) -> str:
        """Made once for a folder: a broker with another one at our port is somebody else's."""
        kept = self.folder / "cluster-id"
        if not kept.exists():
            # Two bits that no id of ours needs: one in 64 would begin with a hyphen, which Kafka takes for an option.
            random = uuid.uuid4().bytes
            made = base64.urlsafe_b64encode(bytes([random[0] & 0x3F]) + random[1:])
            kept.write_text(made.decode().rstrip("="), encoding="ascii")
        return kept.read_text(encoding="ascii")

    def _started_by(self, *jvm: str) -> list[str]:
        return [
            str(self._java), f"-Xms{self._heap_mb // 3}m", f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}", *jvm, "-cp", f"{self._libs}/*",
        ]  # fmt: skip

    async def _prepare(self, port: int) -> list[str]:
        self._controller_port = self._controller_port or free_port()
        config = self.folder / "server.properties"
        config.write_text(self._properties(port), encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
        if not (self.folder / "data" / "meta.properties").exists():
            await self._format(config)
        archive = class_archive(self._libs)
        loaded = (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()
        return [*self._started_by(*loaded, *self._jvm), "kafka.Kafka", str(config)]

    async def _format(self, config: Path) -> None:
        command = [
            *self._started_by(*QUICK_START),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            self._cluster_id,
            "-c",
            str(config),
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise ServerError(f"Kafka's folder could not be formatted: {said.decode(errors='replace')[-1000:]}")

    def _properties(self, port: int) -> str:
        rows = {
            **values.KAFKA_BROKER,
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"CLIENTS://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{port}",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENTS",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "log.dirs": str(self.folder / "data"),
            **self._config,
        }
        return "".join(f"{name}={value}\n" for name, value in rows.items())

    async def _answers(self, port: int) -> bool:
        # A bare connection first: the admin client would log each refusal.
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.close()
        admin = AIOKafkaAdminClient(
            bootstrap_servers=f"{LOOPBACK}:{port}", client_id="teleward-start", request_timeout_ms=int(_ASK_S * 1000)
        )
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        except KafkaError:
            return False
        finally:
            await admin.close()
        if cluster["cluster_id"] != self._cluster_id:
            raise ServerError(f"another Kafka answers at {LOOPBACK}:{port}")
        return bool(cluster["brokers"])


def class_archive(libs: Path) -> Path:
    """Where `deploy.native.build` puts Kafka's classes as Java has them in memory.

    With it Kafka starts in 2.25 seconds of CPU instead of 3.9 (1.3 with `QUICK_START`). A Java that it was not made
    by leaves it alone.
    """
    return libs.with_name(f"{libs.name}.jsa")


_LOG4J: Final = """\
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
"""
