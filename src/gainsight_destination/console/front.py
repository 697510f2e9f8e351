"""The private port itself: health and metrics for monitors, and all else by the console.

The console is imported when somebody first asks for it: until then its templates and libraries take no memory, and a
start does not wait for them.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gainsight_destination.console.house import House, house_of
from gainsight_destination.observe import metrics


async def health(request: Request) -> Response:
    """200 while all is well, else 503 with why."""
    house = house_of(request)
    found, noted = list(house.reasons()), list(house.notes())
    more = {"notes": noted} if noted else {}
    if found:
        return JSONResponse({"status": "unwell", "reasons": found, **more}, status_code=503)
    return JSONResponse({"status": "ok", **more})


async def show_metrics(request: Request) -> Response:
    """Both processes' metrics, as Prometheus reads them."""
    house = house_of(request)
    await asyncio.to_thread(house.refresh_metrics)
    return PlainTextResponse(
        house.ingest_metrics() + metrics.text_of(metrics.ENGINE), media_type="text/plain; version=0.0.4"
    )


class Console:
    """The rest of the port, made by the first request."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
        await self._app(scope, receive, send)

    def _make(self) -> ASGIApp:
        from gainsight_destination.console.app import create_app

        return create_app(self._house)


def create_front(house: House) -> Starlette:
    """The application on the private port."""
    app = Starlette(routes=[Route("/health", health), Route("/metrics", show_metrics), Mount("/", Console(house))])
    app.state.house = house
    return app
