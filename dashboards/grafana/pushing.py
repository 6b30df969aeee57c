"""Brings a Grafana server to what the code says, and says in words what differs. Twice in a row changes nothing.

Nothing that is not ours is touched: things are found by our uids and names, and of the one tree of notification
policies that an organisation has, only the branch that matches our label is ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from dashboards.grafana.client import Grafana
from dashboards.grafana.difference import ABSENT, Difference, differences
from dashboards.grafana.resources import LABEL, Resources

_OF_THE_SERVER: Final = ("id", "orgID", "orgId", "updated", "provenance", "version", "guid", "folderUID", "ruleGroup")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a push wrote.

    Attributes:
        what: The thing.
        made: True where it was not there before.
        differences: What differed before.
    """

    what: str
    made: bool
    differences: tuple[Difference, ...]


def diff(server: Grafana, resources: Resources) -> tuple[Difference, ...]:
    """Everything in which the server differs from the code; reads only.

    Raises:
        GrafanaError: If the server cannot be asked.
    """
    server.version()
    return tuple(found for thing in _things(server, resources) for found in thing.compare(thing.read()))


def push(
    server: Grafana, resources: Resources, message: str, on_change: Callable[[Change], None]
) -> tuple[Change, ...]:
    """Write what differs, and only that.

    Args:
        server: Which.
        resources: What it shall have.
        message: Stands in the history of each dashboard that changes.
        on_change: Called after each write.

    Returns:
        What was written, in order.

    Raises:
        GrafanaError: If the server refuses; what was written before stays, and the next push goes on from there.
        ConflictError: If somebody changed a thing between our reading and our writing.
    """
    server.version()
    done = []
    for thing in _things(server, resources, message):
        theirs = thing.read()
        if found := thing.compare(theirs):
            thing.write(theirs)
            done.append(Change(thing.what, theirs is None, tuple(found)))
            on_change(done[-1])
    return tuple(done)


class _Thing(ABC):
    """One thing on the server that may differ from ours."""

    def __init__(self, server: Grafana, what: str, ours: dict[str, Any]) -> None:
        self.server, self.what, self.ours = server, what, ours

    @abstractmethod
    def read(self) -> dict[str, Any] | None:
        """What the server has; None where it has none."""

    @abstractmethod
    def write(self, theirs: dict[str, Any] | None) -> None:
        """Put ours there."""

    def compare(self, theirs: dict[str, Any] | None) -> list[Difference]:
        """What differs."""
        if theirs is None:
            return [Difference(self.what, "", "there", ABSENT)]
        return differences(self.what, self.ours, theirs, ignore=_OF_THE_SERVER, loose=True)


class _Folder(_Thing):
    def read(self) -> dict[str, Any] | None:
        return self.server.folder(self.ours["uid"])

    def compare(self, theirs: dict[str, Any] | None) -> list[Difference]:
        return super().compare(theirs and {"uid": theirs.get("uid"), "title": theirs.get("title")})

    def write(self, theirs: dict[str, Any] | None) -> None:
        if theirs is None:
            self.server.make_folder(self.ours["uid"], self.ours["title"])
        else:
            self.server.rename_folder(self.ours["uid"], self.ours["title"], theirs["version"])


class _Datasource(_Thing):
    """Secrets never come back: that there is one is compared, not which."""

    def read(self) -> dict[str, Any] | None:
        return self.server.datasource(self.ours["uid"])

    def compare(self, theirs: dict[str, Any] | None) -> list[Difference]:
        if theirs is None:
            return super().compare(None)
        ours = {key: value for key, value in self.ours.items() if key != "secureJsonData"}
        ours["secureJsonFields"] = dict.fromkeys(self.ours.get("secureJsonData", {}), True)
        known = {key: theirs.get(key) for key in ours}
        return differences(self.what, ours, known, loose=True)

    def write(self, theirs: dict[str, Any] | None) -> None:
        if theirs is None:
            self.server.make_datasource(self.ours)
        else:
            self.server.change_datasource(self.ours)


