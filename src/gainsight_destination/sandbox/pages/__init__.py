"""Pages for people: what the tenant holds, and every call with its answer. Plain HTML, no script, no outside asset."""

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.calls import call_by_id, calls_before
from gainsight_destination.sandbox.dates import DAY_MS, readable
from gainsight_destination.sandbox.faults import show_faults
from gainsight_destination.sandbox.pages.views import Reader, people_with_companies, plural, record_count, shown_rows
from gainsight_destination.sandbox.quota import WINDOW_MS, ledger, spent
from gainsight_destination.sandbox.rows import count_rows
from gainsight_destination.sandbox.sandbox import Sandbox
from gainsight_destination.sandbox.schema import all_objects, get_object
from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY, Tenant

ROWS_SHOWN: Final = 50
CALLS_SHOWN: Final = 50
MINUTES_SHOWN: Final = 30
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def pretty_json(text: str) -> str:
    """A body with its JSON laid out; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def number(value: int) -> str:
    return f"{value:,}"


TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("gainsight_destination.sandbox.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "readable": readable,
    "pretty_json": pretty_json,
    "number": number,
    "plural": plural,
    "record_count": record_count,
}


def routes(sandbox: Sandbox) -> list[Route]:
    """The pages of one tenant, and their style sheet."""
    table: dict[str, tuple[str, Reader]] = {
        "/": ("overview.html", overview),
        "/objects/{object}": ("object.html", object_rows),
        "/people": ("people.html", people),
        "/calls": ("calls.html", calls),
        "/calls/{call:int}": ("call.html", one_call),
    }
    found = [Route(path, _page(sandbox, template, read), methods=["GET"]) for path, (template, read) in table.items()]
    return [*found, Route("/style.css", style, methods=["GET"])]


async def style(request: Request) -> Response:
    """The style sheet."""
    text = files("gainsight_destination.sandbox.pages").joinpath("style.css").read_text("utf-8")
    return Response(text, media_type="text/css", headers={**HEADERS, "cache-control": "no-cache"})


def overview(tenant: Tenant, request: Request) -> dict[str, Any]:
    """Counts, the quota of this minute and day, and what was set up to fail."""
    switches, used = tenant.switches, spent(tenant.connection, tenant.now_ms)
    oldest_ms = tenant.now_ms - MINUTES_SHOWN * WINDOW_MS["minute"]
    minutes = list(ledger(tenant.connection, "minute", since_ms=oldest_ms))
    return {
        "counts": [(one, count_rows(tenant, one.name)) for one in all_objects(tenant.connection)],
        "quota": [
            ("This minute", used["minute"], switches.calls_per_minute),
            ("Today (UTC)", used["day"], switches.calls_per_day),
            ("Bulk imports this hour", used["bulk_hour"], switches.bulk_calls_per_hour),
        ],
        "minutes": list(reversed(minutes)),
        "refused_today": sum(
            one["refused"] for one in ledger(tenant.connection, "day", since_ms=tenant.now_ms // DAY_MS * DAY_MS)
        ),
        "faults": show_faults(tenant.connection)["rules"],
        "latest": calls_before(tenant.connection, None, 5),
        "access_key": DEMO_ACCESS_KEY if tenant.credentials.access_key == DEMO_ACCESS_KEY else None,
    }


def object_rows(tenant: Tenant, request: Request) -> dict[str, Any]:
    """One object's newest rows."""
    target = get_object(tenant, request.path_params["object"])
    page = whole(request, "page", 1)
    rows, more = shown_rows(tenant, target, offset=(page - 1) * ROWS_SHOWN, limit=ROWS_SHOWN)
    return {"object": target, "count": count_rows(tenant, target.name), "rows": rows, "page": page, "more": more}


def people(tenant: Tenant, request: Request) -> dict[str, Any]:
    """People with the companies that they belong to."""
    target, page = get_object(tenant, "person"), whole(request, "page", 1)
    found, more = people_with_companies(tenant, target, offset=(page - 1) * ROWS_SHOWN, limit=ROWS_SHOWN)
    return {"people": found, "count": count_rows(tenant, "person"), "page": page, "more": more}


def calls(tenant: Tenant, request: Request) -> dict[str, Any]:
    """Calls, newest first; `?before=ID` goes on."""
    before = whole(request, "before", 0) or None
    found = calls_before(tenant.connection, before, CALLS_SHOWN + 1)
    return {"calls": found[:CALLS_SHOWN], "more": len(found) > CALLS_SHOWN, "before": before}


def one_call(tenant: Tenant, request: Request) -> dict[str, Any]:
    """One call with its bodies."""
    found = call_by_id(tenant.connection, request.path_params["call"])
    if found is None:
        raise RefusedError(404, None, "There is no such call; the log may have been reset.")
    return {"call": found}


def whole(request: Request, name: str, default: int) -> int:
    """A number from the query; anything else is the default."""
    text = request.query_params.get(name, "")
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
    return value or default


def _page(sandbox: Sandbox, template: str, read: Reader) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        try:
            name, status, context = template, 200, await sandbox.run(lambda tenant: read(tenant, request))
        except RefusedError as error:
            name, status, context = "missing.html", 404, {"text": error.text}
        objects = await sandbox.run(lambda tenant: [one.name for one in all_objects(tenant.connection)])
        text = TEMPLATES.get_template(name).render(
            **context,
            objects=objects,
            now_ms=sandbox.clock.now_ms(),
            here=request.url.path,
            base_url=str(request.base_url),
        )
        return HTMLResponse(text, status, headers=HEADERS)

    return show
