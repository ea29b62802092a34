"""Check the host name, origin and token of every request before it reaches a route.

- Host: another site can make its own name resolve to this server (DNS rebinding). This works for names, not for
  numeric addresses, so a name must be known, unless a token is required anyway.
- Origin: a browser names the page that submits a form, sends a script's request or opens a WebSocket; only this
  server's own pages may.
- Token: `Authorization: Bearer ...`, or the cookie that a browser receives for it at /login.
"""

from __future__ import annotations

import ipaddress
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cavsync.deploy.server.refusals import RefusalError, refusal
from cavsync.deploy.server.settings import ServerSettings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Needed by browsers before the login, and by orchestrators that probe without credentials.
OPEN_PATHS = ("/", "/login", "/v2/health/live", "/v2/health/ready")
OPEN_FOLDER = "/page/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._session = secrets.token_urlsafe(32)
        # Cookies are shared by all ports of a host: two servers on one host must not log each other out.
        self.cookie_name = f"cavsync_session_{settings.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["guard"] = self

        async def send_guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(HTTPConnection(scope))
        except RefusalError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
            await refusal(error.status, str(error), headers)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def is_token(self, given: str) -> bool:
        """Return whether `given` is the token, compared in constant time."""
        wanted = self._settings.token
        return wanted is None or secrets.compare_digest(given.encode(), wanted.encode())

    def knows(self, connection: HTTPConnection) -> bool:
        """Return whether a request carries the token or the session cookie."""
        if self._settings.token is None:
            return True
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return True
        cookie = connection.cookies.get(self.cookie_name, "")
        return secrets.compare_digest(cookie.encode(), self._session.encode())

    def session_cookie(self, connection: HTTPConnection) -> dict[str, str | bool]:
        """Return the arguments of `Response.set_cookie` for a browser that has presented the token."""
        return {
            "key": self.cookie_name,
            "value": self._session,
            "httponly": True,
            "samesite": "lax",
            "secure": connection.url.scheme in ("https", "wss"),
        }

    def _check(self, connection: HTTPConnection) -> None:
        host = connection.headers.get("host", "")
        if not self._is_known_host(host):
            raise RefusalError(
                421, f"this server does not answer to the name {host!r:.100}: use its address, or --allow-host"
            )
        origin = connection.headers.get("origin")
        changes = connection.scope["type"] == "websocket" or connection.scope["method"] not in SAFE_METHODS
        if changes and origin is not None and not _is_same_origin(origin, host):
            raise RefusalError(403, f"pages of {origin!r:.100} may not use this server: open its own page")
        path = connection.scope["path"]
        if not self.knows(connection) and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
            raise RefusalError(401, "this server requires a token: send it as `Authorization: Bearer TOKEN`")

    def _is_known_host(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if self._settings.token is not None and not self._settings.allow_hosts:
            return bool(name)
        if name in ("localhost", self._settings.host.lower(), *(host.lower() for host in self._settings.allow_hosts)):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_same_origin(origin: str, host: str) -> bool:
    """Return whether `origin` is this server. The scheme is ignored because a proxy may add TLS."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return netloc.lower() == host.lower() != ""
