"""Live: messages as they come, with what was decided about each."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gainsight_destination.console.guard import visitor_now
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.render import page, part
from gainsight_destination.console.routing import Page
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import masked_email
from gainsight_destination.observe.feed import Feed, FeedMessage, Filter, live_after, live_again, live_before

SHOWN: Final = 50
LOOK_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 300
"""Then the browser asks anew, with its session checked again."""
CHECK_MS: Final = 5_000
"""So often it is looked whether the visitor is still let in."""
OPEN: Final = frozenset({"unresolved", "pending", "parked"})
OUTCOMES: Final = ("delivered", "pending", "parked", "filtered", "dead", "discarded", "duplicate")
TYPES: Final = ("identify", "track", "group", "page", "screen", "alias")
FIELDS: Final = ("type", "event", "user", "account", "source", "outcome")


def filter_of(request: Request) -> Filter:
    """What is asked for in the query."""
    return Filter(**{name: request.query_params.get(name, "").strip() or None for name in FIELDS})


async def index(request: Request) -> Response:
    """The newest messages that match; `?before=OFFSET` goes on."""
    house, wanted = house_of(request), filter_of(request)
    before = request.query_params.get("before", "")

    def read(connection: sqlite3.Connection) -> tuple[Feed, list[str]]:
        names = [name for (name,) in connection.execute("SELECT name FROM sources ORDER BY name")]
        if before.isascii() and before.isdigit() and len(before) < 16:
            return live_before(connection, house.log, int(before), wanted, SHOWN), names
        return live_after(connection, house.log, None, wanted, SHOWN), names

    feed, sources = await house.read(read)
    messages = [shown(message, visitor_of(request).sees_personal_data) for message in reversed(feed.messages)]
    return page(
        request,
        "live.html",
        messages=messages,
        cursor=feed.cursor,
        older=feed.messages[0].offset if feed.messages else 0,
        wanted=wanted,
        sources=sources,
        types=TYPES,
        outcomes=OUTCOMES,
        is_newest=not before,
        is_filtered=wanted != Filter(),
    )


def shown(message: FeedMessage, whole: bool) -> dict[str, Any]:
    """A row of the table."""
    user = message.user or message.user_id or message.anonymous_id or ""
    states = [outcome.state for outcome in message.outcomes] or [message.state]
    return {
        "offset": message.offset,
        "id": message.message_id,
        "type": message.type or "",
        "event": message.event or "",
        "source": message.source,
        "at_ms": message.received_at_ms,
        "user": user if whole else masked_email(user) if user else "",
        "account": message.account or "",
        "state": message.state,
        "reason": message.reason,
        "outcomes": message.outcomes,
        "is_open": bool(OPEN & {*states, message.state}),
    }


async def stream(request: Request) -> Response:
    """The rows of new messages, and those whose outcome changed, as server-sent events."""
    start = request.headers.get("last-event-id") or request.query_params.get("after", "")
    cursor = int(start) if start.isascii() and start.isdigit() and len(start) < 16 else None
    whole = visitor_of(request).sees_personal_data
    rows = Rows(house_of(request), filter_of(request), cursor, whole)
    return StreamingResponse(events(request, rows), media_type="text/event-stream")


async def events(request: Request, rows: "Rows") -> AsyncIterator[str]:
    house = house_of(request)
    ends_at_ms = house.now_ms() + LONGEST_SECONDS * 1_000
    visitor, check_at_ms = visitor_of(request), house.now_ms() + CHECK_MS
    while house.now_ms() < ends_at_ms and not house.stopping():
        if await request.is_disconnected():
            return
        if house.now_ms() >= check_at_ms:
            if not visitor.is_still(await visitor_now(house, request)):
                return
            check_at_ms = house.now_ms() + CHECK_MS
        for event in await rows.look():
            yield event
        await asyncio.sleep(LOOK_SECONDS)  # of the real world: it is a person who looks


class Rows:
    """What one open page has been shown, and what is new to it."""

    def __init__(self, house: House, wanted: Filter, cursor: int | None, whole: bool) -> None:
        self._house = house
        self._wanted = wanted
        self._cursor = cursor
        self._whole = whole
        self._open: dict[int, dict[str, Any]] = {}

    async def look(self) -> list[str]:
        """Events to send: rows of new messages, and rows that look different now."""
        house, said = self._house, []
        feed = await house.read(
            partial(live_after, log=house.log, cursor=self._cursor, wanted=self._wanted, limit=SHOWN)
        )
        self._cursor = feed.cursor
        new = [shown(message, self._whole) for message in reversed(feed.messages)]
        if new:
            said.append(self._event("rows", new))
        known = dict(self._open)
        if known:
            again = await house.read(lambda connection: live_again(connection, house.log, known))
            changed = [row for message in again if (row := shown(message, self._whole)) != known[row["offset"]]]
            self._keep(changed)
            if changed:
                said.append(self._event("changed", changed))
        self._keep(new)
        return said

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        """Look again at what is not at its end; of many, at the newest."""
        for row in rows:
            if row["is_open"]:
                self._open[row["offset"]] = row
            else:
                self._open.pop(row["offset"], None)
        for offset in sorted(self._open)[:-SHOWN]:
            del self._open[offset]

    def _event(self, name: str, rows: list[dict[str, Any]]) -> str:
        text = "".join(part("live_rows.html", "row", row, self._house.now_ms()) for row in rows)
        return f"id: {self._cursor}\nevent: {name}\ndata: {' '.join(text.split())}\n\n"


PAGES = (Page("/live", index), Page("/live/stream", stream))
