"""What an operation of the control API is, and how it becomes a route and a part of the OpenAPI document."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gainsight_destination import __version__
from gainsight_destination.access.roles import Role
from gainsight_destination.console.problems import ProblemError
from gainsight_destination.console.routing import Page

PREFIX: Final = "/api/v1"
REF: Final = "#/components/schemas/{name}"


class Operation(NamedTuple):
    """A method and a path below /api/v1, who may use it, and what it takes and gives.

    `takes` is the type of the JSON body; `gives` the type of the answer, a Struct or `dict` for a document that is
    described elsewhere. `query` names the parameters of the query.
    """

    method: str
    path: str
    name: str
    summary: str
    role: Role
    work: Callable[..., Awaitable[Any]]
    takes: Any = None
    gives: Any = dict[str, Any]
    query: tuple[str, ...] = ()
    status: int = 200


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong, in the one shape of all errors."""

    status: int
    title: str
    advice: str = ""
    problems: list[str] = []


class Error(msgspec.Struct, frozen=True):
    error: Told


def page_of(operation: Operation) -> Page:
    """The route of an operation."""

    async def endpoint(request: Request) -> Response:
        arguments = [] if operation.takes is None else [await body_of(request, operation.takes)]
        found = await operation.work(request, *arguments)
        if operation.status == 204:
            return Response(status_code=204)
        return JSONResponse(msgspec.to_builtins(found, order="sorted"), operation.status)

    return Page(PREFIX + operation.path, endpoint, operation.role, (operation.method,))


async def body_of(request: Request, wanted: Any) -> Any:
    """The body as this type. Raises ProblemError that names the member that is wrong."""
    try:
        return msgspec.json.decode(await request.body(), type=wanted)
    except msgspec.ValidationError as error:
        raise ProblemError(400, f"The body is not as it should be: {error}") from None
    except msgspec.DecodeError:
        raise ProblemError(
            400, "The body is not JSON", "Send JSON; the document at /api/v1/openapi.json shows it."
        ) from None


def openapi(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    types = [found for op in operations for found in (op.takes, op.gives) if found is not None]
    schemas, components = msgspec.json.schema_components([*types, Error], ref_template=REF)
    by_type = dict(zip(map(str, [*types, Error]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for op in operations:
        described: dict[str, Any] = {
            "operationId": op.name,
            "summary": op.summary,
            "description": f"Needs the role {op.role.value}.",
            "parameters": [
                *path_parameters(op.path),
                *({"name": n, "in": "query", "schema": {"type": "string"}} for n in op.query),
            ],
            "responses": {
                str(op.status): {"description": "Done"}
                | ({} if op.status == 204 else {"content": json_of(by_type[str(op.gives)])}),
                "4XX": {"description": "What is wrong, and what to do", "content": json_of(by_type[str(Error)])},
                "503": {"description": "Not now; nothing was changed", "content": json_of(by_type[str(Error)])},
            },
        }
        if op.takes is not None:
            described["requestBody"] = {"required": True, "content": json_of(by_type[str(op.takes)])}
        paths.setdefault(PREFIX + op.path.replace(":int", ""), {})[op.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gainsight-destination, control API",
            "version": __version__,
            "description": "What the console can do, for scripts. Times are Unix milliseconds.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Made under Tokens."}},
        },
    }


def json_of(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name.removesuffix(":int"),
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name.endswith(":int") else "string"},
        }
        for name in names
    ]
