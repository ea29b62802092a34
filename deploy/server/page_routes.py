"""Routes of the live page, its login, and /metrics."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cavsync.deploy.server.guard import Guard
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.services import Shared
from cavsync.deploy.server.settings import MAX_JSON_BYTES
from cavsync.deploy.server.upload import read_body

PAGE = Path(__file__).parent / "page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASKS = '<p class="soft">Enter the token of this server.</p>'
WRONG = '<p class="wrong" role="alert">Wrong token. Enter the token that this server was started with.</p>'
router = APIRouter()


@router.get("/", include_in_schema=False)
def index(request: Request, token: str | None = None) -> Response:
    """Return the live page, or the login if a token is required.

    A valid `?token=` sets the cookie and redirects, so that the token leaves the address bar.
    """
    guard: Guard = request.scope["guard"]
    if token is not None and guard.is_token(token):
        return _logged_in(request, guard)
    if guard.knows(request):
        return HTMLResponse((PAGE / "index.html").read_text("utf-8"))
    return _login(ASKS)


@router.post("/login", include_in_schema=False)
async def login(request: Request) -> Response:
    """Exchange the token for a cookie."""
    guard: Guard = request.scope["guard"]
    body = await read_body(request, MAX_JSON_BYTES)
    given = parse_qs(body.decode("latin-1")).get("token", [""])[0]
    if guard.is_token(given):
        return _logged_in(request, guard)
    return _login(WRONG)


@router.get("/page/{name}", include_in_schema=False)
def asset(name: str) -> Response:
    """Return a file of the live page."""
    path = PAGE / name
    if path.suffix not in TYPES or path.parent != PAGE or not path.is_file():
        raise RefusalError(404, "the page has no such file: see /")
    # Revalidated on each load, so that a new version never runs with files of the old one.
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


@router.get("/metrics", tags=["metrics"], summary="Metrics for Prometheus")
def metrics(services: Shared) -> Response:
    """Return offsets, windows by state and inference times in the Prometheus format."""
    return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)


def _login(sentence: str) -> HTMLResponse:
    return HTMLResponse((PAGE / "login.html").read_text("utf-8").replace("{sentence}", sentence), 401)


def _logged_in(request: Request, guard: Guard) -> Response:
    response = RedirectResponse("/", 303)
    response.set_cookie(**guard.session_cookie(request))  # type: ignore[arg-type]
    return response
