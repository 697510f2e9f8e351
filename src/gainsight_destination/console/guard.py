"""Stands before every page and operation: which host, whose session or token, from which page, and with which headers.

A page of another site can make a browser send requests here, and with DNS rebinding even read what comes back. So the
host that was asked for has to be one of ours, and what changes something has to come from a page of ours: browsers say
so in `Sec-Fetch-Site`, older ones in `Origin`. A request with a bearer token is no browser's, and needs neither.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gainsight_destination.access import sessions, tokens
from gainsight_destination.console.house import House
from gainsight_destination.console.problems import ProblemError, problem_answer
from gainsight_destination.console.visitor import Visitor
from gainsight_destination.errors import UnavailableError

COOKIE: Final = "gainsight_destination_session"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_BYTES: Final = 2_000_000
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """The middleware. Sets `request.state.visitor` (None: nobody was let in)."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check_host(request)
            scope.setdefault("state", {})["visitor"] = await visitor_now(self._house, request)
            self._check_origin(request)
            self._check_size(request)
        except ProblemError as problem:
            await problem_answer(request, problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check_host(self, request: HTTPConnection) -> None:
        try:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        except ValueError:  # no host at all
            host = ""
        if host not in LOOPBACK and host not in self._house.hosts():
            raise ProblemError(
                421,
                "This is not a host of this console",
                "Start `serve` with --console-url and the address that people type, if this one is meant to work.",
            )

    def _check_origin(self, request: Request) -> None:
        if request.method in SAFE_METHODS or bearer(request) is not None:
            return
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        own = site in ("same-origin", "none") if site is not None else is_own(origin, request)
        if not own:
            raise ProblemError(
                403, "This request came from another page", "Nothing was changed. Open the console and do it there."
            )

    def _check_size(self, request: Request) -> None:
        if request.method in SAFE_METHODS:
            return
        length = request.headers.get("content-length", "0")
        chunked = "transfer-encoding" in request.headers  # no form and no client of ours does that
        if chunked or not length.isdigit() or int(length) > MOST_BYTES:
            raise ProblemError(
                413, "That is too much at once", f"At most {MOST_BYTES:,} bytes are taken, with their length."
            )


async def visitor_now(house: House, request: Request) -> Visitor | None:
    """Who asks, by the session or token that the request has; None when it has none that is good."""
    now_ms = house.now_ms()
    if (text := bearer(request)) is not None:
        token = await house.read(lambda connection: tokens.token_of(connection, text, now_ms))
        if token is None:
            return None
        if token.is_stale(now_ms):
            await note(house, lambda connection: tokens.note_use(connection, token.id, now_ms))
        return Visitor(f"token {token.name}", token.role)
    word = request.cookies.get(COOKIE)
    if not word:
        return None
    session = await house.read(lambda connection: sessions.session_of(connection, word, now_ms))
    if session is None:
        return None
    if session.stale:
        await note(house, lambda connection: sessions.note_use(connection, session.digest, now_ms))
    return Visitor(session.person.email, session.person.role, session.person)


async def note(house: House, write: Callable[[sqlite3.Connection], None]) -> None:
    """Write down when something was last used. When nothing can be written, people have to see why all the more."""
    with suppress(UnavailableError):
        await house.write(write)


def bearer(request: Request) -> str | None:
    """The token in the Authorization header."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def is_own(origin: str | None, request: Request) -> bool:
    """Whether a browser without Sec-Fetch-Site says that it was a page of ours."""
    return origin is not None and origin.partition("://")[2] == request.headers.get("host")


def is_secure(request: Request) -> bool:
    """Whether the browser's side of the connection is https: ours, or that of a proxy in front."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"
