"""The console and the control API: their routes, who may use each, and what goes wrong."""

import mimetypes
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gainsight_destination.console.control import api
from gainsight_destination.console.guard import Guard
from gainsight_destination.console.house import House
from gainsight_destination.console.problems import ProblemError, not_found, problem_answer
from gainsight_destination.console.render import STATIC, asset
from gainsight_destination.console.routing import Page, routes_of
from gainsight_destination.console.views import (
    destinations,
    entrance,
    failures,
    history,
    live,
    messages,
    overview,
    people,
    replays,
    search,
    sources,
    worklists,
)

FOR_EVER: Final = "public, max-age=31536000, immutable"


async def static(request: Request) -> Response:
    """A file of ours, under the address that has its digest."""
    name = request.path_params["name"]
    if not STATIC.joinpath(name).is_file() or asset(name) != request.url.path:
        raise not_found()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(STATIC.joinpath(name).read_bytes(), media_type=kind, headers={"cache-control": FOR_EVER})


PAGES: Final = (
    Page("/static/{digest}/{name}", static, None),
    *entrance.PAGES,
    *overview.PAGES,
    *live.PAGES,
    *search.PAGES,
    *worklists.PAGES,
    *sources.PAGES,
    *destinations.PAGES,
    *failures.PAGES,
    *replays.PAGES,
    *messages.PAGES,
    *history.PAGES,
    *people.PAGES,
    *api.PAGES,
)


async def refused(request: Request, error: Exception) -> Response:
    """What the router says: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return problem_answer(request, ProblemError(405, "That cannot be done here", "Use the form on the page."))
    return problem_answer(request, not_found())


def create_app(house: House) -> ASGIApp:
    """The application, behind its guard."""
    app = Starlette(
        routes=routes_of(PAGES),
        exception_handlers={HTTPException: refused},
    )
    app.state.house = house
    app.add_middleware(Guard, house=house)
    return app
