"""Routes of the private port, each with who may use it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gainsight_destination.access.roles import Role
from gainsight_destination.console.problems import ProblemError, is_api, not_found, of_user_error, problem_answer
from gainsight_destination.console.render import FLASH
from gainsight_destination.console.visitor import Visitor
from gainsight_destination.console.words import packed
from gainsight_destination.errors import UnavailableError, UserError

_log = structlog.get_logger(__name__)

LARGEST_ID: Final = 2**63 - 1
Endpoint = Callable[[Request], Awaitable[Response]]


class Page(NamedTuple):
    """A path and who may use it. `role` None: everybody, also who is not signed in."""

    path: str
    endpoint: Endpoint
    role: Role | None = Role.VIEWER
    methods: tuple[str, ...] = ("GET",)


class SignInFirstError(Exception):
    """A person has to sign in, and comes back then."""


def routes_of(pages: Sequence[Page]) -> list[Route]:
    return [Route(page.path, answered(page), methods=list(page.methods)) for page in pages]


def answered(page: Page) -> Endpoint:
    """The endpoint behind its role, with what it raises turned into answers."""

    async def endpoint(request: Request) -> Response:
        try:
            admit(request, page.role)
            check_numbers(request)
            return await page.endpoint(request)
        except SignInFirstError:
            back = request.url.path if request.method == "GET" else ""
            return RedirectResponse(f"/sign-in?next={quote(back)}" if back not in ("", "/") else "/sign-in", 303)
        except ProblemError as problem:
            return problem_answer(request, problem)
        except UserError as error:
            return problem_answer(request, of_user_error(error))
        except HTTPException as error:
            return problem_answer(
                request, ProblemError(error.status_code, "This request cannot be read", "Go back and try again.")
            )
        except UnavailableError as error:
            return problem_answer(request, ProblemError(503, "Not now", f"{error}. Nothing was changed; try again."))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as error:
            _log.error("a page failed", path=page.path, exc_info=error)
            return problem_answer(
                request,
                ProblemError(500, "Something of ours went wrong", "The log of `serve` has it. Please report it."),
            )

    return endpoint


def admit(request: Request, role: Role | None) -> None:
    """Raises SignInFirstError or ProblemError unless the visitor may use a route of this role."""
    if role is None:
        return
    visitor = request.state.visitor
    if not isinstance(visitor, Visitor):
        if is_api(request):
            raise ProblemError(401, "A token is needed", "Send `Authorization: Bearer gd_...`; an admin makes tokens.")
        raise SignInFirstError
    if not visitor.role.may(role):
        raise ProblemError(
            403, f"This needs the role {role}", f"You have the role {visitor.role}. An admin can change that."
        )


def check_numbers(request: Request) -> None:
    """Raises ProblemError for an id in the path that is larger than any that the store can hold."""
    if any(isinstance(value, int) and value > LARGEST_ID for value in request.path_params.values()):
        raise not_found()


def see_other(path: str, flash: str = "", kind: str = "good") -> Response:
    """On to another page, which tells something once."""
    answer = RedirectResponse(path, 303)
    if flash:
        answer.set_cookie(FLASH, packed(kind, flash), max_age=60, path="/", httponly=True, samesite="lax")
    return answer
