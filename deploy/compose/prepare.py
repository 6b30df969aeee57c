"""What has to be there before the containers' servers start: users, passwords, a certificate, Mosquitto's settings.

``python -m deploy.compose.prepare`` runs in a container of its own, before all others, and does nothing the second
time. It writes the same files as the native stack, with the paths that the broker's container sees.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dashboards.console import write_accounts
from deploy.brokers import certificates, values
from deploy.brokers.mosquitto import BrokerFiles, Listener, Role, Tls, configuration
from deploy.devices import Accounts
from deploy.up.pager_files import pager_variables
from vitals import topics

ROOT: Final = Path("/var/lib/teleward")
"""Where Teleward's image has the folders below; volumes that are first used there belong to its user."""

MQTT: Final = ROOT / "mqtt"
STORE: Final = ROOT / "store"
SESSIONS: Final = ROOT / "sessions"
PAGE: Final = ROOT / "page"
"""What the page itself writes: it may read accounts and secret, and change neither."""
WARD: Final = ROOT / "ward"
"""Accounts of the page, rota and database of the pager."""

CONFIG: Final = MQTT / "mosquitto.conf"
AUTHORITY: Final = MQTT / "certificates" / "authority.pem"
PARTS: Final = {values.BRIDGE_USER: Role.BRIDGE, values.WATCHER_USER: Role.WATCHER}
STORE_SECRETS: Final = ("influx-token", "influx-password", "grafana-password")
TEST_PASSWORD: Final = "pager/test-patient/password"  # noqa: S105 - of its file, in the ward's folder
TEST_AUTHORITY: Final = "pager/test-patient/authority.pem"
FIRST_PERSON: Final = "admin"
CONSOLE_URL: Final = f"http://127.0.0.1:{values.CONSOLE_PORT}/"
HOSTS: Final = "TELEWARD_MQTT_HOSTS"
"""Environment: names and addresses by which devices call the broker, with commas; for its certificate."""

_INSIDE: Final = ("mosquitto", "localhost")


def prepare(mqtt: Path, store: Path, ward: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Write what is not there yet.

    Args:
        mqtt: Folder of the broker's users, certificate and settings; the broker sees it under the same path.
        store: Folder of the passwords of InfluxDB and Grafana.
        ward: Folder of page and pager.
        environ: See `HOSTS`.

    Returns:
        What was made, in words.
    """
    made = []
    hosts = (*_INSIDE, *filter(None, (part.strip() for part in environ.get(HOSTS, "").split(","))))
    folder = mqtt / "certificates"
    if not (folder / "server.pem").exists() or _read(folder / "hosts") != ",".join(hosts):
        certificates.server(folder, hosts)
        (folder / "hosts").write_text(",".join(hosts), encoding="utf-8")
        made.append(f"a certificate of the broker for {', '.join(hosts)}")
    accounts = Accounts(mqtt / "users")
    accounts.prepare()
    for name, role in PARTS.items():
        if name not in accounts.users():
            made.append(f"the user {name}")
        accounts.own(name, role)
    files = BrokerFiles(str(SESSIONS), str(accounts.passwords), str(accounts.rules))
    tls = Tls(str(folder / "authority.pem"), str(folder / "server.pem"), str(folder / "server.key"))
    listeners = (Listener("0.0.0.0", values.MQTT_TLS_PORT, tls), Listener("127.0.0.1", values.MQTT_PORT))  # noqa: S104 - with TLS
    (mqtt / CONFIG.name).write_text(configuration(files, listeners), encoding="utf-8")
    made += [f"the secret {name}" for name in STORE_SECRETS if _secret(store / name)]
    return (*made, *_prepare_ward(ward), *_prepare_test_patient(ward, accounts, folder / "authority.pem"))


def _prepare_ward(ward: Path) -> list[str]:
    """Nobody may sign in before `teleward account add`; the first of the rota is who is on call until it is edited."""
    accounts = ward / "console" / "accounts.json"
    accounts.parent.mkdir(parents=True, exist_ok=True)
    made = []
    if not accounts.exists():
        write_accounts(accounts, [])
        made.append("an empty list of accounts")
    secret = ward / "console" / "secret"
    if not secret.exists():
        made.append("the secret of the page's cookies")

    def keep(path: Path) -> Path:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(32), encoding="ascii")
        return path

    keep(secret)
    pager_variables(ward / "pager", CONSOLE_URL, FIRST_PERSON, keep)
    return made


def _prepare_test_patient(ward: Path, accounts: Accounts, authority: Path) -> list[str]:
    """The pager gets what its device needs of the broker's folder, and no more: it talks to the outside."""
    made = [] if topics.SYNTHETIC_DEVICE in accounts.users() else [f"the device {topics.SYNTHETIC_DEVICE}"]
    password = ward / TEST_PASSWORD
    password.parent.mkdir(parents=True, exist_ok=True)
    password.touch(mode=0o600)
    password.write_text(accounts.own(topics.SYNTHETIC_DEVICE, Role.DEVICE), encoding="utf-8")
    (ward / TEST_AUTHORITY).write_bytes(authority.read_bytes())
    return made


def _secret(path: Path) -> bool:
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(secrets.token_urlsafe(32), encoding="ascii")
    # InfluxDB and Grafana run as users of their own; nobody else mounts this folder.
    path.chmod(0o644)
    return True


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    """See the module."""
    for line in prepare(MQTT, STORE, WARD, os.environ):
        print(f"made {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
