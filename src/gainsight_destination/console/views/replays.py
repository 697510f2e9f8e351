"""Replay: chosen messages of the log go to a destination once more; first what that would do, then how it goes."""

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access.acts import record_act
from gainsight_destination.access.roles import Role
from gainsight_destination.console.forms import Form, form_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.views.messages import connected
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.errors import UserError
from gainsight_destination.events.message import TYPES
from gainsight_destination.observe.words import skip_words
from gainsight_destination.records import replays
from gainsight_destination.records.replays import Selection
from gainsight_destination.replay import service
from gainsight_destination.replay.preview import Preview, preview
from gainsight_destination.resolve.trust import limited_sources
from gainsight_destination.store.database import connect

SHOWN: Final = 50
BREATHE_SECONDS: Final = 0.02
"""Between two chunks of a preview: the engine writes meanwhile."""
FIELDS: Final = ("destination", "since", "until", "source", "user", "event", "type", "again", "everything")
STATES: Final = {
    replays.RUNNING: "busy",
    replays.PAUSED: "wait",
    replays.DELIVERING: "busy",
    replays.DONE: "good",
    replays.CANCELLED: "quiet",
}


def moment(text: str, name: str) -> int | None:
    """A date, or a date and time, of UTC, in milliseconds. Raises UserError."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{name} must be a date, such as 2026-11-25 or 2026-11-25 14:00 (UTC)") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def selection_of(form: Form, sources: Mapping[str, int]) -> Selection:
    """What a form chooses. Raises UserError."""
    source = form.text("source")
    if source and source not in sources:
        raise UserError("there is no such source any more")
    chosen = Selection(
        since_ms=moment(form.text("since"), "since"),
        until_ms=moment(form.text("until"), "until"),
        source_id=sources[source] if source else None,
        user_id=form.text("user") or None,
        event=form.text("event") or None,
        type=form.text("type") or None,
    )
    if (chosen == Selection()) != form.checked("everything"):
        raise UserError("choose something, or tick everything and nothing else")
    service.check(chosen)
    return chosen


async def choices(house: House) -> dict[str, Any]:
    """What can be chosen: enabled destinations, sources, types."""

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        return {
            "destinations": dict(
                connection.execute("SELECT name, id FROM destinations WHERE enabled ORDER BY name").fetchall()
            ),
            "sources": dict(connection.execute("SELECT name, id FROM sources ORDER BY name").fetchall()),
        }

    return {**await house.read(read), "types": sorted(TYPES)}


async def index(request: Request) -> Response:
    """The replays there were, newest first."""
    house = house_of(request)

    def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        return [service.told(connection, each) for each in replays.newest(connection, limit=SHOWN)]

    found = await house.read(read)
    return page(request, "replays.html", replays=found, tones=STATES, **await choices(house), **blank())


def blank() -> dict[str, Any]:
    return {"fields": dict.fromkeys(FIELDS, ""), "problem": "", "shown": None, "skip_words": skip_words}


async def new(request: Request) -> Response:
    """What a replay would do; or, with the other button, its start."""
    house, form = house_of(request), await form_of(request)
    offered = await choices(house)
    fields = {name: form.text(name) for name in FIELDS}
    shown: Preview | None = None
    problem = ""
    try:
        if fields["destination"] not in offered["destinations"]:
            raise UserError("choose an enabled destination")
        target = offered["destinations"][fields["destination"]]
        selection = selection_of(form, offered["sources"])
        if form.text("do") == "start":
            replay = await begin(house, visitor_of(request).name, target, selection, again=form.checked("again"))
            return see_other(f"/replays/{replay.id}", "The replay is started.")
        shown = await looked_at(house, target, selection, again=form.checked("again"))
    except UserError as error:
        problem = str(error)
    context = {**blank(), "fields": fields, "problem": problem, "shown": shown}
    return page(
        request,
        "replays.html",
        status=400 if problem else 200,
        replays=[],
        tones=STATES,
        **offered,
        **context,
    )


async def looked_at(house: House, target: int, selection: Selection, *, again: bool) -> Preview:
    """The preview, read from connections of its own: it takes long, and looks at one instant after the other."""
    secrets = house.secrets()
    targets, limited = await house.read(
        lambda connection: (connected(connection, secrets), frozenset(limited_sources(connection)))
    )

    def look() -> Preview:
        with closing(connect(house.data_dir / "state.db")) as state:  # it is tried, chunk by chunk, and undone
            return preview(
                state,
                house.log,
                targets,
                limited,
                target,
                selection,
                again=again,
                now_ms=house.now_ms(),
                breathe=lambda: time.sleep(BREATHE_SECONDS),
            )

    return await asyncio.to_thread(look)


async def begin(house: House, actor: str, target: int, selection: Selection, *, again: bool) -> replays.Replay:
    def write(connection: sqlite3.Connection) -> replays.Replay:
        now_ms = house.now_ms()
        replay = service.start(connection, house.log, target, selection, again=again, actor=actor, now_ms=now_ms)
        record_act(connection, actor=actor, what=f"started replay {replay.id}", now_ms=now_ms)
        return replay

    return await house.write(write)


async def one(request: Request) -> Response:
    """How a replay goes: messages and records, in figures that balance."""
    house, replay_id = house_of(request), request.path_params["replay"]
    told = await house.read(lambda connection: service.told(connection, service.get(connection, replay_id)))
    return page(request, "replay.html", replay=told, tones=STATES, skip_words=skip_words)


async def change(request: Request) -> Response:
    """Pause, go on, or cancel."""
    house, visitor, replay_id = house_of(request), visitor_of(request), request.path_params["replay"]
    what = (await form_of(request)).text("do")
    acts = {"pause": service.pause, "resume": service.resume, "cancel": service.cancel}
    if what not in acts:
        raise UserError("choose what to do: pause, resume or cancel")

    def write(connection: sqlite3.Connection) -> None:
        acts[what](connection, replay_id, house.now_ms())
        record_act(connection, actor=visitor.name, what=f"{what}: replay {replay_id}", now_ms=house.now_ms())

    try:
        await house.write(write)
    except UserError as error:
        return see_other(f"/replays/{replay_id}", f"{error}.", "bad")
    return see_other(f"/replays/{replay_id}")


PAGES = (
    Page("/replays", index),
    Page("/replays", new, Role.EDITOR, ("POST",)),
    Page("/replays/{replay:int}", one),
    Page("/replays/{replay:int}", change, Role.EDITOR, ("POST",)),
)
