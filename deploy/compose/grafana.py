"""Grafana's provisioning as the containers mount it: dashboards and rules for a Grafana that is Teleward's alone."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from dashboards.grafana.provisioned_files import files
from dashboards.grafana.resources import resources
from dashboards.grafana.settings import Site
from deploy.brokers import values
from deploy.compose import prepare

FOLDER: Final = Path(__file__).parents[2] / "dashboards" / "grafana" / "provisioning"
MOUNTED: Final = PurePosixPath("/etc/grafana/provisioning")

ENVIRONMENT: Final = {
    # Grafana fills these into the contact points; none of these defaults reaches anybody.
    "TELEWARD_ALERT_MAIL": "on-call@teleward.invalid",
    "TELEWARD_FAULT_MAIL": "engineers@teleward.invalid",
    "TELEWARD_ALERT_WEBHOOK": "http://127.0.0.1:9/teleward-unset",
    # Without a mail server Grafana says in its log that it could not send.
    "GF_SMTP_ENABLED": "false",
    "GF_SMTP_HOST": "localhost:25",
    "GF_SMTP_FROM_ADDRESS": "grafana@teleward.invalid",
}
"""Variable of Grafana's container -> its value where the one who starts the containers gives none."""


def provisioning() -> dict[str, str]:
    """Path under `FOLDER` -> what stands in the file."""
    site = Site(
        console_url=f"http://127.0.0.1:{values.CONSOLE_PORT}",
        influx_url=f"http://influxdb:{values.INFLUX_PORT}",
        database=values.INFLUX_DATABASE,
        clinicians_mail="${TELEWARD_ALERT_MAIL}",
        engineers_mail="${TELEWARD_FAULT_MAIL}",
        webhook_url="${TELEWARD_ALERT_WEBHOOK}",
    )
    return files(resources(site), MOUNTED, PurePosixPath(prepare.STORE / "influx-token"))


def write() -> None:
    """Write all files, and take away those that are generated no more."""
    wanted = provisioning()
    for path in list(FOLDER.rglob("*")) if FOLDER.exists() else []:
        if path.is_file() and path.relative_to(FOLDER).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
