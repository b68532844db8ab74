"""What stands before every request: known hosts, the token, the session's cookie, bodies that are not too large."""

import asyncio
import contextlib
import hashlib
import html
import json
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strainscope.web.sessions import too_large
from strainscope.web.settings import LARGEST_CIF_BYTES, MB, ServerSettings, is_loopback

SESSION_COOKIE, TOKEN_COOKIE = "strainscope_session", "strainscope_token"
LOGIN = "/login"
UPLOADS, CIFS = "/api/scans", "/api/cifs"
_SECRET = re.compile(r"[\w-]{43,64}")
_BESIDE_THE_FILE = 100_000
_LARGEST_BODY = MB
_LARGEST_FORM = 10_000
_COOKIE_S = 30 * 24 * 3600
# A wrong token costs its sender this long [s].
_PENALTY_S = 0.5
_SECURITY = {
    "x-content-type-options": "nosniff",
    # Without any, browsers would hide where the login form comes from, and it would be refused.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


class TooLarge(Exception):
    """A body beyond the limit: no more of it is read."""


def error_response(status: int, line: str) -> Response:
    """An error as every part of the interface says it."""
    return Response(json.dumps({"error": line}), status_code=status, media_type="application/json")


class Guard:
    """Middleware around the whole application.

    Args:
        app: The application.
        settings: Who may use it, and how much it takes.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._token_digest = None if settings.token is None else _digest(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._foreign(headers) or await self._stranger(scope, headers, receive)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        secret, fresh = _session_of(HTTPConnection(scope))
        scope.setdefault("state", {})["secret"] = secret
        limit = self._limit(scope)
        if int(headers.get("content-length") or 0) > limit:
            await _refuse(scope, receive, send, error_response(413, self._too_large(scope)))
            return
        fresh_secret = secret if fresh and scope["type"] == "http" else None
        counted = _Counting(receive, limit)
        sending = _with_headers(send, fresh_secret, secure=scope["scheme"] == "https")

        async def unless_too_large(message: Message) -> None:
            # What the application makes of a body that was cut off is no answer.
            if not counted.exceeded:
                await sending(message)

        with contextlib.suppress(TooLarge):
            await self._app(scope, counted, unless_too_large)
        if counted.exceeded:
            await _refuse(scope, receive, send, error_response(413, self._too_large(scope)))

    def _limit(self, scope: Scope) -> int:
        files = {UPLOADS: self._settings.largest_upload_bytes, CIFS: LARGEST_CIF_BYTES}
        return files[scope["path"]] + _BESIDE_THE_FILE if scope["path"] in files else _LARGEST_BODY

    def _too_large(self, scope: Scope) -> str:
        if scope["path"] == UPLOADS:
            return too_large(self._settings)
        limit = LARGEST_CIF_BYTES if scope["path"] == CIFS else _LARGEST_BODY
        return f"the request is larger than {limit / MB:g} MB."

    def _foreign(self, headers: Headers) -> Response | None:
        """A refusal of what other sites' pages send, and of names that a loopback server does not go by."""
        host = headers.get("host", "")
        if self._settings.loopback and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return error_response(
                403, f"this server answers at 127.0.0.1 and localhost, not at {host[:60]!r}; open it there."
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return error_response(
                403, f"requests of pages from {origin[:60]!r} are refused; use the server's own page."
            )
        return None

    async def _stranger(self, scope: Scope, headers: Headers, receive: Receive) -> Response | None:
        """What is answered to somebody who does not know the token; None to who does."""
        if self._token_digest is None:
            return None
        if scope["type"] == "http" and scope["path"] == LOGIN:
            return await self._login(scope, receive)
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return None
        request = HTTPConnection(scope)
        if secrets.compare_digest(
            request.cookies.get(TOKEN_COOKIE, "").encode(), self._token_digest.encode()
        ):
            return None
        if scope["path"] == "/" and self._is_token(request.query_params.get("token", "")):
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            return self._let_in(scope, f"/?{urlencode(rest)}".rstrip("?"))
        if kind:
            await asyncio.sleep(_PENALTY_S)
        if scope["type"] == "http" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, status_code=303)
        return error_response(
            401, "this server needs a token; send it as the header Authorization: Bearer TOKEN."
        )

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            return HTMLResponse(_login_page(""))
        body = b""
        while len(body) <= _LARGEST_FORM:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if self._is_token(parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]):
            return self._let_in(scope, "/")
        await asyncio.sleep(_PENALTY_S)
        return HTMLResponse(_login_page("This is not the token."), status_code=401)

    def _let_in(self, scope: Scope, place: str) -> Response:
        response = RedirectResponse(place, status_code=303)
        response.set_cookie(
            TOKEN_COOKIE,
            str(self._token_digest),
            max_age=_COOKIE_S,
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        return response

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(_digest(given), str(self._token_digest))


def _digest(token: str) -> str:
    return hashlib.sha256(f"strainscope {token}".encode()).hexdigest()


def _session_of(request: HTTPConnection) -> tuple[str, bool]:
    """The session's secret, and whether it is a new one."""
    known = request.cookies.get(SESSION_COOKIE, "")
    return (known, False) if _SECRET.fullmatch(known) else (secrets.token_urlsafe(32), True)


class _Counting:
    """What a client sends, up to a limit; beyond it `exceeded` is set."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._left = receive, limit
        self.exceeded = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.exceeded = True
                raise TooLarge
        return message


def _with_headers(send: Send, secret: str | None, *, secure: bool) -> Send:
    """Sends what the application answers, with headers and, where the session is new, its cookie."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            if secret is not None:
                rest = f"; Path=/; Max-Age={_COOKIE_S}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
                headers.append("set-cookie", f"{SESSION_COOKIE}={secret}{rest}")
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await response(scope, receive, _with_headers(send, None, secure=False))


def _login_page(problem: str) -> str:
    said: Any = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Strainscope</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 15vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; width: 100%; padding: .5rem; margin-top: .5rem; box-sizing: border-box; }}
p {{ color: #b42318; }}</style></head><body><h1>Strainscope</h1>
<form method="post" action="{LOGIN}"><label>Token of this server
<input type="password" name="token" autofocus required autocomplete="current-password"></label>{said}
<button>Open</button></form></body></html>"""
