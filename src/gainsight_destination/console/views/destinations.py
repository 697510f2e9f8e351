"""Destinations and the catalog: choosing one, connecting sources, settings step by step, and whether it is ready."""

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access.acts import record_act
from gainsight_destination.access.roles import Role
from gainsight_destination.console.check import check_now
from gainsight_destination.console.forms import Form, form_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.views.overview import charts_of, remarks, shares, status_of, unmapped
from gainsight_destination.console.views.sources import stored, versioned
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.destinations import form as settings_form
from gainsight_destination.destinations.catalog import CATALOG, CatalogEntry
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.registry import build
from gainsight_destination.errors import InvalidSettingsError, UserError
from gainsight_destination.observe.words import RECORD_STATES
from gainsight_destination.observe.worklists import event_volumes
from gainsight_destination.workspace import edit
from gainsight_destination.workspace.model import Destination
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import load
from gainsight_destination.workspace.spec import DestinationSpec
from gainsight_destination.workspace.stored import read_workspace

STEPS: Final = {
    "connection": "Settings",
    "check": "Check",
    "events": "Events",
    "mapping": "Mapping",
    "advanced": "Limits",
    "review": "Review",
}
HIDDEN: Final = object()
VOLUME_DAYS: Final = 7


async def configured(house: House) -> tuple[Destination, ...]:
    """The destinations, with their secrets left closed."""
    return (
        await house.read(lambda connection: read_workspace(connection, lambda _place, _sealed: HIDDEN))
    ).destinations


async def destination_of(request: Request) -> Destination:
    """The destination of the path. Raises Problem."""
    for destination in await configured(house_of(request)):
        if destination.id == request.path_params["destination"]:
            return destination
    raise not_found("There is no such destination")


def plain(destination: Destination) -> dict[str, Any]:
    """Its settings without the secret ones."""
    return {name: value for name, value in destination.settings.items() if value is not HIDDEN}


# -- the catalog


async def catalog(request: Request) -> Response:
    """Every type of destination, those that match what is searched for."""
    wanted = request.query_params.get("q", "").strip().lower()
    found = [e for e in CATALOG.values() if wanted in f"{e.name} {e.slug} {e.description}".lower()]
    counts: dict[str, int] = {}
    for destination in await configured(house_of(request)):
        counts[destination.type] = counts.get(destination.type, 0) + 1
    return page(request, "catalog.html", entries=found, query=wanted, counts=counts)


def entry_of(request: Request) -> CatalogEntry:
    """Raises Problem."""
    entry = CATALOG.get(request.path_params["slug"])
    if entry is None:
        raise not_found("There is no such destination in the catalog")
    return entry


async def catalog_entry(request: Request) -> Response:
    entry = entry_of(request)
    existing = [d for d in await configured(house_of(request)) if d.type == entry.slug]
    return page(request, "catalog_entry.html", entry=entry, existing=existing)


async def connect(request: Request) -> Response:
    """Choose sources and give what the connection needs. The destination is then there, and not enabled yet."""
    house, visitor, entry = house_of(request), visitor_of(request), entry_of(request)
    sources = await stored(house)
    first = [field for field in entry.form if field.step == "connection"]
    if request.method == "GET":
        taken = {destination.name for destination in await configured(house)}
        name = next(n for n in (entry.slug, *(f"{entry.slug}-{i}" for i in range(2, 1_000))) if n not in taken)
        chosen = request.query_params.getlist("source") or [s.name for s in sources if s.enabled]
        return connect_page(request, entry, sources, name, chosen, {}, ())
    form = await form_of(request)
    name, chosen = form.text("name"), form.texts("source")
    typed = {field.name: form.text(field.name) for field in first}
    try:
        settings = settings_form.changed(first, {}, typed)
        spec = DestinationSpec(name, entry.slug, tuple(chosen), settings, enabled=False)
        await house.edit(visitor.name, None, lambda editor: edit.add_destination(editor, spec))
    except UserError as error:
        visible = {f.name: "" if f.kind is settings_form.Kind.SECRET else typed[f.name] for f in first}
        return connect_page(request, entry, sources, name, chosen, visible, problems_of(error))
    made = next(destination for destination in await configured(house) if destination.name == name)
    return see_other(f"/destinations/{made.id}/{'check' if entry.check else 'events'}")


def problems_of(error: UserError) -> tuple[str, ...]:
    return error.problems if isinstance(error, InvalidSettingsError) else (str(error),)


