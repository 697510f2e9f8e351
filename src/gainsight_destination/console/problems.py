"""What goes wrong with a request, for people as a page and for programs as JSON of one shape."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gainsight_destination.console.render import page
from gainsight_destination.errors import InvalidSettingsError, UserError

API: str = "/api/"


class ProblemError(Exception):
    """The request cannot be answered: an HTTP status, what is wrong, and what to do."""

    def __init__(self, status: int, title: str, advice: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.advice = advice
        self.problems = problems


def not_found(what: str = "This page does not exist") -> ProblemError:
    return ProblemError(404, what, "It may have been removed, or the address is mistyped.")


def of_user_error(error: UserError) -> ProblemError:
    """A person's mistake."""
    problems = error.problems if isinstance(error, InvalidSettingsError) else ()
    return ProblemError(400, str(error) if not problems else "Some of this is not right", problems=problems)


def is_api(request: Request) -> bool:
    return request.url.path.startswith(API)


def problem_answer(request: Request, problem: ProblemError) -> Response:
    """{"error": {"status", "title", "advice", "problems"}} for programs, a page for people."""
    if is_api(request):
        told: dict[str, Any] = {"status": problem.status, "title": problem.title}
        if problem.advice:
            told["advice"] = problem.advice
        if problem.problems:
            told["problems"] = list(problem.problems)
        return JSONResponse({"error": told}, problem.status)
    return page(request, "problem.html", status=problem.status, problem=problem)
