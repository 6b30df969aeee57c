"""Mosquitto's configuration and its rules of who may publish and read what, as text."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from string import Template
from typing import assert_never

from deploy.brokers import values
from ingest.horizon import EVERYTHING, probe_topic
from vitals import topics

_TEMPLATE = Path(__file__).with_name("mosquitto.conf")


@unique
class Role(StrEnum):
    """What a user of the MQTT broker is; decides what it may do.

    Attributes:
        DEVICE: Publishes bundles under its own name.
        BRIDGE: Reads all bundles and marks; publishes its own probes, says what time it is and that marks are done.
        PLAYER: A simulation or a replay: publishes bundles for any device, and marks of its own. Not for a ward.
        WATCHER: Reads what the broker says of itself, for `teleward doctor`.
    """

    DEVICE = "device"
    BRIDGE = "bridge"
    PLAYER = "player"
    WATCHER = "watcher"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a TLS listener, as the broker sees their paths.

    Attributes:
        authority: Certificate of the authority, for clients' certificates.
        certificate: The server's.
        key: Its key.
        client_certificates: True lets in only clients with a certificate of our authority, whose common name is then
            their user name (passwords are not asked for); False asks for passwords.
    """

    authority: str
    certificate: str
    key: str
    client_certificates: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the broker listens.

    Attributes:
        host: Address to bind.
        port: Port there.
        tls: None is for loopback only.
    """

    host: str
    port: int
    tls: Tls | None = None

    def __post_init__(self) -> None:
        """Refuse to send passwords and vital signs in the clear."""
        if self.tls is None and not _is_loopback(self.host):
            raise ValueError(f"the listener on {self.host}:{self.port} has no TLS; only loopback may go without")


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Paths as the broker sees them.

    Attributes:
        data: Folder of its sessions.
        passwords: File of `deploy.devices`.
        rules: File of `deploy.devices`.
    """

    data: str
    passwords: str
    rules: str


def configuration(
    files: BrokerFiles, listeners: tuple[Listener, ...], *, user: str | None = None, pid_file: str | None = None
) -> str:
    """Text of ``mosquitto.conf``.

    Args:
        files: Where its files are.
        listeners: At least one.
        user: Whom the broker becomes when it is started by root; None leaves that to it.
        pid_file: Where it writes its process id, so that `deploy.devices` can tell it of new users.

    Raises:
        ValueError: If there is no listener, or a path holds what can't stand in a line of it.
    """
    if not listeners:
        raise ValueError("the MQTT broker has no listener")
    paths = [files.data, files.passwords, files.rules, pid_file or ""]
    paths += [path for one in listeners if one.tls for path in (one.tls.authority, one.tls.certificate, one.tls.key)]
    for path in paths:
        if "\n" in path or path != path.strip():
            raise ValueError(f"{path!r} can't stand in mosquitto.conf")
    process = [f"user {user}"] if user else []
    process += [f"pid_file {pid_file}"] if pid_file else []
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        max_queued_messages=values.MQTT_MAX_QUEUED_MESSAGES,
        max_queued_bytes=values.MQTT_MAX_QUEUED_BYTES,
        max_packet_bytes=values.MQTT_MAX_PACKET_BYTES,
        autosave_s=values.MQTT_AUTOSAVE_S,
        data=files.data,
        passwords=files.passwords,
        rules=files.rules,
        process="\n".join(process),
        listeners="\n".join(_listener(one) for one in listeners),
    )


def rules(users: Mapping[str, Role]) -> str:
    """Text of the file of rules.

    Args:
        users: Name -> role. Devices need no lines of their own: one pattern holds each to its own name.
    """
    lines = [
        "# Written by Teleward from its list of users; changes by hand are lost with the next one.",
        "",
        "# Every user: bundles under its own name, what time it is, and nothing else.",
        f"pattern write {topics.bundle_topic('%u')}",
        f"pattern read {topics.MQTT_CLOCK}",
    ]
    for name, role in sorted(users.items()):
        grants = _grants(name, role)
        if grants:
            lines += ["", f"user {name}", *(f"topic {grant}" for grant in grants)]
    return "\n".join(lines) + "\n"


def _grants(name: str, role: Role) -> list[str]:
    match role:
        case Role.DEVICE:
            return []
        case Role.BRIDGE:
            return [
                f"read {EVERYTHING}",
                f"write {probe_topic(name)}",
                f"write {topics.MQTT_CLOCK}",
                f"write {topics.MQTT_ROOT}/+/{topics.MARK_ACK_SUFFIX}",
            ]
        case Role.PLAYER:
            return [
                f"write {topics.MQTT_BUNDLES}",
                f"write {topics.mark_topic(name)}",
                f"write {topics.arrivals_topic(name)}",
                f"read {topics.MQTT_ROOT}/{name}/{topics.MARK_ACK_SUFFIX}",
            ]
        case Role.WATCHER:
            return ["read $SYS/#"]
        case _:
            assert_never(role)


def _listener(listener: Listener) -> str:
    # The name of a session is the name of the user: else any device could connect under the bridge's client id and
    # take over its session, with all that waits in it.
    lines = ["", f"listener {listener.port} {listener.host}", "use_username_as_clientid true"]
    if listener.tls is not None:
        lines += [
            f"cafile {listener.tls.authority}",
            f"certfile {listener.tls.certificate}",
            f"keyfile {listener.tls.key}",
            "tls_version tlsv1.2",
        ]
        if listener.tls.client_certificates:
            lines += ["require_certificate true", "use_identity_as_username true"]
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
