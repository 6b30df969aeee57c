"""Every endpoint of the console. Who may use which stands in `dashboards.console.access`; it is enforced here, once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from dashboards.console import commands, patient_page, web
from dashboards.console.access import ACCESS, PAGES, PUBLIC, may
from dashboards.console.auth import Session, foreign
from vitals.signs import HOUR_NS

if TYPE_CHECKING:
    from dashboards.console.app import Console

_STATIC: Final = Path(__file__).parent / "static"
_HOURS: Final = (1, 2, 6, 12, 24, 48)


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str


class _Drawn(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    waited_ms: float


class _Shown(msgspec.Struct, forbid_unknown_fields=True):
    page: str
    events: list[_Drawn]


def build(console: Console) -> FastAPI:
    """The application around a console.

    Raises:
        RuntimeError: If a route and the table of access disagree: nothing starts that nobody decided about.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(_guard)])
    app.state.console = console
    app.add_middleware(web.SecurityHeaders, tls=console.settings.secure_cookies)
    _pages(app)
    _signing_in(app, console)
    _data(app, console)
    _doing(app, console)
    routes = {
        (method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods or ()
    }
    if routes != set(ACCESS):
        raise RuntimeError(f"routes and the table of access disagree about {sorted(routes ^ set(ACCESS))}")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


def _guard(request: Request) -> None:
    """Lets a request through only as the table says; every route depends on it."""
    console: Console = request.app.state.console
    endpoint = (request.method, request.scope["route"].path)
    session = console.sessions.read(request.cookies.get(web.COOKIE))
    request.state.session = session
    if request.method != "GET":
        reason = foreign(request.headers)
        if reason:
            raise HTTPException(403, f"Refused: {reason}.")
    if may(session.role if session else None, endpoint):
        return
    if session:
        raise HTTPException(403, f"A {session.role.value} may not do this.")
    if endpoint in PAGES:
        raise HTTPException(303, headers={"location": f"/sign-in?next={quote(request.url.path)}"})
    raise HTTPException(401, "Sign in first.")


def _pages(app: FastAPI) -> None:
    async def shell() -> Response:
        return FileResponse(_STATIC / "index.html")

    for path in (path for _, path in sorted(PAGES)):
        app.get(path)(shell)

    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        """Whether this process serves; nothing about patients."""
        stopped = request.app.state.console.streams.stopped
        return web.answer({"ok": not stopped}, 503 if stopped else 200)


def _signing_in(app: FastAPI, console: Console) -> None:
    # Hashing takes 32 MB and a while for each try: two at once are enough for a ward, and bound what guessing costs.
    hashing = asyncio.Semaphore(2)

    @app.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        if request.state.session:
            return RedirectResponse("/", 303)
        return FileResponse(_STATIC / "sign-in.html")

    @app.get("/api/session")
    async def session(request: Request) -> Response:
        """Whether the asking browser is signed in: for a page that has lost its stream, or came here by a link.

        A strict cookie is not sent with a link from elsewhere, so the sign-in page asks again from its own ground.
        """
        return web.answer({"signed_in": request.state.session is not None})

    @app.post("/api/sign-in")
    async def sign_in(request: Request) -> Response:
        try:
            tried = msgspec.json.decode(await web.body(request), type=_SignIn)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return web.answer({"detail": "Name and password are needed."}, 422)
        where = web.address(request)
        wait_s = console.throttle.wait_s(tried.name, where)
        if wait_s > 0:
            detail = f"Too many tries. Wait {wait_s:.0f} s."
            return web.answer({"detail": detail}, 429, [("retry-after", f"{wait_s:.0f}")])
        async with hashing:
            account = await asyncio.to_thread(console.accounts.check, tried.name, tried.password[:1024])
        if account is None:
            console.throttle.failed(tried.name, where)
            return web.answer({"detail": "Name and password do not fit."}, 401)
        console.throttle.succeeded(tried.name, where)
        response = web.answer({"name": account.name, "role": account.role.value})
        response.set_cookie(
            web.COOKIE,
            console.sessions.open(account),
            max_age=int(console.settings.session_s),
            httponly=True,
            samesite="strict",
            secure=console.settings.secure_cookies,
        )
        return response

    @app.post("/api/sign-out")
    async def sign_out(request: Request) -> Response:
        console.sessions.close(_session(request))
        response = web.answer({})
        response.delete_cookie(web.COOKIE, httponly=True, samesite="strict", secure=console.settings.secure_cookies)
        return response

    @app.get("/api/me")
    async def me(request: Request) -> Response:
        session = _session(request)
        commands_too = may(session.role, ("POST", "/api/commands"))
        return web.answer({"name": session.name, "role": session.role.value, "may_command": commands_too})


def _data(app: FastAPI, console: Console) -> None:
    @app.get("/events")
    async def events(request: Request) -> Response:
        if console.streams.stopped or console.streams.full:
            return web.answer({"detail": "No further stream can be opened now."}, 503)
        session = _session(request)
        cookie = request.cookies.get(web.COOKIE)
        stream = console.streams.follow(
            session.name, secrets.token_urlsafe(9), lambda: console.sessions.read(cookie) is not None
        )
        return StreamingResponse(_closing(stream), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @app.get("/api/patients/{patient}/trends")
    async def trends(patient: str, hours: int = 6) -> Response:
        view = console.state.patients.get(patient)
        if view is None:
            return web.answer({"detail": "Nobody of this name is on the ward."}, 404)
        if hours not in _HOURS:
            return web.answer({"detail": f"hours must be one of {_HOURS}"}, 422)
        now_ns = console.clock.now_ns()
        return web.answer(await patient_page.trends(view, console.history, now_ns - hours * HOUR_NS, now_ns))

    @app.get("/api/patients/{patient}/alarms")
    async def alarms(patient: str) -> Response:
        view = console.state.patients.get(patient)
        if view is None:
            return web.answer({"detail": "Nobody of this name is on the ward."}, 404)
        return web.answer(await patient_page.alarms(view, console.history, console.hop_times, console.clock.now_ns()))

    @app.get("/api/latency")
    async def latency() -> Response:
        parts = console.health.parts(console.monotonic_s())
        times = console.hop_times
        return web.answer({"hops": times.table(), "all": times.parts(), "parts": parts, "speed": console.clock.speed})


def _doing(app: FastAPI, console: Console) -> None:
    @app.post("/api/commands")
    async def command(request: Request) -> Response:
        now_ns = console.clock.now_ns()
        wanted = commands.read(await web.body(request), console.state, _session(request).name, now_ns)
        if isinstance(wanted, commands.Refusal):
            return web.answer({"detail": wanted.text}, wanted.status)
        try:
            async with asyncio.timeout(console.settings.command_timeout_s):
                await console.send_command(wanted)
        except TimeoutError:
            # It may have been written or not. Its id makes sending it again harmless.
            detail = "The ward has not confirmed that it took this. Nothing is certain; send it again."
            return web.answer({"detail": detail}, 504)
        except Exception:  # noqa: BLE001  # whatever the log's client raises, the person must learn that it failed
            return web.answer({"detail": "This could not be sent to the ward. Nothing was done."}, 503)
        return web.answer({"command_id": wanted.command_id}, 202)

    @app.post("/api/shown")
    async def shown(request: Request) -> Response:
        arrived_ns = console.clock.now_ns()
        try:
            told = msgspec.json.decode(await web.body(request), type=_Shown)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return web.answer({"detail": str(error)}, 422)
        known = 0
        for event in told.events:
            waited_ns = max(0.0, event.waited_ms) * 1e6 * console.clock.speed
            known += console.hop_times.on_shown(event.id, told.page, arrived_ns - round(waited_ns))
        return web.answer({"known": known})


def _session(request: Request) -> Session:
    """Who is asking; the guard has seen to it that there is somebody."""
    session = request.state.session
    assert isinstance(session, Session), f"{request.url.path} is {PUBLIC} in the table"  # noqa: S101  # a bug of ours
    return session


async def _closing(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream that is closed at once when its page goes, not when the collector comes by."""
    try:
        async for piece in stream:
            yield piece
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator
