"""A stand-in for Grafana's HTTP interface: what its documentation says of the calls that we make, and no more.

It keeps what it is given, adds what a server adds (ids, versions, provenance, defaults written out), and refuses as
the documentation says: 401, 403, 404, 409, 412, 400 for a provisioned dashboard. It is no Grafana: that a real one
takes what we send is not shown by it.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = "glsa_for_tests"
PASSWORD = "admin-for-tests"


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = code, {"message": message, **more}


class FakeGrafana:
    """``with FakeGrafana() as server``: `url`, what it holds, and every write that came."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.folders: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.meta: dict[str, dict[str, Any]] = {}
        self.groups: dict[tuple[str, str], dict[str, Any]] = {}
        self.contact_points: list[dict[str, Any]] = []
        self.mute_timings: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, Any] = {
            "receiver": "grafana-default-email",
            "group_by": ["grafana_folder", "alertname"],
        }
        self.writes: list[tuple[str, str]] = []
        self.editable: list[str] = []  # paths that were written with X-Disable-Provenance
        self.role = "Admin"
        self.on_write: Any = None  # called before a write is judged: somebody else's hand
        self._ids = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.prefix}"

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                try:
                    if self.path != f"{owner.prefix}/api/health":
                        owner._authenticate(self.headers.get("Authorization", ""))
                    status, answer = owner._answer(self.command, self.path, body, self.headers)
                except RefusedError as refusal:
                    status, answer = refusal.status, refusal.body
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - their names

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False  # joined at the end: no socket is left open
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- one request ---------------------------------------------------------------------------------------------------

    def _authenticate(self, header: str) -> None:
        basic = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        if header not in {f"Bearer {TOKEN}", basic}:
            raise RefusedError(401, "Invalid API key")

    def _answer(self, method: str, target: str, body: Any, headers: Any) -> tuple[int, Any]:
        path = urlsplit(target).path
        start = f"{self.prefix}/api/"
        if not path.startswith(start):
            raise RefusedError(404, "Not found")
        parts = [unquote(part) for part in path[len(start) :].split("/")]
        if method != "GET":
            if self.role != "Admin":
                raise RefusedError(403, "You'll need additional permissions to perform this action.")
            if self.on_write is not None:
                self.on_write(parts)
            self.writes.append((method, "/".join(parts)))
            if headers.get("X-Disable-Provenance"):
                self.editable.append("/".join(parts))
        provenance = "" if headers.get("X-Disable-Provenance") else "api"
        match method, parts:
            case "GET", ["health"]:
                return 200, {"database": "ok", "version": "11.6.0", "commit": "0"}
            case _, ["folders", *rest]:
                return self._folders(method, rest, body)
            case _, ["datasources", *rest]:
                return self._datasources(method, rest, body)
            case _, ["dashboards", *rest]:
                return self._dashboards(method, rest, body)
            case _, ["v1", "provisioning", "contact-points", *rest]:
                return self._contact_points(method, rest, body, provenance)
            case _, ["v1", "provisioning", "mute-timings", *rest]:
                return self._named(self.mute_timings, method, rest, body, provenance, make="POST")
            case _, ["v1", "provisioning", "templates", *rest]:
                return self._named(self.templates, method, rest, body, provenance, make="PUT")
            case _, ["v1", "provisioning", "policies"]:
                return self._policies(method, body, provenance)
            case _, ["v1", "provisioning", "folder", folder, "rule-groups", group]:
                return self._groups(method, folder, group, body, provenance)
        raise RefusedError(404, "Not found")

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _folders(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "POST":
            if any(one["title"] == body["title"] or one["uid"] == body["uid"] for one in self.folders.values()):
                raise RefusedError(409, "a folder with the same name already exists in the current location")
            self.folders[body["uid"]] = {"id": self._id(), "uid": body["uid"], "title": body["title"], "version": 1}
            return 200, self.folders[body["uid"]]
        folder = self.folders.get(rest[0])
        if folder is None:
            raise RefusedError(404, "folder not found")
        if method == "PUT":
            if body.get("version") != folder["version"] and not body.get("overwrite"):
                raise RefusedError(412, "the folder has been changed by someone else", status="version-mismatch")
            folder |= {"title": body["title"], "version": folder["version"] + 1}
        return 200, folder

    def _datasources(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        uid = body["uid"] if method == "POST" else rest[1]
        if method in {"GET", "PUT"}:
            if uid not in self.datasources:
                raise RefusedError(404, "Data source not found")
        elif uid in self.datasources or any(one["name"] == body["name"] for one in self.datasources.values()):
            raise RefusedError(409, "data source with the same name already exists")
        if method != "GET":
            kept = copy.deepcopy(body)
            self.secrets.setdefault(uid, {}).update(kept.pop("secureJsonData", {}))
            kept["secureJsonFields"] = dict.fromkeys(self.secrets[uid], True)
            self.datasources[uid] = {"id": self._id(), "orgId": 1, "readOnly": False, "basicAuth": False, **kept}
        return 200, self.datasources[uid]

    def _dashboards(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            board = self.dashboards.get(rest[1])
            if board is None:
                raise RefusedError(404, "Dashboard not found")
            return 200, {"dashboard": board, "meta": self.meta[rest[1]]}
        board, uid = copy.deepcopy(body["dashboard"]), body["dashboard"]["uid"]
        if body["folderUid"] not in self.folders:
            raise RefusedError(404, "folder not found")
        there = self.dashboards.get(uid)
        if there and self.meta[uid].get("provisioned"):
            raise RefusedError(400, "Cannot save provisioned dashboard")
        if there and board.get("version") != there["version"] and not body["overwrite"]:
            raise RefusedError(412, "The dashboard has been changed by someone else", status="version-mismatch")
        board |= {"id": there["id"] if there else self._id(), "version": (there["version"] if there else 0) + 1}
        self.dashboards[uid] = board
        self.meta[uid] = {"folderUid": body["folderUid"], "provisioned": False, "message": body["message"]}
        return 200, {"status": "success", "uid": uid, "id": board["id"], "version": board["version"]}

    def _contact_points(self, method: str, rest: list[str], body: Any, provenance: str) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.contact_points
        uid = body["uid"] if method == "POST" else rest[0]
        others = [one for one in self.contact_points if one["uid"] != uid]
        if method == "PUT" and len(others) == len(self.contact_points):
            raise RefusedError(404, "contact point not found")
        self.contact_points = [*others, {**copy.deepcopy(body), "provenance": provenance}]
        return 202, {"message": "contactpoint updated"}

    def _named(
        self, kept: dict[str, Any], method: str, rest: list[str], body: Any, provenance: str, make: str
    ) -> tuple[int, Any]:
        name = rest[0] if rest else body["name"]
        there = kept.get(name)
        if method == "GET" or (method == "PUT" and make == "POST" and there is None):
            if there is None:
                raise RefusedError(404, "not found")
            return 200, there
        if there and method == "POST":
            raise RefusedError(409, "already exists")
        if there and body.get("version") not in {None, "", there["version"]}:
            raise RefusedError(409, "provided version does not match current version")
        kept[name] = {**copy.deepcopy(body), "name": name, "provenance": provenance, "version": f"v{self._id()}"}
        return 202, kept[name]

    def _policies(self, method: str, body: Any, provenance: str) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.policies
        points = {one["name"] for one in self.contact_points} | {"grafana-default-email"}
        named = set(_receivers(body))
        if not named <= points:
            raise RefusedError(400, f"invalid object specification: receiver {(named - points).pop()!r} does not exist")
        self.policies = {**copy.deepcopy(body), "provenance": provenance}
        return 202, {"message": "policies updated"}

    def _groups(self, method: str, folder: str, group: str, body: Any, provenance: str) -> tuple[int, Any]:
        if method == "PUT":
            if folder not in self.folders:
                raise RefusedError(404, "folder not found")
            rules = [
                {"id": self._id(), "isPaused": False, "keep_firing_for": "0s", "notification_settings": None,
                 "record": None, "updated": "2026-01-01T00:00:00Z", "provenance": provenance, **copy.deepcopy(rule)}
                for rule in body["rules"]
            ]  # fmt: skip
            for rule in rules:
                for step in rule["data"]:
                    step.setdefault("queryType", "")
            self.groups[folder, group] = {**body, "rules": rules}
        if (folder, group) not in self.groups:
            raise RefusedError(404, "rule group not found")
        return 200, self.groups[folder, group]


def _receivers(route: dict[str, Any]) -> list[str]:
    return [route["receiver"], *(name for inner in route.get("routes", ()) for name in _receivers(inner))]
