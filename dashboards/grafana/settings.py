"""What the dashboards and rules need to know of a site, and how to reach its Grafana. Read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Access", "SettingsError", "Site"]

_MAIL: Final = "on-call@teleward.invalid"  # a name that no mail server takes: nobody is written to by accident
_WEBHOOK: Final = "http://127.0.0.1:9/teleward-unset"  # the discard port


class SettingsError(ValueError):
    """A setting that cannot be; the message quotes it and says what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """What differs between two places that run Teleward; everything generated depends on it and on the code alone.

    Attributes:
        console_url: Where clinicians open the console, without a slash at the end; every link to it starts so.
        influx_url: InfluxDB as Grafana reaches it.
        database: InfluxDB's database (1.8), bucket (2.x) or database (3).
        clinicians_mail: Addresses for alarms of patients, with ``;`` between two.
        engineers_mail: Addresses for faults of the pipeline.
        webhook_url: Gets both as JSON.
        quiet_hours: From and to, ``HH:MM``: low-priority notifications wait for the morning.
        time_zone: IANA name of the zone of `quiet_hours`.
    """

    console_url: str = "http://127.0.0.1:8000"
    influx_url: str = "http://127.0.0.1:8086"
    database: str = "teleward"
    clinicians_mail: str = _MAIL
    engineers_mail: str = _MAIL
    webhook_url: str = _WEBHOOK
    quiet_hours: tuple[str, str] = ("22:00", "07:00")
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what cannot work, quoting the value.

        Raises:
            SettingsError: With the setting and its value.
        """
        for name in ("console_url", "influx_url"):
            _web_address(name, getattr(self, name))
        if self.console_url.endswith("/"):
            raise SettingsError(f"console_url is {self.console_url!r}; leave out the slash at its end")
        for text in self.quiet_hours:
            hours, colon, minutes = text.partition(":")
            if not (colon and len(text) == 5 and hours.isdigit() and minutes.isdigit() and text < "24:00"):
                raise SettingsError(f"quiet_hours has {text!r}; it takes HH:MM-HH:MM, such as 22:00-07:00")
        if not self.database:
            raise SettingsError("database is empty; name InfluxDB's database or bucket, such as teleward")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Site:
        """A site that is configured from outside.

        Args:
            environ: Such as ``{"TELEWARD_CONSOLE_URL": "https://ward-7.example"}``; names that are missing or empty
                keep the default.

        Raises:
            SettingsError: If a value cannot be read.
        """
        names = {
            "console_url": "TELEWARD_CONSOLE_URL",
            "influx_url": "TELEWARD_GRAFANA_INFLUX",
            "database": "TELEWARD_INFLUX_DATABASE",
            "clinicians_mail": "TELEWARD_ALERT_MAIL",
            "engineers_mail": "TELEWARD_FAULT_MAIL",
            "webhook_url": "TELEWARD_ALERT_WEBHOOK",
            "time_zone": "TELEWARD_TIME_ZONE",
        }
        given: dict[str, object] = {name: environ[key] for name, key in names.items() if environ.get(key)}
        if quiet := environ.get("TELEWARD_QUIET_HOURS"):
            given["quiet_hours"] = tuple(quiet.split("-", 1))
            if "-" not in quiet:
                raise SettingsError(f"TELEWARD_QUIET_HOURS is {quiet!r}; it takes HH:MM-HH:MM, such as 22:00-07:00")
        return cls(**given)  # type: ignore[arg-type]  # each name is a text, the hours are two


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a Grafana server.

    Attributes:
        url: With a path where Grafana is served under one.
        user: Name for a password; "" where `secret` is a token of a service account.
        secret: Token or password.
        influx_token: Goes into the data source, so that Grafana may ask InfluxDB 2.x or 3; "" where it asks nobody.
        timeout_s: For one request.
        verify: Whether the server's certificate must be one that this machine trusts.
    """

    url: str = "http://127.0.0.1:3000"
    user: str = ""
    secret: str = field(default="", repr=False)
    influx_token: str = field(default="", repr=False)
    timeout_s: float = 10.0
    verify: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: With what to do.
        """
        _web_address("url", self.url)
        if not self.secret:
            raise SettingsError(
                "no token for Grafana: put a service account's token (role Admin) into a file and name it with "
                "--token-file or TELEWARD_GRAFANA_TOKEN_FILE"
            )

    @classmethod
    def from_files(cls, url: str, token_file: Path | None, *, user: str = "", influx_token_file: Path | None) -> Access:
        """With secrets from files, where they stay out of process lists and shells' histories.

        Raises:
            SettingsError: If a file cannot be read.
        """
        return cls(url, user, _secret(token_file), _secret(influx_token_file))


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _web_address(name: str, text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"{name} is {text!r}; it takes an address such as http://127.0.0.1:3000")
    if parts.username or parts.password:
        raise SettingsError(f"{name} carries a name or a password; give them by their own settings")
