"""The rim of HTTP: headers that keep a browser from doing what our page never does, sizes, and who is asking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from fastapi import HTTPException, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "teleward_session"
_BODY_MOST: Final = 64 * 1024

# Nothing from elsewhere, nothing inline: what an attacker manages to write into the page stays text.
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
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


def answer(content: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """JSON, by the same encoder as everything else."""
    return Response(msgspec.json.encode(content), status, dict(headers), media_type="application/json")


def address(request: Request) -> str:
    """Where a request comes from, for the throttle. No forwarded header is believed: anybody can send one."""
    return request.client.host if request.client else "unknown"
