"""The console over HTTP: pages, and the guard of every route.

Who may use which stands in `dashboards.console.access`; it is enforced here, once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from dashboards.console import routes_carer, routes_people, routes_session, routes_ward, web
from dashboards.console.access import ACCESS, PAGES, may
from dashboards.console.auth import foreign
from dashboards.console.session_book import SessionBookError

if TYPE_CHECKING:
    from dashboards.console.app import Console

_STATIC: Final = Path(__file__).parent / "static"


def build(console: Console) -> FastAPI:
    """The application around a console.

    Raises:
        RuntimeError: If a route and the table of access disagree: nothing starts that nobody decided about.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(_guard)])
    app.state.console = console
    app.add_middleware(web.SecurityHeaders, tls=console.settings.secure)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(SessionBookError, _unwritten)
    _pages(app)
    routes_session.add(app, console)
    routes_ward.add(app, console)
    routes_people.add(app, console)
    routes_carer.add(app, console)
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
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise HTTPException(303, headers={"location": f"/sign-in?next={quote(wanted)}"})
    raise HTTPException(401, "Sign in first.")


async def _refused(request: Request, error: Exception) -> Response:
    """What was refused, for a person where a page was asked for, else for a program."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for no other
    route = request.scope.get("route")
    if error.status_code == 403 and route is not None and (request.method, route.path) in PAGES:
        return web.page("refused", 403)
    return web.answer({"detail": error.detail}, error.status_code, (error.headers or {}).items())


async def _unwritten(_request: Request, _error: Exception) -> Response:
    """What must outlive a restart could not be written down; where the file is, is nobody's business out there."""
    return web.answer(
        {"detail": "This could not be written down, so it was not done. Tell whoever runs the ward."}, 503
    )


def _pages(app: FastAPI) -> None:
    async def shell() -> Response:
        return web.page("index")

    for path in sorted(path for _, path in PAGES - {("GET", "/my")}):
        app.get(path, openapi_extra=web.named_in(path))(shell)

    async def page(request: Request) -> Response:
        return web.page(_NAMED[request.scope["route"].path])

    for path in _NAMED:
        app.get(path, openapi_extra=web.named_in(path))(page)

    @app.get("/manifest.webmanifest")
    async def manifest() -> Response:
        return FileResponse(_STATIC / "manifest.webmanifest")

    @app.get("/sw.js")
    async def worker() -> Response:
        """The service worker; its version changes with every file of the shell, so that no old shell stays."""
        return Response(web.worker(_STATIC), media_type="text/javascript")

    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        """Whether this process serves; nothing about patients."""
        stopped = request.app.state.console.streams.stopped
        return web.answer({"ok": not stopped}, 503 if stopped else 200)


_NAMED: Final = {"/offline": "offline", "/a/{token}": "answer", "/my": "my", "/my/enter": "my"}
