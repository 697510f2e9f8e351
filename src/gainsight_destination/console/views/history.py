"""History: who did what."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access.acts import acts
from gainsight_destination.console.house import house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page

SHOWN: Final = 100


async def index(request: Request) -> Response:
    """Newest first; `?before=MS` goes on."""
    text = request.query_params.get("before", "")
    before_ms = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    found = await house_of(request).read(lambda connection: acts(connection, limit=SHOWN + 1, before_ms=before_ms))
    return page(
        request, "history.html", acts=found[:SHOWN], more=found[SHOWN - 1].at_ms if len(found) > SHOWN else None
    )


PAGES = (Page("/history", index),)
