"""The rim of HTTP: headers that keep a browser from doing what our page never does, sizes, and who is asking."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from fastapi import HTTPException, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.console import pages
from dashboards.console.auth import Session

T = TypeVar("T")

COOKIE: Final = "teleward_session"
LONGEST_MS: Final = 86_400_000.0
_BODY_MOST: Final = 64 * 1024

# Nothing from elsewhere, nothing inline: what an attacker manages to write into the page stays text.
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[dict[str, str]] = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class SecurityHeaders:
    """Puts the headers on every answer. A plain ASGI layer: one that buffers would break the streams."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        static = scope["path"].startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._tls:
                    headers["strict-transport-security"] = "max-age=31536000"
                # Patients' data stay out of every cache; our own files are asked for again, by their ETag.
                headers["cache-control"] = "no-cache" if static else "no-store"
            await send(message)

        await self._app(scope, receive, with_headers)


async def body(request: Request) -> bytes:
    """The body of a small request.

    Raises:
        HTTPException: 413 where it is not small.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _BODY_MOST:
            raise HTTPException(413, "too large")
    return bytes(data)


async def told(request: Request, kind: type[T], otherwise: str = "") -> T:
    """The body of a small request, as what it must be.

    Raises:
        HTTPException: 413 where it is not small, 422 where it is something else (`otherwise` in place of the words).
    """
    data = await body(request)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HTTPException(422, otherwise or f"Not what is taken here: {error}") from error


def takes(kind: type) -> dict[str, Any]:
    """What a route takes, for its description."""
    schema = msgspec.json.schema(kind)
    plain = _plain(schema, schema.get("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": plain}}}}


def named_in(path: str) -> dict[str, Any]:
    """The parameters that a path names, for the description of a route that leaves reading them to the page."""
    names = re.findall(r"{(\w+)}", path)
    where = {"in": "path", "required": True, "schema": {"type": "string"}}
    return {"parameters": [{"name": name, **where} for name in names]} if names else {}


def _plain(schema: Any, named: dict[str, Any]) -> Any:
    """A schema that refers to nothing."""
    if isinstance(schema, list):
        return [_plain(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(named[schema["$ref"].rpartition("/")[2]], named)
    return {key: _plain(part, named) for key, part in schema.items() if key != "$defs"}


def session(request: Request) -> Session:
    """Who is asking; the guard has seen to it that there is somebody."""
    held = request.state.session
    assert isinstance(held, Session), f"{request.url.path} is public in the table"  # noqa: S101  # a bug of ours
    return held


def worker(static: Path) -> bytes:
    """The service worker, with the names of the shell's files and a version that changes with any of them."""
    files = sorted(p for p in static.rglob("*") if p.is_file() and p.suffix in {".js", ".css", ".svg", ".png"})
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in files) + pages.HTML["offline"]).hexdigest()[:16]
    names = [f"/static/{p.relative_to(static).as_posix()}" for p in files if p.name != "sw.js"]
    made = (static / "sw.js").read_text("utf-8")
    return (
        made.replace('"{version}"', f'"{digest}"').replace('["{files}"]', msgspec.json.encode(names).decode()).encode()
    )


def page(name: str, status: int = 200) -> Response:
    """A page of `dashboards.console.pages`."""
    return Response(pages.HTML[name], status, media_type="text/html")


def answer(content: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """JSON, by the same encoder as everything else."""
    return Response(msgspec.json.encode(content), status, dict(headers), media_type="application/json")


def address(request: Request) -> str:
    """Where a request comes from, for the throttle. No forwarded header is believed: anybody can send one."""
    return request.client.host if request.client else "unknown"
