"""The load: many devices on one MQTT connection, encoded beforehand, sent at their times whatever comes of it.

A process of its own, so that its share of the machine can be told: ``python -m deploy.bench.load SPEC.json``. It is
cheap because it makes nothing while it runs: packets lie end to end in one buffer, and it wakes, hands the kernel
those that are due, and counts the acknowledgements that came.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from deploy.bench.workload import Ward, device, payloads
from vitals.signs import SECOND_NS
from vitals.topics import bundle_topic

_WAKE_S: Final = 0.001
_IN_FLIGHT: Final = 50_000  # packet ids are 16 bits
_END_S: Final = 5.0


class LoadSpec(msgspec.Struct, frozen=True):
    """What is sent.

    Attributes:
        port: Of the broker on loopback.
        user: A player's account.
        password_file: Its password.
        patients: See `deploy.bench.workload.Ward`.
        rate: Likewise.
        ill: Likewise.
        seconds: How long.
        start_ns: When the first is to be sent; the wall's clock.
        boot: Of all devices.
        speed: See `deploy.bench.workload.Ward`.
        since_ns: Likewise.
    """

    port: int
    user: str
    password_file: str
    patients: int
    rate: float
    ill: float
    seconds: float
    start_ns: int
    boot: int
    speed: float = 1.0
    since_ns: int = 0


class LoadDone(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        sent: Bundles handed to the kernel.
        acknowledged: PUBACKs that came.
        cpu_s: Of this process while it sent.
        wall_s: While it sent.
        late_p99_ms: How long after its time a bundle was handed over; our own stall, counted in every latency.
        late_max_ms: The worst.
        error: Why it ended early; "".
    """

    sent: int
    acknowledged: int
    cpu_s: float
    wall_s: float
    late_p99_ms: float
    late_max_ms: float
    error: str = ""


def _length(n: int) -> bytes:
    """MQTT's variable byte integer."""
    out = bytearray()
    while True:
        n, low = divmod(n, 128)
        out.append(low | (128 if n else 0))
        if not n:
            return bytes(out)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def connect_packet(user: str, password: str) -> bytes:
    """CONNECT of MQTT 5: clean start, no properties, half a minute of patience."""
    body = _text("MQTT") + bytes((5, 0b11000010)) + struct.pack(">H", 30) + b"\x00"
    body += _text(user) + _text(user) + _text(password)
    return b"\x10" + _length(len(body)) + body


def publish_packet(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    """PUBLISH at QoS 1 without properties."""
    body_length = 2 + len(topic) + 2 + 1 + len(payload)
    head = b"\x32" + _length(body_length) + struct.pack(">H", len(topic)) + topic
    return head + struct.pack(">HB", packet_id, 0) + payload


class Acknowledgements:
    """Counts PUBACKs in a stream of bytes."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            ConnectionError: If the broker says goodbye.
        """
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            size = data[at + 1]  # nothing that a broker tells a publisher is longer than 127 bytes
            if end - at < 2 + size:
                break
            kind = data[at] >> 4
            if kind == 4:
                self.count += 1
            elif kind == 14:
                raise ConnectionError(f"the broker ended the connection: reason {data[at + 2] if size else 0:#x}")
            at += 2 + size
        self._rest = data[at:]


def run(spec: LoadSpec) -> LoadDone:
    """Send everything; see the module."""
    ward = Ward(spec.patients, spec.rate, spec.ill, speed=spec.speed, since_ns=spec.since_ns)
    at, who, bodies = payloads(ward, spec.start_ns, spec.seconds, boot=spec.boot)
    names = [bundle_topic(device(i)).encode() for i in range(ward.patients)]
    packets = [
        publish_packet(names[i], 1 + k % 65_000, body)
        for k, (i, body) in enumerate(zip(who.tolist(), bodies, strict=True))
    ]
    ends = np.cumsum([len(packet) for packet in packets])
    buffer = memoryview(b"".join(packets))
    del packets, bodies
    with socket.create_connection(("127.0.0.1", spec.port)) as sock:
        connect(sock, spec.user, Path(spec.password_file).read_text("utf-8").strip())
        sock.setblocking(False)
        if time.time_ns() > spec.start_ns:
            raise TimeoutError("the bundles were not ready at the first one's time; give the load a later start")
        return send(sock, at, ends, buffer)


def connect(sock: socket.socket, user: str, password: str) -> None:
    """Begin a session in the place of any that the user had.

    Raises:
        ConnectionError: If the broker refuses.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect_packet(user, password))
    answer = sock.recv(256)
    if len(answer) < 4 or answer[0] != 0x20 or answer[3]:
        raise ConnectionError(f"the broker refused {user}: {answer[:8].hex(' ')}")


def say_once(port: int, user: str, password: str, topic: str = "", payload: bytes = b"") -> None:
    """Connect anew, which ends whatever session the user had; publish one message if there is one; and be gone.

    Raises:
        ConnectionError: If the broker refuses.
    """
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        connect(sock, user, password)
        if topic:
            sock.sendall(publish_packet(topic.encode(), 1, payload))
            acknowledged = Acknowledgements()
            while not acknowledged.count:
                answer = sock.recv(256)
                if not answer:
                    raise ConnectionError("the broker closed the connection")
                acknowledged.feed(answer)
        sock.sendall(b"\xe0\x00")  # DISCONNECT: its session is over at once


def send(sock: socket.socket, at: np.ndarray, ends: np.ndarray, buffer: memoryview) -> LoadDone:
    """Hand packets to the kernel at their times, those that are due together, and count the acknowledgements.

    Args:
        sock: Connected, not blocking.
        at: Shape (packets,), when each is due; the wall's clock, rising.
        ends: Shape (packets,), where each ends in the buffer.
        buffer: The packets end to end.
    """
    acknowledged = Acknowledgements()
    late = np.zeros(len(at), np.int64)
    sent = 0  # bundles whose last byte is with the kernel
    offset = 0
    error = ""
    began_cpu = began = 0.0
    try:
        while sent < len(at):
            now_ns = time.time_ns()
            due = int(np.searchsorted(at, now_ns, side="right"))
            due = min(due, acknowledged.count + _IN_FLIGHT)
            if due > sent and not began:
                began_cpu, began = time.process_time(), time.monotonic()
            if due > sent:
                with contextlib.suppress(BlockingIOError):
                    offset += sock.send(buffer[offset : int(ends[due - 1])])
                reached = int(np.searchsorted(ends, offset, side="right"))
                late[sent:reached] = time.time_ns() - at[sent:reached]
                sent = reached
            _drain(sock, acknowledged)
            if sent < due:
                select.select((sock,), (sock,), (), _WAKE_S)
            elif sent < len(at):
                time.sleep(max(_WAKE_S, (int(at[sent]) - time.time_ns()) / SECOND_NS))
        until = time.monotonic() + _END_S
        cpu_s, wall_s = time.process_time() - began_cpu, time.monotonic() - began
        while acknowledged.count < sent and time.monotonic() < until:
            select.select((sock,), (), (), 0.1)
            _drain(sock, acknowledged)
    except OSError as broken:
        error = str(broken)
        cpu_s, wall_s = time.process_time() - began_cpu, time.monotonic() - began
    told = late[: max(1, sent)]
    return LoadDone(
        sent, acknowledged.count, round(cpu_s, 3), round(wall_s, 3), float(np.percentile(told, 99)) / 1e6,
        float(told.max()) / 1e6, error,
    )  # fmt: skip


def _drain(sock: socket.socket, acknowledged: Acknowledgements) -> None:
    with contextlib.suppress(BlockingIOError):
        data = sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the broker closed the connection")
        acknowledged.feed(data)


def main() -> None:
    """Read what to send, send it, print how it went."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=LoadSpec)
    print(msgspec.json.encode(run(spec)).decode(), flush=True)


if __name__ == "__main__":
    main()
