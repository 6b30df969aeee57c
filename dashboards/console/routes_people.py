"""People over HTTP: who has the pager, answers by link, burden, audit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response

from dashboards.console import audit_book, burden_page, web
from dashboards.console.access import OVERSEERS
from dashboards.console.people import NoAnswer, fresh_id, refused_words
from vitals.answers import Ask, Confirm, TestMe, Told
from vitals.signs import HOUR_NS, SECOND_NS

if TYPE_CHECKING:
    from dashboards.console.app import Console

# What a token looks like: whatever else is asked about never reaches the pager.
_TOKEN: Final = re.compile(r"[0-9a-f]{24}\.[a-z]\.[0-9a-f]{1,12}\.[A-Za-z0-9_-]{22}")
_DAYS: Final = (1, 7, 28)
_SNOOZE_S: Final = 4 * 3600.0


class _Link(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    for_s: Annotated[float, msgspec.Meta(gt=0, le=_SNOOZE_S)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class _Confirm(msgspec.Struct, forbid_unknown_fields=True):
    message_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{24}$")]


def add(app: FastAPI, console: Console) -> None:
    """The routes of people."""
    _duty(app, console)
    _links(app, console)
    _looking_back(app, console)


def _duty(app: FastAPI, console: Console) -> None:
    @app.get("/api/duty")
    async def duty(request: Request) -> Response:
        held = web.session(request)
        told = console.people.shown(held.name, held.role, console.monotonic_s())
        told |= {"pager": console.people.say is not None, "notices": console.people.notices(held.name)}
        return web.answer(told)

    @app.post("/api/duty/confirm", openapi_extra=web.takes(_Confirm))
    async def confirm(request: Request) -> Response:
        """A test page is confirmed, or a shift taken over, by the person who is signed in."""
        told = await web.told(request, _Confirm)
        name = web.session(request).name
        ask = Confirm(ask_id=fresh_id(), message_id=told.message_id, person=name, at_ns=console.clock.now_ns())
        return await _asked(console, ask)

    @app.post("/api/duty/test")
    async def test(request: Request) -> Response:
        """A test page to oneself, now."""
        name = web.session(request).name
        return await _asked(console, TestMe(ask_id=fresh_id(), person=name, at_ns=console.clock.now_ns()))


def _links(app: FastAPI, console: Console) -> None:
    @app.post("/api/link", openapi_extra=web.takes(_Link))
    async def link(request: Request) -> Response:
        """What a link would do. Changes nothing but the receipt: mail scanners and previews open links."""
        told = await web.told(request, _Link)
        return await _asked(console, _ask(request, told.token, use=False))

    @app.post("/api/answer", openapi_extra=web.takes(_Answer))
    async def answer(request: Request) -> Response:
        """Do what a link says, once."""
        told = await web.told(request, _Answer)
        ask = _ask(request, told.token, use=True)
        for_ns = None if told.for_s is None else round(told.for_s * SECOND_NS)
        return await _asked(console, msgspec.structs.replace(ask, for_ns=for_ns, reason=told.reason.strip()))

    def _ask(request: Request, token: str, *, use: bool) -> Ask:
        if not _TOKEN.fullmatch(token):
            raise HTTPException(422, "This is no link of ours.")
        wait_s = console.links.wait_s(web.address(request))
        if wait_s > 0:
            raise HTTPException(429, "Too many tries. Wait a moment.", {"retry-after": f"{wait_s + 0.5:.0f}"})
        held = request.state.session
        person = held.name if held is not None and not held.patient else None
        return Ask(ask_id=fresh_id(), token=token, use=use, at_ns=console.clock.now_ns(), person=person)


async def _asked(console: Console, ask: Ask | Confirm | TestMe) -> Response:
    try:
        told = await console.people.ask(ask)
    except NoAnswer as error:
        return web.answer({"detail": str(error)}, error.status)
    if told.refused:
        return web.answer({"detail": refused_words(told), "refused": told.refused}, 409)
    if told.used and isinstance(ask, Ask):
        console.people.answered(ask.token.partition(".")[0])
    if isinstance(ask, Confirm):
        console.people.answered(ask.message_id)
    return web.answer(_answered(told))


def _answered(told: Told) -> dict[str, object]:
    patients = sorted({alarm.split(":")[0] for alarm in told.alarms})
    return {
        "person": told.person,
        "action": told.action,
        "kind": told.kind,
        "title": told.title,
        "lines": list(told.lines),
        "at": told.at_ns // 1_000_000,
        "patients": patients,
        "alarms": list(told.alarms),
        "used": told.used,
    }


def _looking_back(app: FastAPI, console: Console) -> None:
    @app.get("/api/burden")
    async def burden(request: Request, days: int = 7) -> Response:
        if days not in _DAYS:
            return web.answer({"detail": f"days must be one of {_DAYS}"}, 422)
        now_ns = console.clock.now_ns()
        by_person = web.session(request).role in OVERSEERS
        told = await burden_page.burden(
            console.state, console.history, now_ns - days * 24 * HOUR_NS, now_ns, by_person=by_person
        )
        return web.answer(told)

    @app.get("/api/audit")
    async def audit(
        q: str = "", person: str = "", what: str = "", before: int | None = None, tests: bool = False
    ) -> Response:
        before_ns = None if before is None else min(max(before, 0), 1 << 43) * 1_000_000
        found = console.audit.search(q, person=person, what=what, before_ns=before_ns, tests=tests)
        told = {"entries": [audit_book.shown(entry) for entry in found], "kinds": console.audit.kinds()}
        return web.answer(told | {"more": len(found) == audit_book.MOST, "head": console.health.audit_head})

    @app.get("/api/audit/alarm")
    async def story(id: str) -> Response:  # noqa: A002  # the name stands in the address
        note, events = await audit_book.events_of(console.state, console.history, id)
        entries = console.audit.of_alarm(id)
        if not events and not entries:
            return web.answer({"detail": "No alarm of this name is known here."}, 404)
        return web.answer({"alarm": id, "note": note, "story": audit_book.story(events, entries)})
