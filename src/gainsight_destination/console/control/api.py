"""The operations of the control API."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gainsight_destination.console.routing import Page
from gainsight_destination.console.visitor import visitor_of


async def whoami(request: Request) -> Response:
    """Who asks, and what they may do."""
    visitor = visitor_of(request)
    return JSONResponse({"name": visitor.name, "role": visitor.role.value})


PAGES: Final = (Page("/api/v1/whoami", whoami),)
