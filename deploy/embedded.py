"""The embedded brokers: MQTT in a child process, the Kafka protocol in this one. Volatile, loopback only.

The MQTT broker is iotcore's rumqttd with an MQTT 5 listener; the Kafka protocol is spoken by the mock cluster inside
librdkafka, called through ctypes in the library that confluent-kafka brings along: only there can topics be given a
number of partitions and the delay of a group's first join be lowered. What both keep is gone when they stop, and
both forget the oldest under too much load; everything that promises durability is proven on Mosquitto and Kafka.

Only a temporary folder is written to, and it goes with `stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ctypes.util
import importlib.util
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from deploy.mqtt_child import UP

_CHILD: Final = Path(__file__).with_name("mqtt_child.py")
_LOOPBACK: Final = "127.0.0.1"
_PORT_TRIES: Final = 5
_SETTLE_S: Final = 0.003
_PRODUCER: Final = 0  # rd_kafka_type_t RD_KAFKA_PRODUCER


class EmbeddedBrokerError(Exception):
    """An embedded broker did not start, or was asked for something that it refused."""


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """How large the embedded brokers may grow, and which topics they start with.

    Attributes:
        topics: Kafka topic -> number of partitions. A topic not named here appears with 4 when it is first used.
        join_delay_ms: How long a group's first member waits for others; the cluster's own default is 3,000.
        mqtt_port: Port of the MQTT listener on loopback; 0 takes a free one.
        max_payload_bytes: Largest MQTT message. The broker cuts the connection of a device that sends a larger one,
            so this stands well above what the bridge refuses with a reason.
        max_in_flight: Messages the broker sends to one client before its first acknowledgement. (rumqttd 0.20 stops
            at 100, whatever is asked here or in a CONNECT.)
        segment_bytes: The broker keeps a log for each topic filter, in segments of this size ...
        segments: ... and at most so many of them; then the oldest go, received or not.
        start_timeout_s: How long either broker may take to come up.
    """

    topics: Mapping[str, int] = field(default_factory=dict)
    join_delay_ms: int = 100
    mqtt_port: int = 0
    max_payload_bytes: int = 1 << 20
    max_in_flight: int = 100
    segment_bytes: int = 1 << 20
    segments: int = 64
    start_timeout_s: float = 60.0


class EmbeddedMqtt:
    """rumqttd in a child process.

    The port stays the same from the first `start` on, so that clients find a broker that was restarted.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._port = settings.mqtt_port
        self._process: asyncio.subprocess.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def port(self) -> int:
        """The listener's port on loopback; 0 before the first start."""
        return self._port

    @property
    def pid(self) -> int:
        """The child's process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the broker; returns when it takes connections.

        Raises:
            EmbeddedBrokerError: If it does not come up; the message holds the last lines that it wrote.
        """
        if self._process is not None:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="teleward-mqtt-")
        try:
            await self._spawn_on_some_port()
            if os.name == "posix":  # the child has read its settings: nothing stays behind, even after a kill -9
                self._remove_folder()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the child and remove its folder. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it keeps nothing that a gentler end would save
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
                with contextlib.suppress(OSError):
                    await process.stdin.wait_closed()
        self._remove_folder()

    async def restart(self) -> None:
        """Kill it and start it again on the same port: every session and every queued message is lost."""
        await self.stop()
        await self.start()

    async def died(self) -> int:
        """Wait until the child ends by itself or by `stop`; its exit status. For whoever must end the ward then."""
        if self._process is None:
            raise EmbeddedBrokerError("the MQTT broker is not running")
        return await self._process.wait()

    async def _spawn_on_some_port(self) -> None:
        # A free port can be taken before the child has it; a port that is already ours by name is tried once.
        for _ in range(1 if self._port else _PORT_TRIES):
            port = self._port or _free_port()
            if await self._spawn(port):
                self._port = port
                return
        raise EmbeddedBrokerError(f"the MQTT broker did not start on {_LOOPBACK}:{port}: {self._last_words()}")

    async def _spawn(self, port: int) -> bool:
        config, log = self._write_config(port)
        with log:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(_CHILD), str(config), str(os.getpid()),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                start_new_session=True,  # Ctrl-C is for the ward, which stops its brokers last
            )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                # Only the child knows that it is itself who listens: a connection from here could reach anybody.
                if await process.stdout.readline() == UP:
                    return True
        except TimeoutError:
            process.kill()
        await process.wait()
        return False

    def _write_config(self, port: int) -> tuple[Path, BinaryIO]:
        assert self._folder is not None  # noqa: S101 - start() made it
        config = Path(self._folder.name, "broker.toml")
        config.write_text(_broker_toml(self._settings, port), encoding="utf-8")
        return config, Path(self._folder.name, "stderr.log").open("wb")

    def _remove_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _last_words(self) -> str:
        assert self._folder is not None  # noqa: S101 - start() made it
        text = Path(self._folder.name, "stderr.log").read_text(encoding="utf-8", errors="replace").strip()
        return text[-500:] or "it said nothing; is the port taken?"


