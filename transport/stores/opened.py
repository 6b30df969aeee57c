"""Opens the store that an address names: ``influx:http://127.0.0.1:8086/teleward`` or ``sqlite:///srv/ward.sqlite``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from transport.stores.base import Store
from transport.stores.influx import InfluxStore
from transport.stores.influx_http import InfluxSettings
from transport.stores.sqlite import SqliteStore

_INFLUX: Final = re.compile(r"influx:(?P<url>https?://[^/]+)/(?P<database>[^/]+)/?")
_SQLITE: Final = "sqlite:///"


class StoreAddressError(ValueError):
    """An address names no store; the message says what one looks like."""


def influx_settings(address: str, token: str = "") -> InfluxSettings | None:
    """How the InfluxDB of an address is reached; None where the address names another store.

    Args:
        address: See the module.
        token: 2.x: a token; 1.8: ``user:password``, or "" where it asks for none.

    Raises:
        StoreAddressError: If it begins like one and is none.
    """
    if not address.startswith("influx:"):
        return None
    found = _INFLUX.fullmatch(address)
    if found is None:
        raise StoreAddressError(f"{address!r} is no address of a store; write influx:http://HOST:PORT/DATABASE")
    return InfluxSettings(found["url"], found["database"], token)


def open_store(address: str, token: str = "", *, read_only: bool = False) -> Store:
    """Open a store; nothing is asked of a server before the first question.

    Args:
        address: See the module.
        token: See `influx_settings`.
        read_only: For pages and commands beside the process that writes.

    Raises:
        StoreAddressError: If the address names none.
        StoreUnavailable: If a file cannot be opened.
    """
    if (settings := influx_settings(address, token)) is not None:
        return InfluxStore(settings, read_only=read_only)
    if address.startswith(_SQLITE) and len(address) > len(_SQLITE):
        return SqliteStore(Path("/" + address.removeprefix(_SQLITE).lstrip("/")))
    raise StoreAddressError(
        f"{address!r} is no address of a store; write influx:http://HOST:PORT/DATABASE or sqlite:///FILE"
    )
