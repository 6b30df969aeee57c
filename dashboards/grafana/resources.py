"""Everything that Teleward has in a Grafana, as plain values: a function of the code and of the site alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dashboards.grafana import burden, clinical, engineering, notify, rules
from dashboards.grafana.influxql import DATASOURCE_TYPE, DATASOURCE_UID
from dashboards.grafana.rules import FOLDER_UID as ALERTS_FOLDER
from dashboards.grafana.rules import LABEL
from dashboards.grafana.settings import Site

__all__ = ["ALERTS_FOLDER", "ALERTS_TITLE", "FOLDER", "FOLDER_TITLE", "LABEL", "Resources", "resources"]

FOLDER: Final = "teleward"
FOLDER_TITLE: Final = "Teleward"
# A folder of its own: provisioning by file finds the folder of rules by its title and that of dashboards by its uid.
ALERTS_TITLE: Final = "Teleward alerts"


@dataclass(frozen=True, slots=True)
class Resources:
    """What shall be on the server; each as its interface takes it.

    Attributes:
        folders: The dashboards', then the rules'.
        datasource: InfluxDB.
        dashboards: All of them.
        groups: Groups of alert rules.
        contact_points: Mail and webhooks.
        branch: Our branch of the notification policies.
        tree: The whole tree, for a Grafana that is ours alone.
        mute_timings: Quiet hours.
        templates: Words of messages.
    """

    folders: tuple[dict[str, Any], ...]
    datasource: dict[str, Any]
    dashboards: tuple[dict[str, Any], ...]
    groups: tuple[dict[str, Any], ...]
    contact_points: tuple[dict[str, Any], ...]
    branch: dict[str, Any]
    tree: dict[str, Any]
    mute_timings: tuple[dict[str, Any], ...]
    templates: tuple[dict[str, Any], ...]


def resources(site: Site, influx_token: str = "") -> Resources:
    """Everything, for a site.

    Args:
        site: What differs between two places.
        influx_token: Of InfluxDB 2.x or 3; "" for 1.8 without users.
    """
    console = site.console_url
    return Resources(
        folders=({"uid": FOLDER, "title": FOLDER_TITLE}, {"uid": ALERTS_FOLDER, "title": ALERTS_TITLE}),
        datasource=_datasource(site, influx_token),
        dashboards=(
            clinical.ward(console),
            clinical.patient(console),
            engineering.latency(console),
            engineering.pipeline(console),
            burden.burden(console),
        ),
        groups=tuple(rules.groups(site)),
        contact_points=tuple(notify.contact_points(site)),
        branch=notify.branch(),
        tree=notify.whole_tree(),
        mute_timings=tuple(notify.mute_timings(site)),
        templates=tuple(notify.templates(site)),
    )


def _datasource(site: Site, token: str) -> dict[str, Any]:
    """InfluxDB, asked in InfluxQL; 2.x and 3 want their token as a header."""
    source: dict[str, Any] = {
        "uid": DATASOURCE_UID,
        "name": "Teleward",
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": site.influx_url,
        "jsonData": {"dbName": site.database, "httpMode": "POST", "version": "InfluxQL"},
    }
    if token:
        source["jsonData"]["httpHeaderName1"] = "Authorization"
        source["secureJsonData"] = {"httpHeaderValue1": f"Token {token}"}
    return source
