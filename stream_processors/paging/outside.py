"""Addresses outside: calendars that are read, the heartbeat's address that is asked. Blocks; called in a thread."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

_LARGEST: Final = 20_000_000


class Unreachable(Exception):  # noqa: N818  # an outcome that every caller expects
    """An address that did not give what was asked, in words without the address (it may hold a secret)."""


def fetch(address: str, timeout_s: float = 10.0, *, say: bytes | None = None) -> bytes:
    """What stands at an address: ``https:``, ``http:``, ``webcal:`` or a file's path.

    Args:
        address: Where.
        timeout_s: How long it may take.
        say: Posted there; None only asks.

    Raises:
        Unreachable: If it cannot be had.
    """
    scheme, found, rest = address.partition("://")
    try:
        if not found:
            return Path(address).read_bytes()
        if scheme not in ("http", "https", "webcal"):
            raise Unreachable(f"{scheme}: is no scheme for this; write https://, http://, webcal:// or a path")
        url = f"https://{rest}" if scheme == "webcal" else address
        with urllib.request.urlopen(url, data=say, timeout=timeout_s) as answer:  # noqa: S310  # the schemes are checked above
            data: bytes = answer.read(_LARGEST + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unreachable(f"answered {error.code}") from error
    except (OSError, ValueError) as error:
        raise Unreachable(type(error).__name__) from error
    if len(data) > _LARGEST:
        raise Unreachable(f"is larger than {_LARGEST} bytes")
    return data