def connect_page(
    request: Request,
    entry: CatalogEntry,
    sources: Any,
    name: str,
    chosen: list[str],
    typed: Mapping[str, str],
    problems: tuple[str, ...],
) -> Response:
    return page(
        request,
        "connect.html",
        status=400 if problems else 200,
        entry=entry,
        sources=sources,
        name=name,
        chosen=chosen,
        typed=typed,
        problems=[problem.removeprefix(f'"{name}": ') for problem in problems],
        fields=[field for field in entry.form if field.step == "connection"],
    )


# -- a destination


async def index(request: Request) -> Response:
    house = house_of(request)
    found, document = await configured(house), await status_of(house)
    names = {source.id: source.name for source in await stored(house)}
    return page(
        request, "destinations.html", destinations=found, document=document, source_names=names, catalog=CATALOG
    )


async def one(request: Request) -> Response:
    """How a destination stands, and what can be done with it."""
    house, destination = house_of(request), await destination_of(request)
    document = await status_of(house)
    books = document["destinations"][destination.name]
    return page(
        request,
        "destination.html",
        **await about(request, destination, "overview"),
        books=books,
        shares=shares(books),
        charts=(await charts_of(house, document))[destination.name],
        remarks=list(remarks(books["notices"])),
        unmapped=unmapped(books["notices"]),
        record_states=RECORD_STATES,
    )


async def about(request: Request, destination: Destination, step: str) -> dict[str, Any]:
    """What every page of a destination shows."""
    house, entry = house_of(request), CATALOG[destination.type]
    sources = await stored(house)
    return {
        "destination": destination,
        "entry": entry,
        "sources": sources,
        "connected": [source for source in sources if source.id in destination.source_ids],
        "step": step,
        "steps": {name: label for name, label in STEPS.items() if entry.check or name != "check"},
        "version_seen": await versioned(house),
    }


async def step(request: Request) -> Response:
    """A page of settings: to see, and to change."""
    destination = await destination_of(request)
    name = request.path_params["step"]
    if name not in STEPS or (name == "check" and CATALOG[destination.type].check is None):
        raise not_found()
    if name == "check":
        return await checked(request, destination, None)
    if name == "review":
        return await review(request, destination)
    fields = [field for field in CATALOG[destination.type].form if field.step == name]
    settings = plain(destination)
    typed = {field.name: settings_form.shown(field, settings) for field in fields}
    return await settings_page(request, destination, name, typed, ())


async def settings_page(
    request: Request, destination: Destination, name: str, typed: Mapping[str, str], problems: tuple[str, ...]
) -> Response:
    fields = [field for field in CATALOG[destination.type].form if field.step == name]
    house, secrets = house_of(request), house_of(request).secrets()
    seen = (
        await house.read(lambda connection: volumes(connection, secrets, destination, house.now_ms()))
        if name == "events"
        else []
    )
    return page(
        request,
        "destination_settings.html",
        status=400 if problems else 200,
        **await about(request, destination, name),
        fields=fields,
        typed=typed,
        problems=[problem.removeprefix(f'"{destination.name}": ') for problem in problems],
        has_secret={field.name for field in fields if destination.settings.get(field.name) is HIDDEN},
        seen=seen,
    )


