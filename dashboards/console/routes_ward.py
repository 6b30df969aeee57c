"""The ward over HTTP: the stream, a patient's past, alarms, times, and what people say about alarms."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from dashboards.console import alarms_page, commands, patient_page, web
from vitals import topics
from vitals.signs import HOUR_NS

if TYPE_CHECKING:
    from dashboards.console.app import Console

_HOURS: Final = (1, 2, 6, 12, 24, 48)
_NOBODY: Final = "Nobody of this name is on the ward."


class _Drawn(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    waited_ms: float


class _Shown(msgspec.Struct, forbid_unknown_fields=True):
    page: str
    events: list[_Drawn]


def add(app: FastAPI, console: Console) -> None:
    """The routes of the ward."""
    _looking(app, console)
    _doing(app, console)


def _looking(app: FastAPI, console: Console) -> None:
    @app.get("/events")
    async def events(request: Request) -> Response:
        if console.streams.stopped or console.streams.full:
            return web.answer({"detail": "No further stream can be opened now."}, 503)
        held = web.session(request)
        cookie = request.cookies.get(web.COOKIE)
        stream = console.streams.follow(
            held.name, secrets.token_urlsafe(9), lambda: console.sessions.read(cookie) is not None
        )
        return StreamingResponse(_closing(stream), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @app.get("/api/patients/{patient}/trends")
    async def trends(patient: str, hours: int = 6) -> Response:
        view = console.state.patients.get(patient)
        if view is None:
            return web.answer({"detail": _NOBODY}, 404)
        if hours not in _HOURS:
            return web.answer({"detail": f"hours must be one of {_HOURS}"}, 422)
        now_ns = console.clock.now_ns()
        return web.answer(await patient_page.trends(view, console.history, now_ns - hours * HOUR_NS, now_ns))

    @app.get("/api/patients/{patient}/alarms")
    async def alarms(patient: str) -> Response:
        view = console.state.patients.get(patient)
        if view is None:
            return web.answer({"detail": _NOBODY}, 404)
        now_ns, people = console.clock.now_ns(), console.people.stamps
        return web.answer(await patient_page.alarms(view, console.history, console.hop_times, now_ns, people))

    @app.get("/api/alarms")
    async def all_alarms() -> Response:
        return web.answer(alarms_page.alarms(console.state, console.rows))

    @app.get("/api/latency")
    async def latency() -> Response:
        parts = console.health.parts(console.monotonic_s())
        times = console.hop_times
        told = {"hops": times.table(), "all": times.parts(), "parts": parts, "speed": console.clock.speed}
        return web.answer(told | {"test": console.health.test})


def _doing(app: FastAPI, console: Console) -> None:
    @app.post("/api/commands", openapi_extra=web.takes(commands.Wish))
    async def command(request: Request) -> Response:
        now_ns, held = console.clock.now_ns(), web.session(request)
        wanted = commands.read(await web.body(request), console.state, held.name, held.role, now_ns)
        if isinstance(wanted, commands.Refusal):
            return web.answer({"detail": wanted.text}, wanted.status)
        send = console.send_command
        if wanted.patient == topics.OWN:
            if console.people.say is None:
                return web.answer({"detail": "No pager runs on this ward: nobody could take this."}, 503)
            send = console.people.say
        try:
            async with asyncio.timeout(console.settings.command_timeout_s):
                await send(wanted)
        except TimeoutError:
            # It may have been written or not. Its id makes sending it again harmless.
            detail = "The ward has not confirmed that it took this. Nothing is certain; send it again."
            return web.answer({"detail": detail}, 504)
        except Exception:  # noqa: BLE001  # whatever the log's client raises, the person must learn that it failed
            return web.answer({"detail": "This could not be sent to the ward. Nothing was done."}, 503)
        console.record("command", held.name, wanted.action, (wanted.alarm_id,), wanted.command_id)
        return web.answer({"command_id": wanted.command_id}, 202)

    @app.post("/api/shown", openapi_extra=web.takes(_Shown))
    async def shown(request: Request) -> Response:
        arrived_ns = console.clock.now_ns()
        told = await web.told(request, _Shown)
        known = 0
        for event in told.events:
            waited_ns = min(max(0.0, event.waited_ms), web.LONGEST_MS) * 1e6 * console.clock.speed
            known += console.hop_times.on_shown(event.id, told.page, arrived_ns - round(waited_ns))
        return web.answer({"known": known})


async def _closing(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream that is closed at once when its page goes, not when the collector comes by."""
    try:
        async for piece in stream:
            yield piece
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator
