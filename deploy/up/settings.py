"""What ``teleward up`` is told, and what it leaves for others to find."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy.brokers import values
from vitals import topics

FOLDER: Final = Path(".ward")
_STATE: Final = "stack.json"


@dataclass(frozen=True, slots=True)
class UpSettings:
    """How a stack is started.

    Attributes:
        folder: Data, logs and secrets of the stack; what is in it is kept.
        workers: Monitoring processes; partitions are shared among them.
        partitions: Of the input topic; fixed for as long as the topic lives.
        store: ``influx`` or ``sqlite``.
        speed: Above 1 only in trials: ward time runs so many times as fast.
        mqtt_port: On loopback; 0 takes a free one, here and below.
        kafka_port: Likewise.
        influx_port: Likewise.
        port: Of the page.
        tls_host: Name or address that devices call the broker by; "" has no listener beyond loopback.
        tls_port: Of that listener.
        simulate: A scenario whose devices are played; "" plays none.
        minutes: Ends by itself after so many minutes of the wall; None: at Ctrl-C.
    """

    folder: Path = FOLDER
    workers: int = 1
    partitions: int = topics.PARTITIONS
    store: Literal["influx", "sqlite"] = "influx"
    speed: float = 1.0
    mqtt_port: int = values.MQTT_PORT
    kafka_port: int = values.KAFKA_PORT
    influx_port: int = values.INFLUX_PORT
    port: int = values.CONSOLE_PORT
    tls_host: str = ""
    tls_port: int = values.MQTT_TLS_PORT
    simulate: str = ""
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 1 <= self.workers <= self.partitions:
            raise ValueError(
                f"--workers is {self.workers}; {self.partitions} partitions keep 1 to {self.partitions} of them busy"
            )
        if not self.speed > 0:
            raise ValueError(f"--speed is {self.speed:g}; it must be above 0")


class StackState(msgspec.Struct, frozen=True):
    """What a running stack leaves in its folder, for `teleward doctor` and for people.

    Attributes:
        pid: Of whoever watches it.
        variables: The environment that its parts share; secrets stand in files that it names.
        parts: Names of its processes.
        mqtt_port: On loopback.
        tls_port: 0 has none.
        influx: Address; "" has none.
        page: Address.
        accounts: Folder of the users of the MQTT broker.
    """

    pid: int
    variables: dict[str, str]
    parts: tuple[str, ...]
    mqtt_port: int
    tls_port: int
    influx: str
    page: str
    accounts: str


def write_state(folder: Path, state: StackState) -> None:
    """Leave it."""
    fresh = folder / f".{_STATE}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    fresh.replace(folder / _STATE)


def read_state(folder: Path) -> StackState | None:
    """What the stack of this folder left; None where none did.

    Raises:
        OSError: If it is there and cannot be read.
        msgspec.DecodeError: If it is no such file.
    """
    try:
        return msgspec.json.decode((folder / _STATE).read_bytes(), type=StackState)
    except FileNotFoundError:
        return None


def runs(state: StackState) -> bool:
    """Whether whoever watches that stack is alive."""
    try:
        os.kill(state.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
