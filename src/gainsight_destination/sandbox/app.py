"""The sandbox as an ASGI application: Gainsight's paths, the control API under `/_sandbox/`, and pages for people."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gainsight_destination.clock import Clock, SystemClock
from gainsight_destination.sandbox import answers, control, pages
from gainsight_destination.sandbox.answers import Answer, RefusedError, failure
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.exchange import UNKNOWN_PATH, Endpoint, Outcome, exchange
from gainsight_destination.sandbox.routes import ENDPOINTS
from gainsight_destination.sandbox.sandbox import Sandbox, SandboxOptions
from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY, Credentials

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 96 * 1_000_000
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
HANG_UP: Final = "sandbox.hang_up"
"""ASGI extension of the sandbox's server: a function that closes the connection."""


def create_app(
    *,
    database_path: Path,
    access_key: str = DEMO_ACCESS_KEY,
    clock: Clock | None = None,
    options: SandboxOptions | None = None,
) -> Starlette:
    """The sandbox on a SQLite file, which is created and seeded when it is new.

    `app.state.sandbox` is the tenant, open until the application's lifespan ends.
    """
    options = options or SandboxOptions(Credentials(access_key=access_key))
    sandbox = Sandbox(database_path, clock=clock or SystemClock(), options=options)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            sandbox.close()

    api = [Route(path, _answering(sandbox, endpoint), methods=METHODS) for path, endpoint in ENDPOINTS.items()]
    unknown = Route("/{path:path}", _answering(sandbox, UNKNOWN_PATH), methods=METHODS)
    app = Starlette(routes=[*api, *control.routes(sandbox), *pages.routes(sandbox), unknown], lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    app.state.closing = asyncio.Event()
    return app


class LostAnswer(Response):
    """Sends nothing: holds the connection, then closes it. Ends early when the caller or the server goes away."""

    def __init__(self, clock: Clock, hold_seconds: float, closing: asyncio.Event) -> None:
        super().__init__()
        self._clock, self._hold_seconds, self._closing = clock, hold_seconds, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hang_up: Callable[[], None] | None = scope.get("extensions", {}).get(HANG_UP)
        if hang_up is None:
            raise ConnectionAbortedError("the answer of this call is lost on purpose")
        if self._hold_seconds > 0:
            await self._hold(receive)
        hang_up()
        await _disconnected(receive)

    async def _hold(self, receive: Receive) -> None:
        waits = [
            asyncio.ensure_future(wait)
            for wait in (self._clock.sleep(self._hold_seconds), _disconnected(receive), self._closing.wait())
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _answering(sandbox: Sandbox, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            call = await _read_call(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except RefusedError as error:
            return _response(failure(error, ""))
        try:
            outcome = await sandbox.run(lambda tenant: exchange(tenant, call, endpoint))
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))  # no message and no locals: they quote records
            log.error("sandbox.call_failed", method=call.method, error=type(error).__name__, where=where)
            fault = RefusedError(500, answers.SERVER_FAULT, answers.SERVER_FAULT_TEXT)
            return _response(failure(fault, ""))
        return await _respond(sandbox, request, outcome)

    return answer


async def _respond(sandbox: Sandbox, request: Request, outcome: Outcome) -> Response:
    fault = outcome.fault
    if fault is None:
        return _response(outcome.answer)
    if fault.loses:
        return LostAnswer(sandbox.clock, fault.wait_seconds(), request.app.state.closing)
    if fault.wait_seconds() > 0:
        await sandbox.clock.sleep(fault.wait_seconds())
    return _response(outcome.answer)


async def _read_call(request: Request) -> Call:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(413, None, "The request body is too large")
    return Call(
        method=request.method,
        path=request.url.path,
        body=bytes(body),
        query=dict(request.query_params),
        headers=dict(request.headers),
        parameters=request.path_params,
        query_text=request.url.query,
    )


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), answer.media_type)
