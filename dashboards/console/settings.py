"""The console's settings: frozen, checked at birth, read from an environment that is handed in."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PREFIX: Final = "TELEWARD_CONSOLE_"


class SettingsError(ValueError):
    """A setting that cannot be; the message quotes it."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Where the page is served and how it behaves.

    Attributes:
        host: Address to listen on. The default keeps the page on this machine.
        port: 0 takes any free one.
        title: Name of the ward, at the top of the page.
        volatile: True where nothing outlives the process; the page says so.
        accounts_file: Local accounts (see `dashboards.console.accounts`); None: only accounts made while running.
        sessions_file: Where ended sessions and links for carers outlive a restart (`dashboards.console.session_book`);
            None: in memory, so that a link of an earlier process opens nothing.
        tls_certificate: File of the certificate (and of those between it and the authority), PEM; with `tls_key` the
            page is served by TLS.
        tls_key: File of its key, PEM, without a password.
        plain: Serve without TLS beyond this machine, because something in front of the page, on a network that nobody
            else is on, speaks TLS to the browsers (or forwards from this machine alone).
        directory: Pseudonym -> what staff call the place (``bed 4``). The only such table of the system.
        secret: Signs the session cookies. Fresh for each process unless given, so a restart signs everybody out.
        secure_cookies: Cookies only over TLS. Always so with `tls_certificate`; turn on where something in front speaks
            TLS.
        session_s: How long a sign-in lasts: a shift.
        heartbeat_s: Seconds of the wall between two heartbeats of a stream.
        silence_s: After so many seconds without a word the page says that it is not live; more than two heartbeats.
        coalesce_s: Least seconds between two changes of one stream; 0.2 makes at most five a second.
        max_streams: Streams open at once; more are refused, so that a leak cannot take the ward's memory.
        tick_silence_s: Seconds of the wall without a tick after which the page says that ward time stands still.
        health_silence_s: Seconds of the wall after which a part that has spoken before counts as silent.
        help_line: What a patient or carer should do who feels unwell; stands on their page.
        pass_link_s: How long a link to one patient's own page may be used.
        pass_s: How long somebody who came by such a link stays signed in.
        command_timeout_s: How long a command may take to be written before the person is told that it was not.
        window_h: Hours of frames kept in memory for each patient: what the lines of the ward page show at most.
        spark_h: Hours that the small lines span.
        spark_bins: Points in a small line. Example: 4 h in 48 points is one for every five minutes.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    title: str = "Ward"
    volatile: bool = False
    accounts_file: Path | None = None
    sessions_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    plain: bool = False
    directory: Mapping[str, str] = field(default_factory=dict)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    secure_cookies: bool = False
    session_s: float = 12 * 3600.0
    heartbeat_s: float = 2.0
    silence_s: float = 5.0
    coalesce_s: float = 0.2
    max_streams: int = 200
    tick_silence_s: float = 10.0
    health_silence_s: float = 30.0
    help_line: str = "If you feel unwell, call your care team or the emergency number. Do not wait for this page."
    pass_link_s: float = 24 * 3600.0
    pass_s: float = 30 * 24 * 3600.0
    command_timeout_s: float = 5.0
    window_h: float = 6.0
    spark_h: float = 4.0
    spark_bins: int = 48

    def __post_init__(self) -> None:
        """Refuse what cannot work, quoting the value.

        Raises:
            SettingsError: With the setting and its value.
        """
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port is {self.port}; it must lie between 0 and 65535")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError("TLS needs both: tls_certificate and tls_key")
        if not (self.tls or self.plain or loopback(self.host)):
            raise SettingsError(
                f"host is {self.host}, which others can reach, and there is no TLS: whoever listens would read values "
                "and passwords. Give tls_certificate and tls_key; or, where something in front of the page speaks TLS, "
                "say plain=true"
            )
        if self.silence_s <= 2 * self.heartbeat_s:
            raise SettingsError(
                f"silence_s is {self.silence_s}; with a heartbeat of {self.heartbeat_s} s one lost beat would cry wolf"
            )
        if len(self.secret) < 16:
            raise SettingsError(f"secret has {len(self.secret)} bytes; it needs at least 16")
        if not 2 <= self.spark_bins <= 500:
            raise SettingsError(f"spark_bins is {self.spark_bins}; it must lie between 2 and 500")
        for name in ("session_s", "heartbeat_s", "coalesce_s", "window_h", "spark_h", "command_timeout_s", "pass_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def tls(self) -> bool:
        """Whether the page itself speaks TLS."""
        return self.tls_certificate is not None

    @property
    def secure(self) -> bool:
        """Whether browsers come by TLS: cookies then go by nothing else."""
        return self.tls or self.secure_cookies

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ConsoleSettings:
        """Settings of a stack that is configured from outside.

        Args:
            environ: Such as ``{"TELEWARD_CONSOLE_PORT": "8443"}``; other names are left alone. The directory is a
                JSON object of pseudonyms and places in the file that ``TELEWARD_CONSOLE_DIRECTORY`` names.

        Raises:
            SettingsError: If a value cannot be read.
        """
        known = {key[len(PREFIX) :].lower(): text for key, text in environ.items() if key.startswith(PREFIX)}
        given: dict[str, object] = {}
        for name, text in known.items():
            given[name] = _read(name, text)
        return cls(**given)  # type: ignore[arg-type]  # _read gives each setting its own type


def loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name counts where it is localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(name: str, text: str) -> object:
    """One setting from its text."""
    try:
        match name:
            case "host" | "title" | "help_line":
                return text
            case "port" | "max_streams" | "spark_bins":
                return int(text)
            case "volatile" | "secure_cookies" | "plain":
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            case "accounts_file" | "sessions_file" | "tls_certificate" | "tls_key":
                return Path(text)
            case "directory":
                return {str(key): str(place) for key, place in json.loads(Path(text).read_text("utf-8")).items()}
            case "secret":
                return text.encode()
            case "session_s" | "heartbeat_s" | "silence_s" | "coalesce_s" | "tick_silence_s" | "health_silence_s":
                return float(text)
            case "command_timeout_s" | "window_h" | "spark_h" | "pass_link_s" | "pass_s":
                return float(text)
            case _:
                raise SettingsError(f"{PREFIX}{name.upper()} is no setting of the console")
    except (ValueError, KeyError, OSError, AttributeError) as error:
        if isinstance(error, SettingsError):
            raise
        # The secret itself must never stand in a message.
        shown = "…" if name == "secret" else repr(text)
        raise SettingsError(f"{PREFIX}{name.upper()} is {shown}, which cannot be read") from error
