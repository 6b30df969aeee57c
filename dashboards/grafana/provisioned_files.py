"""The same dashboards and rules as files, for a Grafana that is Teleward's alone: it reads them when it starts.

Grafana fills environment variables into most values of these files (``$NAME``, ``${NAME}``), into the questions and
annotations of rules and into templates of messages it does not. `files` refuses a ``$`` where it would be filled in and
is not meant to be.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from dashboards.grafana.resources import ALERTS_TITLE, FOLDER, FOLDER_TITLE, Resources

BOARDS: Final = "dashboards/boards"
"""Folder of the dashboards, under the folder of all files."""

_HEAD: Final = "# Written by `python -m deploy.compose.generate`; changes by hand are lost.\n"
_MEANT: Final = re.compile(r"\$\{TELEWARD_\w+\}|\$__file\{[^}]+\}")


class ProvisioningError(ValueError):
    """Something that Grafana would read as an environment variable and that is none."""


def files(resources: Resources, mounted: PurePosixPath, token_file: PurePosixPath | None = None) -> dict[str, str]:
    """Path under the folder of provisioning -> what stands in the file.

    Args:
        resources: Everything.
        mounted: Where Grafana sees that folder.
        token_file: InfluxDB's token, as Grafana sees it; None where InfluxDB asks for none.

    Raises:
        ProvisioningError: See there.
    """
    found = {f"{BOARDS}/{board['uid']}.json": _json(board) for board in resources.dashboards}
    provider = {
        "name": FOLDER_TITLE, "orgId": 1, "type": "file", "folder": FOLDER_TITLE, "folderUid": FOLDER,
        "disableDeletion": True, "allowUiUpdates": False, "updateIntervalSeconds": 60,
        "options": {"path": str(mounted / BOARDS)},
    }  # fmt: skip
    found["dashboards/teleward.yaml"] = _yaml({"providers": [_checked(provider)]})
    found["datasources/teleward.yaml"] = _yaml(
        {"datasources": [_checked(_datasource(resources.datasource, token_file))]}
    )
    alerting = "alerting/teleward-"
    found[f"{alerting}rules.yaml"] = _yaml({"groups": [_group(group) for group in resources.groups]})
    found[f"{alerting}contacts.yaml"] = _yaml({"contactPoints": _checked(_contacts(resources.contact_points))})
    found[f"{alerting}policies.yaml"] = _yaml({"policies": [_checked({"orgId": 1, **resources.tree})]})
    found[f"{alerting}quiet-hours.yaml"] = _yaml({"muteTimes": [{"orgId": 1, **one} for one in resources.mute_timings]})
    found[f"{alerting}templates.yaml"] = _yaml({"templates": [{"orgId": 1, **one} for one in resources.templates]})
    return found


def _datasource(source: dict[str, Any], token_file: PurePosixPath | None) -> dict[str, Any]:
    found = {**source, "orgId": 1, "editable": False, "jsonData": dict(source["jsonData"])}
    if token_file is not None:
        found["jsonData"]["httpHeaderName1"] = "Authorization"
        found["secureJsonData"] = {"httpHeaderValue1": f"Token $__file{{{token_file}}}"}
    return found


def _group(group: dict[str, Any]) -> dict[str, Any]:
    keep = ("uid", "title", "condition", "data", "noDataState", "execErrState", "for", "annotations", "labels")
    rules = [{key: rule[key] for key in keep} for rule in group["rules"]]
    for rule in rules:
        _checked({"title": rule["title"], "labels": rule["labels"]})
    return {
        "orgId": 1, "name": group["title"], "folder": ALERTS_TITLE, "interval": f"{group['interval']}s", "rules": rules,
    }  # fmt: skip


def _contacts(points: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Contact points of one name are receivers of one."""
    named: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        receiver = {key: point[key] for key in ("uid", "type", "settings", "disableResolveMessage")}
        named.setdefault(point["name"], []).append(receiver)
    return [{"orgId": 1, "name": name, "receivers": receivers} for name, receivers in named.items()]


def _checked(value: Any) -> Any:
    """Itself, if Grafana will read it as it is meant."""
    if isinstance(value, dict):
        for inner in value.values():
            _checked(inner)
    elif isinstance(value, list):
        for inner in value:
            _checked(inner)
    elif isinstance(value, str) and "$" in _MEANT.sub("", value):
        raise ProvisioningError(f"Grafana would fill an environment variable into {value!r}")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _yaml(value: dict[str, Any]) -> str:
    return _HEAD + yaml.safe_dump({"apiVersion": 1, **value}, sort_keys=False, width=120, allow_unicode=True)
