"""The page of a patient or carer: how one comes there, and what it shows. Bound to one patient by the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response

from dashboards.console import my_page, web
from dashboards.console.routes_session import let_in

if TYPE_CHECKING:
    from dashboards.console.app import Console


class _Pass(msgspec.Struct, forbid_unknown_fields=True):
    patient: Annotated[str, msgspec.Meta(max_length=64)]


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
        console.record("pass-made", web.session(request).name, f"for the page of {told.patient}")
        # Behind "#", so that it stands in no log of a server on the way and in no Referer.
        path = f"/my/enter#{console.sessions.invite(told.patient, length_s)}"
        return web.answer({"path": path, "for_s": length_s}, 201)

    @app.post("/api/my/enter", openapi_extra=web.takes(_Enter))
    async def enter(request: Request) -> Response:
        """Whoever holds the link comes in, once."""
        told = await web.told(request, _Enter)
        wait_s = console.links.wait_s(web.address(request))
        if wait_s > 0:
            raise HTTPException(429, "Too many tries. Wait a moment.", {"retry-after": f"{wait_s + 0.5:.0f}"})
        patient = console.sessions.accept(told.invitation)
        if patient is None:
            return web.answer({"detail": "This link is not valid any more. Ask your care team for a new one."}, 409)
        console.record("pass-used", text=f"for the page of {patient}")
        length_s = console.settings.pass_s
        response = web.answer({})
        let_in(response, console, console.sessions.open_pass(patient, length_s), length_s)
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
