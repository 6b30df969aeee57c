"""What a part is told by its environment: the same names on the native stack, in containers and in a unit file."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dashboards.console import ConsoleSettings
from deploy.clock import WallClock, WardClock
from ingest.settings import DEFAULT_BRIDGE, BridgeSettings
from stream_processors.settings import StoringSettings, StreamSettings
from transport.kafka import KafkaSettings
from transport.mqtt import MqttSettings
from transport.stores.base import Store
from transport.stores.opened import StoreAddressError, open_store
from vitals import topics

KAFKA: Final = "TELEWARD_KAFKA"
PARTITIONS: Final = "TELEWARD_PARTITIONS"
INSTANCE: Final = "TELEWARD_INSTANCE"
GROUP_PREFIX: Final = "TELEWARD_GROUP_PREFIX"
SESSION_S: Final = "TELEWARD_SESSION_S"
OTHER_SNAPSHOT: Final = "TELEWARD_OTHER_SNAPSHOT"
STORE: Final = "TELEWARD_STORE"
INFLUX_TOKEN_FILE: Final = "TELEWARD_INFLUX_TOKEN_FILE"  # noqa: S105 - a name
BRIDGE: Final = "TELEWARD_BRIDGE"
MQTT_HOST: Final = "TELEWARD_MQTT_HOST"
MQTT_PORT: Final = "TELEWARD_MQTT_PORT"
MQTT_USER: Final = "TELEWARD_MQTT_USER"
MQTT_PASSWORD: Final = "TELEWARD_MQTT_PASSWORD"  # noqa: S105 - a name
MQTT_PASSWORD_FILE: Final = "TELEWARD_MQTT_PASSWORD_FILE"  # noqa: S105 - a name
MQTT_CA: Final = "TELEWARD_MQTT_CA"
TEST_PASSWORD_FILE: Final = "TELEWARD_TEST_PASSWORD_FILE"  # noqa: S105 - a name
CLOCK: Final = "TELEWARD_CLOCK"
CONSOLE_SECRET_FILE: Final = "TELEWARD_CONSOLE_SECRET_FILE"  # noqa: S105 - a name
PULSE: Final = "TELEWARD_PULSE"
SHADOW: Final = "TELEWARD_SHADOW"

_KAFKA_DEFAULT: Final = "127.0.0.1:9092"


class SettingError(ValueError):
    """A variable cannot be read; the message names it and says what it takes."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment, read by name.

    Attributes:
        variables: Such as ``os.environ``.
    """

    variables: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """A variable, or what stands for it where it is missing or empty."""
        return self.variables.get(name) or default

    def number(self, name: str, default: float, *, above: float = 0.0) -> float:
        """A variable that is a number.

        Raises:
            SettingError: If it is none, or not above the bound.
        """
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            raise SettingError(f"{name} is {text!r}; it takes a number") from None
        if not value > above:
            raise SettingError(f"{name} is {text}; it takes a number above {above:g}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A variable that is one of some words; the first of them where it is missing.

        Raises:
            SettingError: If it is none of them.
        """
        text = self.text(name, choices[0])
        if text not in choices:
            raise SettingError(f"{name} is {text!r}; it takes {' or '.join(choices)}")
        return text

    def secret(self, name: str, file_name: str) -> str | None:
        """A secret, from a file that one variable names or from the other variable itself.

        Raises:
            SettingError: If the file cannot be read.
        """
        path = self.text(file_name)
        if not path:
            return self.text(name) or None
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{file_name} names {path}, which cannot be read: {error.strerror}") from None

    # -- what parts are made of --------------------------------------------------------------------------------------

    def clock(self) -> WardClock | WallClock:
        """Ward time: the wall's. ``TELEWARD_CLOCK=20@<nanoseconds>``: 20 times as fast since that instant (trials).

        Raises:
            SettingError: If it is something else.
        """
        text = self.text(CLOCK)
        if not text:
            return WallClock()
        speed, _, since = text.partition("@")
        try:
            return WallClock(float(speed), int(since))
        except ValueError as error:
            raise SettingError(f"{CLOCK} is {text!r}; it takes SPEED@NANOSECONDS, such as 20@{10**18}") from error

    def kafka(self, client: str) -> KafkaSettings:
        """How a part reaches Kafka."""
        return KafkaSettings(self.text(KAFKA, _KAFKA_DEFAULT), client_id=client)

    def partitions(self) -> int:
        """Of the input topic."""
        return int(self.number(PARTITIONS, topics.PARTITIONS))

    def stream(self, part: str) -> StreamSettings:
        """Of a Faust app."""
        instance = self.text(INSTANCE)
        return StreamSettings(
            kafka=self.kafka(instance or part),
            partitions=self.partitions(),
            group_prefix=self.text(GROUP_PREFIX, "teleward"),
            instance=instance,
            session_s=self.number(SESSION_S, 3.0),
            other_snapshot="replay" if self.choice(OTHER_SNAPSHOT, ("refuse", "replay")) == "replay" else "refuse",
        )

    def shadow(self) -> tuple[Path, ...]:
        """Artifacts that run in shadow."""
        return tuple(Path(folder) for folder in self.text(SHADOW).split(os.pathsep) if folder)

    def storing(self) -> StoringSettings:
        """Of the storing app."""
        return StoringSettings(self.stream("storing"))

    def bridge(self) -> BridgeSettings:
        """Of the bridge.

        Raises:
            SettingError: If the authority or the password cannot be read.
        """
        name = self.text(BRIDGE, DEFAULT_BRIDGE)
        mqtt = MqttSettings(
            # The broker takes a bundle's subscriber by its name: session and user are one.
            client_id=name,
            host=self.text(MQTT_HOST, "127.0.0.1"),
            port=int(self.number(MQTT_PORT, 1883)),
            username=self.text(MQTT_USER) or None,
            password=self.secret(MQTT_PASSWORD, MQTT_PASSWORD_FILE),
            tls=self._tls(),
            receive_maximum=1_000,
            reconnect_max_s=2.0,  # alone on its broker, and patients wait
        )
        return BridgeSettings(mqtt=mqtt, kafka=self.kafka(name), bridge=name)

    def test_device(self) -> MqttSettings | None:
        """How the test patient's device reaches the broker; None where it was given no password: there is none then.

        Raises:
            SettingError: If the authority or the password cannot be read.
        """
        password = self.secret("", TEST_PASSWORD_FILE)
        if password is None:
            return None
        return MqttSettings(
            client_id=topics.SYNTHETIC_DEVICE,
            host=self.text(MQTT_HOST, "127.0.0.1"),
            port=int(self.number(MQTT_PORT, 1883)),
            username=topics.SYNTHETIC_DEVICE,
            password=password,
            tls=self._tls(),
            session_expiry_s=0,
        )

    def _tls(self) -> ssl.SSLContext | None:
        path = self.text(MQTT_CA)
        if not path:
            return None
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise SettingError(f"{MQTT_CA} names {path}, which is no certificate to be read: {error}") from None

    def store(self, *, read_only: bool = False) -> Store:
        """The store; `TELEWARD_STORE` names it.

        Args:
            read_only: For whoever only asks it.

        Raises:
            SettingError: If it names none, or the token cannot be read.
        """
        token = self.secret("", INFLUX_TOKEN_FILE) or ""
        try:
            return open_store(self.text(STORE), token, read_only=read_only)
        except StoreAddressError as error:
            raise SettingError(f"{STORE}: {error}") from error

    def console(self) -> ConsoleSettings:
        """Of the page. The cookies' secret may stand in a file, so that a restart signs nobody out.

        Raises:
            SettingError: If the secret cannot be read.
            SettingsError: If another setting cannot.
        """
        secret = self.secret("", CONSOLE_SECRET_FILE)
        others = {name: text for name, text in self.variables.items() if name != CONSOLE_SECRET_FILE}
        settings = ConsoleSettings.from_env(others)
        return settings if secret is None else replace(settings, secret=secret.encode())
