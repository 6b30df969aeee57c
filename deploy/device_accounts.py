"""``teleward device``: credentials of devices, on the native stack and in containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.brokers.mosquitto import Role
from deploy.devices import AccountError, Accounts, tell_broker
from vitals import topics


def add_device(device: str, folder: Path, users: Path | None, *, renew: bool) -> dict[str, Any]:
    """Make a device's credentials, and have a running broker know them.

    Args:
        device: Its id.
        folder: Of the stack.
        users: Folder of the broker's users where it is not the stack's.
        renew: A new password for one that exists.

    Raises:
        AccountError: If the name can't be one or is taken, or there is no such stack.
    """
    accounts = _accounts(folder, users)
    password = accounts.add(device, Role.DEVICE, renew=renew)
    authority = _authority(folder, users)
    return {
        "device": device,
        "password": password,
        "topic": topics.bundle_topic(device),
        "authority": str(authority) if authority.exists() else "",
        "told": _tell(folder, users),
    }


def remove_device(device: str, folder: Path, users: Path | None) -> dict[str, Any]:
    """Take a device away.

    Raises:
        AccountError: If it is none of the broker's devices.
    """
    accounts = _accounts(folder, users)
    if device == topics.SYNTHETIC_DEVICE:
        raise AccountError(f"{device!r} is the test patient's; the stack needs it to know that alarms come through")
    if accounts.users().get(device) is not Role.DEVICE:
        raise AccountError(f"{device!r} is no device of this broker; `teleward device list` names them")
    accounts.remove(device)
    return {"device": device, "told": _tell(folder, users)}


def list_devices(folder: Path, users: Path | None) -> dict[str, Any]:
    """The devices of a broker, by name, without the test patient's.

    Raises:
        AccountError: If there is no such stack.
    """
    known = _accounts(folder, users).users()
    return {"devices": sorted(n for n, role in known.items() if role is Role.DEVICE and n != topics.SYNTHETIC_DEVICE)}


def _accounts(folder: Path, users: Path | None) -> Accounts:
    place = users or _server(folder) / "users"
    if not place.is_dir():
        raise AccountError(f"there is no stack in {folder}: start one (teleward up --stack native) or give --users")
    return Accounts(place)


def _server(folder: Path) -> Path:
    return folder / "servers" / "mosquitto"


def _authority(folder: Path, users: Path | None) -> Path:
    return (users.parent if users else folder) / "certificates" / "authority.pem"


def _tell(folder: Path, users: Path | None) -> bool:
    """A broker in a container is told by its engine: a signal does not reach it from here."""
    return users is None and tell_broker(_server(folder) / "mosquitto.pid")
