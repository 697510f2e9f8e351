"""The Starlette application on the private port."""

import asyncio
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gainsight_destination.observe import metrics


def create_app(
    *,
    reasons: Callable[[], Sequence[str]],
    notes: Callable[[], Sequence[str]],
    ingest_metrics: Callable[[], str],
    refresh_metrics: Callable[[], None],
) -> Starlette:
    """`reasons` says why the product is not well, `notes` what is worth knowing though it is.

    `refresh_metrics` brings the gauges up to date (may block).
    """

    async def health(_: Request) -> Response:
        found, noted = list(reasons()), list(notes())
        more = {"notes": noted} if noted else {}
        if found:
            return JSONResponse({"status": "unwell", "reasons": found, **more}, status_code=503)
        return JSONResponse({"status": "ok", **more})

    async def show_metrics(_: Request) -> Response:
        await asyncio.to_thread(refresh_metrics)
        return PlainTextResponse(
            ingest_metrics() + metrics.text_of(metrics.ENGINE), media_type="text/plain; version=0.0.4"
        )

    return Starlette(routes=[Route("/health", health), Route("/metrics", show_metrics)])
