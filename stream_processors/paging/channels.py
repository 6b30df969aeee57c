"""Ways to a person: any address that Apprise knows, a file, the console.

A channel either has taken a message or raises `ChannelFailed`; nothing here tries twice. Addresses hold secrets: only
their scheme is ever logged or shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from stream_processors.paging.text import Words
from transport.kafka import KafkaError

log = logging.getLogger(__name__)

TEST: Final = "test"
_SECRET: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_HEADERS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"})
_PAYLOAD: Final = frozenset({"json", "jsons", "form", "forms"})
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ChannelFailed(Exception):  # noqa: N818  # an outcome that every caller expects
    """A channel did not take a message, in words without address or content."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way.

    Attributes:
        message_id: The same on every try; a receiver that looks at it hears nothing twice.
        person: To whom.
        priority: ``high``, ``medium`` or ``low``.
        kind: As `state.SendKind`.
        words: What it says.
        repeat: True where an earlier try may have arrived.
        at_ns: When it was decided.
        tokens: action -> token of a link, for channels that have their own way to answer.
        alarms: Ids of the alarms that it is about.
    """

    message_id: str
    person: str
    priority: str
    kind: str
    words: Words
    repeat: bool = False
    at_ns: int = 0
    tokens: Mapping[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()


class Channels(Protocol):
    """Whoever can send to an address."""

    async def send(self, address: str, message: Outgoing) -> None:
        """Send.

        Raises:
            ChannelFailed: If the channel did not take it.
        """
        ...


class AllChannels:
    """File, console, and through Apprise everything else.

    Args:
        folder: Where files of the file channel are; None: there is no such channel.
        console: Told of messages for the console; None: there is no such channel.
        test: Told of messages of the test patient; None: there is no such channel.
        copies: Addresses that every message to a person goes to besides; what becomes of it there changes nothing.
        secrets: What ``${NAME}`` in an address stands for.
        timeout_s: How long an address may take.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        console: Callable[[Outgoing], Awaitable[None]] | None = None,
        test: Callable[[Outgoing], Awaitable[None]] | None = None,
        copies: tuple[str, ...] = (),
        secrets: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._folder = folder
        self._inside = {"console": console, TEST: test}
        self._copies = copies
        self._secrets = dict(secrets or {})
        self._timeout_s = timeout_s
        self._in_file: dict[str, set[str]] = {}

    async def send(self, address: str, message: Outgoing) -> None:
        """Send; see `Channels`."""
        if not address.startswith(f"{TEST}:"):
            for copy in self._copies:
                with contextlib.suppress(ChannelFailed):
                    await self._send(copy, message)
        await self._send(address, message)

    async def _send(self, address: str, message: Outgoing) -> None:
        scheme, _, rest = address.partition(":")
        try:
            async with asyncio.timeout(self._timeout_s):
                match scheme:
                    case "file":
                        await asyncio.to_thread(self._to_file, rest, message)
                    case "console" | "test":
                        await self._inside_to(scheme, message)
                    case _:
                        await self._through_apprise(scheme, self._with_secrets(address), message)
        except TimeoutError as error:
            raise ChannelFailed(f"{scheme} did not answer within {self._timeout_s:g} s") from error

    def _with_secrets(self, address: str) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in self._secrets:
                raise ChannelFailed(f"the secret {found[1]} is not set")
            return quote(self._secrets[found[1]], safe="")

        return _SECRET.sub(value, address)

    async def _inside_to(self, name: str, message: Outgoing) -> None:
        way = self._inside[name]
        if way is None:
            raise ChannelFailed(f"there is no {name} here")
        try:
            await way(message)
        except (KafkaError, OSError) as error:
            raise ChannelFailed(f"{name}: {type(error).__name__}") from error

    def _to_file(self, name: str, message: Outgoing) -> None:
        """A line of JSON, flushed to the disk; a message that stands there already is not written again."""
        if self._folder is None or not _FILE_NAME.fullmatch(name):
            raise ChannelFailed("there is no such file channel here")
        path = self._folder / f"{name}.jsonl"
        try:
            there = self._in_file.get(name)
            if there is None:
                there = self._in_file[name] = _mend(path)
            if message.message_id in there:
                return
            line = json.dumps(
                {
                    "message_id": message.message_id,
                    "person": message.person,
                    "priority": message.priority,
                    "kind": message.kind,
                    "title": message.words.title,
                    "body": message.words.body,
                }
            )
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            there.add(message.message_id)
        except OSError as error:
            raise ChannelFailed(f"file: {error.strerror}") from error

    async def _through_apprise(self, scheme: str, address: str, message: Outgoing) -> None:
        words = message.words
        body = f"{words.body}\n(Sent again: an earlier try may have reached you.)" if message.repeat else words.body
        kind = {"high": "failure", "medium": "warning"}.get(message.priority, "info")
        try:
            plugin = await asyncio.to_thread(_plugin, scheme, address, message)
            taken = plugin is not None and await plugin.async_notify(title=words.title, body=body, notify_type=kind)
        except Exception as error:  # its hundred plugins raise what they like
            raise ChannelFailed(f"{scheme}: {type(error).__name__}") from error
        if plugin is None:
            raise ChannelFailed(f"{scheme} is no address that Apprise knows")
        if not taken:
            raise ChannelFailed(f"{scheme} refused it or cannot be reached")


def _mend(path: Path) -> set[str]:
    """The ids that stand in a file. A last line that a kill cut off is taken away: it is written again whole."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return {json.loads(line)["message_id"] for line in whole.splitlines()}


def _plugin(scheme: str, address: str, message: Outgoing) -> Any:
    """Apprise's plugin for an address, with the message's id where the channel can carry it beside the text."""
    import apprise  # noqa: PLC0415  # half a second that most starts do not need

    # Its own log would hold addresses and what servers answered.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    also = []
    if scheme in _HEADERS:
        also.append(f"%2BX-Message-Id={message.message_id}")
    if scheme in _PAYLOAD:
        also += [f"%3Amessage_id={message.message_id}", f"%3Apriority={message.priority}"]
    joined = address + (("&" if "?" in address else "?") + "&".join(also) if also else "")
    return apprise.Apprise.instantiate(joined, suppress_exceptions=True)