def volumes(
    connection: sqlite3.Connection, secrets: Secrets, destination: Destination, now_ms: int
) -> list[tuple[str, int, int, bool]]:
    """Track events of the last days: name, how many a day, calls a day if it were the only one, whether it is sent."""
    configured = next(each for each in load(connection, secrets).destinations if each.id == destination.id)
    target = build(configured.type, configured.settings)
    reached = Connected(configured.id, configured.name, configured.source_ids, target, frozenset())
    found = event_volumes(connection, [reached], now_ms, VOLUME_DAYS)
    return [
        (
            each.event,
            -(-sum(each.days) // VOLUME_DAYS),
            each.calls_per_day[configured.name],
            each.allowed[configured.name],
        )
        for each in found.events
    ]


async def save(request: Request) -> Response:
    """The settings of one page. On to the next one while the destination was never enabled."""
    house, visitor, destination = house_of(request), visitor_of(request), await destination_of(request)
    name, form = request.path_params["step"], await form_of(request)
    if name == "check":
        return await checked(request, destination, visitor.name)
    fields = [field for field in CATALOG[destination.type].form if field.step == name]
    if not fields:
        raise not_found()
    typed = {field.name: typed_in(form, field) for field in fields}

    def work(editor: edit.Editor) -> tuple[str, ...]:
        def changed(spec: DestinationSpec) -> DestinationSpec:
            settings = settings_form.changed(fields, spec.settings, typed)
            return replace(spec, settings=settings)

        return edit.change_destination(editor, destination.name, changed).changes

    try:
        changes = await house.edit(visitor.name, form.version, work)
    except UserError as error:
        visible = {f.name: "" if f.kind is settings_form.Kind.SECRET else typed[f.name] for f in fields}
        return await settings_page(request, destination, name, visible, problems_of(error))
    told = f"{len(changes)} change{'s' * (len(changes) != 1)} saved." if changes else "Nothing was different."
    onward = following(name, CATALOG[destination.type]) if form.checked("onward") else name
    return see_other(f"/destinations/{destination.id}/{onward}", told if changes or onward == name else "")


def typed_in(form: Form, field: settings_form.SettingField) -> str:
    """What was typed; events that were ticked are lines too."""
    text = form.raw(field.name)
    return "\n".join([text, *form.texts(f"{field.name}_ticked")]) if field.kind is settings_form.Kind.LINES else text


def following(name: str, entry: CatalogEntry) -> str:
    """The page after this one while connecting; limits can be left alone."""
    order = [step for step in STEPS if step != "advanced" and (entry.check or step != "check")]
    order = [step for step in order if step in ("check", "review") or any(f.step == step for f in entry.form)]
    return order[min(order.index(name) + 1, len(order) - 1)] if name in order else name


async def checked(request: Request, destination: Destination, actor: str | None) -> Response:
    """Asks the other side whether it is ready, when the button was pressed or nobody asked yet."""
    house = house_of(request)
    report, problem = None, ""
    if actor is not None:
        report, problem = await check_now(house, destination.id)
        await house.write(
            lambda connection: record_act(
                connection,
                actor=actor,
                what=f'tested the connection of destination "{destination.name}"',
                now_ms=house.now_ms(),
            )
        )
    return page(
        request,
        "destination_check.html",
        **await about(request, destination, "check"),
        report=report,
        problem=problem,
        onward=following("check", CATALOG[destination.type]),
    )


async def review(request: Request, destination: Destination) -> Response:
    """All that was chosen, before it is enabled."""
    settings = plain(destination)
    rows = [
        (field.label, "stored, not shown")
        if field.kind is settings_form.Kind.SECRET
        else (field.label, settings_form.shown(field, settings))
        for field in CATALOG[destination.type].form
        if field.name in destination.settings
    ]
    return page(request, "destination_review.html", **await about(request, destination, "review"), rows=rows)


async def change(request: Request) -> Response:
    """One change of a destination, by the button that was pressed."""
    house, visitor, destination = house_of(request), visitor_of(request), await destination_of(request)
    form, name = await form_of(request), destination.name

    def work(editor: edit.Editor) -> str:
        match form.text("do"):
            case "enable" | "disable":
                wanted = form.text("do") == "enable"
                edit.change_destination(editor, name, lambda spec: replace(spec, enabled=wanted))
                return "It is enabled: what comes is delivered." if wanted else "It is disabled: nothing is delivered."
            case "rename":
                edit.rename_destination(editor, name, form.text("name"))
                return "It has another name."
            case "connect":
                chosen = tuple(form.texts("source"))
                edit.change_destination(editor, name, lambda spec: replace(spec, sources=chosen))
                return "Its sources are changed."
        raise UserError("choose what to do")

    back = f"/destinations/{destination.id}"
    try:
        told = await house.edit(visitor.name, form.version, work)
    except UserError as error:
        return see_other(back, f"Nothing was changed: {'; '.join(problems_of(error))}", "bad")
    return see_other(back, told)


PAGES = (
    Page("/catalog", catalog),
    Page("/catalog/{slug}", catalog_entry),
    Page("/catalog/{slug}/connect", connect, Role.EDITOR, ("GET", "POST")),
    Page("/destinations", index),
    Page("/destinations/{destination:int}", one),
    Page("/destinations/{destination:int}", change, Role.EDITOR, ("POST",)),
    Page("/destinations/{destination:int}/{step}", step),
    Page("/destinations/{destination:int}/{step}", save, Role.EDITOR, ("POST",)),
)
