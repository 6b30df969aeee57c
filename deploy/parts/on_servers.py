"""The parts of a ward on servers of this machine: what they are told, and the processes that they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from deploy.brokers import values
from deploy.brokers.mosquitto import Role
from deploy.native.process import LOOPBACK
from deploy.native.servers import NativeStack
from deploy.parts import environment as env
from deploy.parts.process import PartProcess


def store_address(servers: NativeStack, store: Literal["influx", "sqlite"], folder: Path) -> str:
    """Of the servers' InfluxDB, or of a file in a folder."""
    if store == "sqlite":
        return f"sqlite:///{folder.resolve() / 'ward.sqlite'}"
    return f"influx:{servers.influx_url}/{values.INFLUX_DATABASE}"


def ward_variables(servers: NativeStack, partitions: int, store: str) -> dict[str, str]:
    """What all parts are told: addresses, the bridge's account (made where it is not there), the store.

    Args:
        servers: Up.
        partitions: Of the input topic.
        store: Its address.
    """
    servers.password(values.BRIDGE_USER, Role.BRIDGE)
    return {
        env.KAFKA: servers.bootstrap,
        env.PARTITIONS: str(partitions),
        env.BRIDGE: values.BRIDGE_USER,
        env.MQTT_HOST: LOOPBACK,
        env.MQTT_PORT: str(servers.mqtt_port),
        env.MQTT_USER: values.BRIDGE_USER,
        env.MQTT_PASSWORD_FILE: str(servers.mqtt.accounts.own_file(values.BRIDGE_USER)),
        env.STORE: store,
    }


def ward_parts(folder: Path, variables: Mapping[str, str], workers: int, *also: str) -> list[PartProcess]:
    """Bridge, monitoring workers, storing and others, in the order in which they are stopped.

    Args:
        folder: Of logs and pulses.
        variables: What they are told beside our own environment.
        workers: How many share the partitions.
        also: Further parts.
    """

    def part(name: str, which: str, instance: str = "") -> PartProcess:
        more = {env.INSTANCE: instance} if instance else {}
        return PartProcess(name, ("run", which), folder, {**os.environ, **variables, **more})

    return [
        part("bridge", "bridge"),
        *(part(f"monitoring-{i}", "monitoring", f"monitoring-{i}") for i in range(workers)),
        part("storing", "storing", "storing-0"),
        *(part(name, name) for name in also),
    ]
