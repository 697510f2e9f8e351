"""A web server that takes messages, as a customer's own does: it keeps what came and answers as it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gainsight_destination.sandbox.server import bind, url_of


@dataclass
class Receiver:
    """`answer` says the status for a message; what was answered with 200 is in `taken`, every request in `requests`."""

    url: str
    answer: Callable[[dict[str, Any]], int] = lambda _: 200
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((dict(request.headers), body))
        message = json.loads(body)
        status = self.answer(message)
        if status == 200:
            self.taken.append(message)
        return PlainTextResponse("as told", status)

    def ids(self) -> list[str]:
        return [message["messageId"] for message in self.taken]


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free loopback port, in this event loop."""
    listener = bind("127.0.0.1", 0)
    receiver = Receiver(f"{url_of(listener)}/hook")
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield receiver
    finally:
        server.should_exit = True
        await serving
