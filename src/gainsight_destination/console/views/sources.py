"""Sources: what sends, its write key, and whether anything came yet."""

import sqlite3
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gainsight_destination.access.roles import Role
from gainsight_destination.console import snippets
from gainsight_destination.console.forms import Form, form_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.views.overview import status_of
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.errors import InvalidSettingsError, UserError
from gainsight_destination.workspace import edit
from gainsight_destination.workspace.model import Sender, Source, SourceKind, SourceLimits, Trust, UnsignedTail, Webhook
from gainsight_destination.workspace.spec import SourceSpec
from gainsight_destination.workspace.stored import read_sources

KINDS: Final = {
    SourceKind.WEBSITE: "Website: analytics.js in browsers. Its write key is public.",
    SourceKind.SERVER: "Server: Segment's SDKs for Python, Node, Java and others.",
    SourceKind.MOBILE: "Mobile: iOS and Android apps. Its write key is public.",
    SourceKind.WEBHOOK: "Webhook: another platform posts signed requests.",
    SourceKind.IMPORT: "Import: archives, with the command `import`.",
}
TRUST: Final = {
    Trust.FULL: "full: what it says about accounts is believed",
    Trust.LIMITED: "limited: it cannot move a user whose account another source has said",
}
OVERLAPS: Final = {"24": "24 hours", "168": "7 days", "1": "1 hour", "0": "not at all"}


async def stored(house: House) -> tuple[Source, ...]:
    """The sources, with their webhook secrets left closed."""
    return await house.read(lambda connection: read_sources(connection, lambda _place, _sealed: ""))


async def source_of(request: Request) -> Source:
    """The source of the path. Raises Problem."""
    for source in await stored(house_of(request)):
        if source.id == request.path_params["source"]:
            return source
    raise not_found("There is no such source")


async def versioned(house: House) -> int:
    return await house.read(lambda connection: int(connection.execute("SELECT version FROM workspace").fetchone()[0]))


async def index(request: Request) -> Response:
    house = house_of(request)
    document, sources = await status_of(house), await stored(house)
    connections = await house.read(connected_to)
    return page(request, "sources.html", sources=sources, document=document, connections=connections)


def connected_to(connection: sqlite3.Connection) -> dict[int, list[str]]:
    """Names of the destinations of each source."""
    found: dict[int, list[str]] = {}
    for source_id, name in connection.execute(
        "SELECT source_id, name FROM connections JOIN destinations ON id = destination_id ORDER BY name"
    ):
        found.setdefault(source_id, []).append(name)
    return found


async def new(request: Request) -> Response:
    """The form of a new source; then its page, with the write key."""
    house, visitor = house_of(request), visitor_of(request)
    if request.method == "GET":
        fields = {"kind": request.query_params.get("kind", SourceKind.WEBSITE)}
        return form_page(request, "source_new.html", fields)
    form = await form_of(request)
    try:
        name = form.text("name")
        spec = SourceSpec(name, **settings_of(form))
        await house.edit(visitor.name, form.version, lambda editor: edit.add_source(editor, spec))
    except UserError as error:
        return form_page(request, "source_new.html", fields_of(form), error)
    made = next(source for source in await stored(house) if source.name == name)
    return see_other(f"/sources/{made.id}", f"Source {name} is there. Point your SDK at it.")


def settings_of(form: Form) -> dict[str, Any]:
    """Kind, trust, limits and webhook, as a form says them. Raises UserError."""
    try:
        kind, trust = SourceKind(form.text("kind", "server")), Trust(form.text("trust", "full"))
        sender = Sender(form.text("sender", "segment"))
        tail = UnsignedTail(form.text("unsigned_tail", "refuse"))
    except ValueError:
        raise UserError("choose one of what is offered") from None
    limits = SourceLimits(form.whole("messages_per_second"), form.whole("megabytes_per_day"))
    webhook = Webhook(sender, tuple(form.lines("secrets")), tail) if kind is SourceKind.WEBHOOK else None
    return {"kind": kind, "trust": trust, "limits": limits, "webhook": webhook}


def fields_of(form: Form) -> dict[str, str]:
    """What was typed, without secrets."""
    names = ("name", "kind", "trust", "messages_per_second", "megabytes_per_day", "sender", "unsigned_tail")
    return {name: form.text(name) for name in names}


def form_page(
    request: Request, template: str, fields: dict[str, Any], error: UserError | None = None, **more: Any
) -> Response:
    """A form, perhaps with what is wrong in it."""
    problems = error.problems if isinstance(error, InvalidSettingsError) else (str(error),) if error else ()
    return page(
        request,
        template,
        status=400 if problems else 200,
        fields=fields,
        problems=problems,
        kinds=KINDS,
        trusts=TRUST,
        senders=list(Sender),
        tails=list(UnsignedTail),
        **more,
    )


async def one(request: Request) -> Response:
    """A source: how to send to it, what came, and its settings."""
    house, source = house_of(request), await source_of(request)
    visitor = visitor_of(request)
    document, connections = await status_of(house), await house.read(connected_to)
    shows_key = visitor.role.may(Role.EDITOR)
    key = source.write_key if shows_key else "YOUR_WRITE_KEY"
    return page(
        request,
        "source.html",
        source=source,
        counts=document["sources"][source.name],
        refused=document["refused"]["sources"].get(source.name),
        connections=connections.get(source.id, []),
        snippets=snippets.of_kind(source, house.ingest_url(), key),
        shows_key=shows_key,
        kinds=KINDS,
        trusts=TRUST,
        overlaps=OVERLAPS,
        version_seen=await versioned(house),
    )


async def received(request: Request) -> Response:
    """How many came, for the page that waits for the first."""
    house, source = house_of(request), await source_of(request)
    return JSONResponse({"received": house.log.received().get(source.id, 0)})


async def change(request: Request) -> Response:
    """One change of a source, by the button that was pressed."""
    house, visitor, source = house_of(request), visitor_of(request), await source_of(request)
    form = await form_of(request)
    what, name, back = form.text("do"), source.name, f"/sources/{source.id}"

    def work(editor: edit.Editor) -> str:
        match what:
            case "rename":
                edit.rename_source(editor, name, form.text("name"))
                return "It has another name."
            case "enable" | "disable":
                edit.change_source(editor, name, lambda spec: replace(spec, enabled=what == "enable"))
                return (
                    "It is enabled." if what == "enable" else "It is disabled: what it sends is discarded and counted."
                )
            case "rotate":
                hours = form.text("overlap")
                if hours not in OVERLAPS:
                    raise UserError("choose how long the write key before stays good")
                edit.rotate_write_key(editor, name, overlap_ms=int(hours) * 3_600_000)
                return "It has a new write key."
            case "end-key":
                edit.end_retired_key(editor, name)
                return "The former write key is good no more."
            case "trust":
                trust = Trust(form.text("trust"))
                limits = SourceLimits(form.whole("messages_per_second"), form.whole("megabytes_per_day"))
                edit.change_source(editor, name, lambda spec: replace(spec, trust=trust, limits=limits))
                return "Saved."
        raise UserError("choose what to do")

    try:
        told = await house.edit(visitor.name, form.version, work)
    except (UserError, ValueError) as error:
        return see_other(back, f"Nothing was changed: {error}", "bad")
    return see_other(back, told)


PAGES = (
    Page("/sources", index),
    Page("/sources/new", new, Role.EDITOR, ("GET", "POST")),
    Page("/sources/{source:int}", one),
    Page("/sources/{source:int}", change, Role.EDITOR, ("POST",)),
    Page("/sources/{source:int}/received", received),
)