class _Dashboard(_Thing):
    def __init__(self, server: Grafana, what: str, ours: dict[str, Any], folder_uid: str, message: str) -> None:
        super().__init__(server, what, ours)
        self._folder_uid, self._message = folder_uid, message

    def read(self) -> dict[str, Any] | None:
        return self.server.dashboard(self.ours["uid"])

    def compare(self, theirs: dict[str, Any] | None) -> list[Difference]:
        if theirs is None:
            return super().compare(None)
        found = differences(self.what, self.ours, theirs["dashboard"], ignore=("version",))
        # Only the outermost id is the server's: those of panels are ours.
        found = [one for one in found if one.path != "id"]
        where = {"folder": self._folder_uid}
        return found + differences(self.what, where, {"folder": theirs["meta"].get("folderUid")})

    def write(self, theirs: dict[str, Any] | None) -> None:
        known = theirs["dashboard"] if theirs else {"id": None, "version": 0}
        body = {**self.ours, "id": known.get("id"), "version": known.get("version", 0)}
        self.server.save_dashboard(body, self._folder_uid, self._message)


class _Provisioned(_Thing):
    """A thing of the provisioning interface that is asked for by its own path."""

    def __init__(self, server: Grafana, what: str, ours: dict[str, Any], path: str, make: tuple[str, str]) -> None:
        super().__init__(server, what, ours)
        self._path, self._make = path, make

    def read(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.server.provisioned(self._path)
        return found

    def write(self, theirs: dict[str, Any] | None) -> None:
        method, path = ("PUT", self._path) if theirs else self._make
        version = {"version": theirs["version"]} if theirs and theirs.get("version") else {}
        self.server.provision(method, path, {**self.ours, **version})


class _ContactPoint(_Provisioned):
    """There is no path to a single one: the list of all is asked for."""

    def read(self) -> dict[str, Any] | None:
        for one in self.server.provisioned("contact-points") or []:
            if one.get("uid") == self.ours["uid"]:
                found: dict[str, Any] = one
                return found
        return None


class _Branch(_Thing):
    """Our branch of the tree of notification policies, which must come first: an earlier one could take our alerts."""

    def read(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.server.provisioned("policies")
        return found

    def compare(self, theirs: dict[str, Any] | None) -> list[Difference]:
        routes = (theirs or {}).get("routes") or []
        mine = [index for index, route in enumerate(routes) if _is_ours(route)]
        if not mine:
            return super().compare(None)
        found = differences(self.what, self.ours, routes[mine[0]], ignore=_OF_THE_SERVER, loose=True)
        if mine != [0]:
            found.append(
                Difference(self.what, "place in the tree", "first, once", ", ".join(f"number {i + 1}" for i in mine))
            )
        return found

    def write(self, theirs: dict[str, Any] | None) -> None:
        tree = {key: value for key, value in (theirs or {}).items() if key != "provenance"}
        others = [route for route in tree.get("routes") or [] if not _is_ours(route)]
        # The tree is everybody's: it must stay open to changes on Grafana's pages.
        self.server.provision("PUT", "policies", {**tree, "routes": [self.ours, *others]}, editable=True)


def _is_ours(route: dict[str, Any]) -> bool:
    return any(matcher and matcher[0] == LABEL for matcher in route.get("object_matchers") or [])


def _things(server: Grafana, resources: Resources, message: str = "") -> list[_Thing]:
    """Everything, each after what it needs."""
    r = resources
    things: list[_Thing] = [_Folder(server, f"folder {one['uid']}", one) for one in r.folders]
    things.append(_Datasource(server, f"data source {r.datasource['uid']}", r.datasource))
    for one in r.templates:
        path = f"templates/{quote(one['name'], safe='')}"
        things.append(_Provisioned(server, f"template {one['name']}", one, path, ("PUT", path)))
    for one in r.mute_timings:
        path = f"mute-timings/{quote(one['name'], safe='')}"
        things.append(_Provisioned(server, f"mute timing {one['name']}", one, path, ("POST", "mute-timings")))
    for one in r.contact_points:
        path = f"contact-points/{one['uid']}"
        things.append(_ContactPoint(server, f"contact point {one['uid']}", one, path, ("POST", "contact-points")))
    things.append(_Branch(server, "notification policy", r.branch))
    where = r.folders[0]["uid"]
    things += [_Dashboard(server, f"dashboard {one['uid']}", one, where, message) for one in r.dashboards]
    for one in r.groups:
        path = f"folder/{one['folderUid']}/rule-groups/{quote(one['title'], safe='')}"
        things.append(_Provisioned(server, f"rule group {one['title']}", one, path, ("PUT", path)))
    return things
