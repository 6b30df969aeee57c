"""Signing in and out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from dashboards.console import web
from dashboards.console.access import may
from dashboards.console.accounts import Role

if TYPE_CHECKING:
    from dashboards.console.app import Console


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str


def add(app: FastAPI, console: Console) -> None:
    """The routes of signing in."""
    # Hashing takes 32 MB and a while for each try: two at once are enough for a ward, and bound what guessing costs.
    hashing = asyncio.Semaphore(2)

    @app.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        if request.state.session:
            return RedirectResponse(home(request.state.session.role), 303)
        return web.page("sign-in")

    @app.get("/api/session")
    async def session(request: Request) -> Response:
        """Whether the asking browser is signed in: for a page that has lost its stream, or came here by a link.

        A strict cookie is not sent with a link from elsewhere, so the sign-in page asks again from its own ground.
        """
        held = request.state.session
        return web.answer({"signed_in": held is not None, "home": home(held.role) if held else ""})

    @app.post("/api/sign-in", openapi_extra=web.takes(_SignIn))
    async def sign_in(request: Request) -> Response:
        tried = await web.told(request, _SignIn, "Name and password are needed.")
        where = web.address(request)
        wait_s = console.throttle.wait_s(tried.name, where)
        if wait_s > 0:
            detail = f"Too many tries. Wait {wait_s:.0f} s."
            return web.answer({"detail": detail}, 429, [("retry-after", f"{wait_s:.0f}")])
        async with hashing:
            account = await asyncio.to_thread(console.accounts.check, tried.name, tried.password[:1024])
        if account is None:
            console.throttle.failed(tried.name, where)
            # The name that was tried is not written down: people type their password there by mistake.
            console.record("sign-in-refused", text="name and password did not fit")
            return web.answer({"detail": "Name and password do not fit."}, 401)
        console.throttle.succeeded(tried.name, where)
        console.record("signed-in", account.name, account.role.value)
        response = web.answer({"name": account.name, "role": account.role.value, "home": home(account.role)})
        let_in(response, console, console.sessions.open(account), console.settings.session_s)
        return response

    @app.post("/api/sign-out")
    async def sign_out(request: Request) -> Response:
        held = web.session(request)
        console.sessions.close(held)
        console.record("signed-out", held.name)
        response = web.answer({})
        response.delete_cookie(web.COOKIE, httponly=True, samesite="strict", secure=console.settings.secure)
        return response

    @app.get("/api/me")
    async def me(request: Request) -> Response:
        held = web.session(request)
        told: dict[str, object] = {"name": held.name, "role": held.role.value}
        told |= {"may_command": may(held.role, ("POST", "/api/commands"))}
        told |= {"equipment_only": held.role is Role.ENGINEER, "may_audit": may(held.role, ("GET", "/api/audit"))}
        return web.answer(told | {"may_pass": may(held.role, ("POST", "/api/passes"))})


def home(role: Role) -> str:
    """Where somebody begins."""
    return "/my" if role is Role.CARER else "/"


def let_in(response: Response, console: Console, cookie: str, length_s: float) -> None:
    """Sign somebody in with an answer."""
    response.set_cookie(
        web.COOKIE,
        cookie,
        max_age=int(length_s),
        httponly=True,
        samesite="strict",
        secure=console.settings.secure,
    )