class EmbeddedKafka:
    """librdkafka's in-process mock cluster: one broker, topics with the partitions that were asked for.

    Its limits are those of the mock: 5 MB and 100,000 record sets a partition are kept, a record must stay well under
    1 MB, and a produce acknowledgement's timestamp means nothing. Close every client before `stop`.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._cluster: int | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients; "" before `start`."""
        return self._bootstrap

    async def start(self) -> None:
        """Start the cluster and create its topics.

        Raises:
            EmbeddedBrokerError: If librdkafka isn't there, or refuses.
        """
        if self._cluster is None:
            await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """End the cluster, in a thread: librdkafka joins its own threads. Safe to call twice."""
        await asyncio.to_thread(self._stop)

    async def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic.

        Raises:
            EmbeddedBrokerError: If it exists, or the cluster is not running.
        """
        await asyncio.to_thread(self._create_topic, name, partitions)

    def _create_topic(self, name: str, partitions: int) -> None:
        if self._library is None or self._cluster is None:
            raise EmbeddedBrokerError("the Kafka cluster is not running")
        _let_the_cluster_settle()
        error = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if error:
            reason = self._library.rd_kafka_err2str(error).decode()
            raise EmbeddedBrokerError(f"the Kafka cluster did not create topic {name!r}: {reason}")

    def _start(self) -> None:
        library = self._library = _load_librdkafka()
        message = ctypes.create_string_buffer(512)
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(conf, b"log_level", b"3", message, len(message))  # "no bootstrap.servers": rightly
        self._handle = library.rd_kafka_new(_PRODUCER, conf, message, len(message))
        if not self._handle:
            raise EmbeddedBrokerError(f"librdkafka did not start: {message.value.decode(errors='replace')}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            self._stop()
            raise EmbeddedBrokerError("librdkafka did not make its cluster")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, self._settings.join_delay_ms)
        self._bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for name, partitions in self._settings.topics.items():
            self._create_topic(name, partitions)

    def _stop(self) -> None:
        cluster, self._cluster = self._cluster, None
        handle, self._handle = self._handle, None
        if self._library is None:
            return
        if cluster:
            _let_the_cluster_settle()
            self._library.rd_kafka_mock_cluster_destroy(cluster)
        if handle:
            self._library.rd_kafka_destroy(handle)


class EmbeddedStack:
    """Both brokers, started together: ``async with EmbeddedStack(settings) as stack``."""

    def __init__(self, settings: EmbeddedSettings | None = None) -> None:
        settings = settings or EmbeddedSettings()
        self.mqtt = EmbeddedMqtt(settings)
        self.kafka = EmbeddedKafka(settings)

    @property
    def mqtt_port(self) -> int:
        """Port of the MQTT 5 listener on loopback."""
        return self.mqtt.port

    @property
    def bootstrap(self) -> str:
        """``host:port`` of the Kafka-protocol cluster."""
        return self.kafka.bootstrap

    async def start(self) -> None:
        """Start both.

        Raises:
            EmbeddedBrokerError: If one of them does not come up; the other is stopped again.
        """
        try:
            await self.kafka.start()
            await self.mqtt.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both; call it when every client is closed."""
        await self.mqtt.stop()
        await self.kafka.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _broker_toml(settings: EmbeddedSettings, port: int) -> str:
    return f"""id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = {settings.segment_bytes}
max_segment_count = {settings.segments}
[v5.1]
name = "v5"
listen = "{_LOOPBACK}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {settings.max_payload_bytes}
max_inflight_count = {settings.max_in_flight}
dynamic_filters = true
"""


def _let_the_cluster_settle() -> None:
    # Its thread answers what it was asked and then drains its alarm clock: who asks in between is heard only a second
    # later. Measured with librdkafka 2.16: half of all calls made right after another; none in 40 after this pause.
    time.sleep(_SETTLE_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _load_librdkafka() -> ctypes.CDLL:
    """The library of the confluent-kafka wheel, wherever its repair tool put it, with the types of what we call."""
    library = ctypes.CDLL(_librdkafka_path())
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    # name -> (result, arguments), from rdkafka.h and rdkafka_mock.h of librdkafka 2.16
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "rd_kafka_conf_new": (pointer, ()),
        "rd_kafka_conf_set": (number, (pointer, text, text, text, ctypes.c_size_t)),
        "rd_kafka_new": (pointer, (number, pointer, text, ctypes.c_size_t)),
        "rd_kafka_destroy": (None, (pointer,)),
        "rd_kafka_err2str": (text, (number,)),
        "rd_kafka_mock_cluster_new": (pointer, (pointer, number)),
        "rd_kafka_mock_cluster_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_bootstraps": (text, (pointer,)),
        "rd_kafka_mock_topic_create": (number, (pointer, text, number, number)),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (pointer, ctypes.c_int32)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _librdkafka_path() -> str:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise EmbeddedBrokerError("confluent-kafka is not installed; the embedded Kafka cluster lives in it")
    package = Path(spec.origin).parent
    # auditwheel and delvewheel make a folder beside the package, delocate one inside it
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs", package):
        for path in sorted(folder.glob("librdkafka*")):
            if path.suffix in {".so", ".dylib", ".dll"} or ".so." in path.name:
                return str(path)
    found = ctypes.util.find_library("rdkafka")  # a confluent-kafka built from source links the system's
    if found is None:
        raise EmbeddedBrokerError(f"no librdkafka beside {package.name}; is confluent-kafka installed from a wheel?")
    return found
