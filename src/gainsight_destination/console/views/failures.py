"""Failures: records that the other side refused, by reason, and what to do with them."""

import json
import sqlite3
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access.acts import record_act
from gainsight_destination.access.roles import Role
from gainsight_destination.console.forms import form_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import masked
from gainsight_destination.errors import UserError
from gainsight_destination.records import dead_letters
from gainsight_destination.records.books import Books

SHOWN: Final = 50


def groups(connection: sqlite3.Connection, whole: bool) -> list[dict[str, Any]]:
    """Open dead letters by destination, object and code, the most first, each with its newest message.

    `whole`: with the words of the answer, which may quote personal data.
    """
    rows = connection.execute(
        "SELECT d.name, newest.object, newest.code, g.times, g.first_at_ms, g.last_at_ms, newest.message, newest.id"
        " FROM (SELECT count(*) AS times, min(died_at_ms) AS first_at_ms, max(died_at_ms) AS last_at_ms, max(id) AS id"
        "       FROM dead_letters WHERE state = 'open' GROUP BY destination_id, object, code) AS g"
        " JOIN dead_letters AS newest ON newest.id = g.id JOIN destinations AS d ON d.id = newest.destination_id"
        " ORDER BY g.times DESC"
    )
    names = ("destination", "object", "code", "count", "first_at_ms", "last_at_ms", "message", "newest")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return found if whole else [{**each, "message": ""} for each in found]


async def index(request: Request) -> Response:
    house, code = house_of(request), request.query_params.get("code", "")
    whole = visitor_of(request).sees_personal_data

    def read(connection: sqlite3.Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, str]]:
        letters = dead_letters.select(connection, limit=1_000)
        names = dict(connection.execute("SELECT id, name FROM destinations"))
        return groups(connection, whole), [each for each in letters if not code or each["code"] == code][:SHOWN], names

    found, letters, names = await house.read(read)
    return page(request, "failures.html", groups=found, letters=letters, names=names, code=code)


async def one(request: Request) -> Response:
    """A dead letter with its request and answer."""
    house, letter_id = house_of(request), request.path_params["letter"]

    def read(connection: sqlite3.Connection) -> tuple[dict[str, Any], str, int]:
        letter = dead_letters.get(connection, letter_id)
        (name,) = connection.execute(
            "SELECT name FROM destinations WHERE id = ?", (letter["destination_id"],)
        ).fetchone()
        return letter, name, len(dead_letters.like(connection, letter))

    try:
        letter, destination, alike = await house.read(read)
    except UserError:
        raise not_found("There is no such failure") from None
    bodies = {name: shown(letter[name], visitor_of(request).sees_personal_data) for name in ("request", "answer")}
    return page(request, "failure.html", letter=letter, destination=destination, alike=alike, bodies=bodies)


def shown(text: str, whole: bool) -> str:
    """A stored request or answer; it may have been cut."""
    try:
        value = json.loads(text)
    except ValueError:
        return text if whole else "(hidden: it cannot be masked)"
    return json.dumps(value if whole else masked(value), indent=2, ensure_ascii=False)


async def act(request: Request) -> Response:
    """Retry this one, retry all like it, or give it up."""
    what = (await form_of(request)).text("do")
    told = await retry(house_of(request), visitor_of(request).name, request.path_params["letter"], what)
    return see_other("/failures", f"You {told}.")


async def retry(house: House, actor: str, letter_id: int, what: str) -> str:
    """Do it, and say what was done. Raises UserError."""
    now_ms = house.now_ms()

    def write(connection: sqlite3.Connection) -> str:
        letter, books = dead_letters.get(connection, letter_id), Books(now_ms)
        if letter["state"] != "open":
            raise UserError("this failure was settled already")
        if what == "discard":
            dead_letters.discard(connection, books, letter["record_id"], now_ms)
            told = f"gave up the {letter['object']} of dead letter {letter_id}"
        elif what in ("retry", "retry-like"):
            wanted = [letter["record_id"]] if what == "retry" else list(dead_letters.like(connection, letter))
            for record_id in wanted:
                dead_letters.revive(connection, books, record_id, now_ms)
            told = f"retried {len(wanted):,} refused {letter['object']} record{'s' * (len(wanted) != 1)}"
        else:
            raise UserError("choose what to do: retry, retry-like or discard")
        books.flush(connection)
        record_act(connection, actor=actor, what=f"{told} ({letter['code']})", now_ms=now_ms)
        return told

    return await house.write(write)


PAGES = (
    Page("/failures", index),
    Page("/failures/{letter:int}", one),
    Page("/failures/{letter:int}", act, Role.EDITOR, ("POST",)),
)
