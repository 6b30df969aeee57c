"""A small server with the answers that the API reference of InfluxDB 2 documents: tests have no real one."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ORG = "0000000000000001"
TOKEN = "the-token"


@dataclass
class Influx2:
    """What it holds and was asked.

    Attributes:
        url: Where it listens.
        answers: Answers to the next writes, as (status, headers, body); 204 when there are none left.
        writes: Bodies of the writes it took.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    deletes: list[dict[str, str]] = field(default_factory=list)
    buckets: list[dict[str, Any]] = field(default_factory=list)
    dbrps: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """The documented answer."""
        kind, _, number = path.removeprefix("/api/v2/").partition("/")
        match method, kind:
            case "GET", "setup":
                return 200, {"allowed": False}
            case "GET", "orgs":
                found = [{"id": ORG, "name": "teleward"}] if query["org"] == "teleward" else []
                return (200, {"orgs": found}) if found else (404, {"code": "not found", "message": "no organization"})
            case "GET", "buckets":
                return 200, {"buckets": [one for one in self.buckets if one["name"] == query["name"]]}
            case "GET", "dbrps":
                virtual = [
                    {"id": b["id"], "orgID": ORG, "bucketID": b["id"], "database": b["name"].split("/")[0],
                     "retention_policy": b["name"].split("/")[1], "default": False, "virtual": True}
                    for b in self.buckets
                ]  # fmt: skip
                return 200, {"content": [*virtual, *self.dbrps]}
            case "GET", "tasks":
                return 200, {"tasks": self.tasks}
            case "DELETE", "dbrps":
                self.dbrps[:] = [one for one in self.dbrps if one["id"] != number]
                return 204, None
            case "POST", "delete":
                self.deletes.append({**query, **body})
                return 204, None
            case _:
                return self._change(method, getattr(self, kind), number, body)

    def _change(self, method: str, rows: list[dict[str, Any]], number: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "PATCH":
            row = next(one for one in rows if one["id"] == number)
            row.update(body)
            return 200, row
        row = {"id": f"{len(rows):016x}", **body}
        if "flux" in body:
            row["name"] = body["flux"].split('name: "')[1].split('"')[0]
        rows.append(row)
        return 201, row


@contextmanager
def running() -> Iterator[Influx2]:
    """It listens on loopback."""
    influx = Influx2()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers: dict[str, str] = {}
            if self.headers.get("Authorization") != f"Token {TOKEN}" and url.path != "/api/v2/setup":
                status, told = 401, {"code": "unauthorized", "message": "unauthorized access"}
            elif url.path == "/api/v2/write":
                text = (gzip.decompress(data) if self.headers["Content-Encoding"] == "gzip" else data).decode()
                status, headers, told = influx.answers.pop(0) if influx.answers else (204, {}, None)
                if status == 204:
                    influx.writes.append((query["bucket"], text))
            else:
                status, told = influx.answer(self.command, url.path, query, json.loads(data) if data else None)
            body = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that the base class looks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    influx.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield influx
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
