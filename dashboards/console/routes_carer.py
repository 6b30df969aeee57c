"""The page of a patient or carer: how one comes there, and what it shows. Bound to one patient by the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response

from dashboards.console import my_page, web
from dashboards.console.routes_session import let_in
from dashboards.console.session_book import Pass

if TYPE_CHECKING:
    from dashboards.console.app import Console


class _Pass(msgspec.Struct, forbid_unknown_fields=True):
    patient: Annotated[str, msgspec.Meta(max_length=64)]


class _End(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(max_length=64)]


class _Enter(msgspec.Struct, forbid_unknown_fields=True):
    invitation: Annotated[str, msgspec.Meta(max_length=2000)]


def add(app: FastAPI, console: Console) -> None:
    """The routes of carers."""

    @app.post("/api/passes", openapi_extra=web.takes(_Pass))
    async def make_pass(request: Request) -> Response:
        """A link to one patient's own page, to be handed to the patient or carer."""
        told = await web.told(request, _Pass)
        view = console.state.patients.get(told.patient)
        if view is None or view.watching == "discharged":
            return web.answer({"detail": "Nobody of this name is on the ward."}, 404)
        length_s = console.settings.pass_link_s
        by = web.session(request).name
        invitation = console.sessions.invite(told.patient, by, length_s)
        console.record("pass-made", by, f"for the page of {told.patient}")
        # Behind "#", so that it stands in no log of a server on the way and in no Referer.
        return web.answer({"path": f"/my/enter#{invitation}", "for_s": length_s}, 201)

    @app.get("/api/patients/{patient}/passes")
    async def passes(patient: str) -> Response:
        """The links of a patient that still open something, or are still to be used."""
        if patient not in console.state.patients:
            return web.answer({"detail": "Nobody of this name is on the ward."}, 404)
        return web.answer({"passes": [_shown(one) for one in console.sessions.book.of(patient)]})

    @app.post("/api/passes/end", openapi_extra=web.takes(_End))
    async def take_back(request: Request) -> Response:
        """A link opens nothing any more, and whoever came in by it is out at once."""
        told = await web.told(request, _End)
        by = web.session(request).name
        held = console.sessions.take_back(told.id, by)
        if held is None:
            return web.answer({"detail": "There is no such link, or it is over."}, 404)
        console.record("pass-taken-back", by, f"for the page of {held.patient}")
        return web.answer({})

    @app.post("/api/my/enter", openapi_extra=web.takes(_Enter))
    async def enter(request: Request) -> Response:
        """Whoever holds the link comes in, once."""
        told = await web.told(request, _Enter)
        wait_s = console.links.wait_s(web.address(request))
        if wait_s > 0:
            raise HTTPException(429, "Too many tries. Wait a moment.", {"retry-after": f"{wait_s + 0.5:.0f}"})
        length_s = console.settings.pass_s
        accepted = console.sessions.accept(told.invitation, length_s)
        if accepted is None:
            return web.answer({"detail": "This link is not valid any more. Ask your care team for a new one."}, 409)
        used, cookie = accepted
        console.record("pass-used", text=f"for the page of {used.patient}, from a link of {used.by}")
        response = web.answer({})
        let_in(response, console, cookie, length_s)
        return response

    @app.get("/api/my")
    async def my(request: Request) -> Response:
        """The one patient of the session; no other can be named."""
        held = web.session(request)
        view = console.state.patients.get(held.patient)
        if view is None or view.watching == "discharged":
            return web.answer({"detail": "You are not watched from here at present."}, 404)
        now_ns = console.clock.now_ns()
        told = await my_page.page(view, console.history, now_ns, console.settings.help_line)
        stands = console.health.stands(console.monotonic_s())
        return web.answer(told | {"watching": told["watching"] and not stands, "speed": console.clock.speed})


def _shown(made: Pass) -> dict[str, object]:
    """A pass as the page receives it: times of the wall in milliseconds."""
    used = None if made.used_s is None else round(made.used_s * 1000)
    return {
        "id": made.id,
        "by": made.by,
        "made": round(made.made_s * 1000),
        "ends": round(made.ends_s * 1000),
        "used": used,
    }
