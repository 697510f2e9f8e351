"""Failures: records that the other side refused, by reason, and what to do with them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gainsight_destination import letters
from gainsight_destination.access.acts import record_act
from gainsight_destination.access.roles import Role
from gainsight_destination.console.forms import Form, form_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import masked
from gainsight_destination.errors import UserError
from gainsight_destination.records import dead_letters

SHOWN: Final = 50
TOGETHER: Final = 1_000
"""So many are settled in one transaction."""
HIDDEN: Final = "(editors see it)"


def hidden(letter: Mapping[str, Any]) -> dict[str, Any]:
    """A letter without personal data: the words of an answer may quote values."""
    told = {**letter, "message": HIDDEN, "record": HIDDEN}
    for name in ("request", "answer", "corrections"):
        if name in told:
            told[name] = masked(told[name])
    if "refusals" in told:
        told["refusals"] = [hidden({**one, "record": ""}) for one in told["refusals"]]
    return told


def grouped(connection: sqlite3.Connection, whole: bool) -> list[dict[str, Any]]:
    """Open letters by reason, as far as the visitor may see them."""
    found = letters.groups(connection, letters.Wanted())
    return found if whole else [{**group, "samples": [hidden(s) for s in group["samples"]]} for group in found]


def listed(
    connection: sqlite3.Connection, code: str, before_id: int | None, whole: bool
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest open letters, and where to go on."""
    found, more = letters.page(connection, letters.Wanted(code=code or None), before_id=before_id, limit=SHOWN)
    return (found if whole else [hidden(letter) for letter in found]), more


async def index(request: Request) -> Response:
    """By reason, and the newest; `?code=` of one reason, `?before=ID` goes on."""
    house, code, before = (
        house_of(request),
        request.query_params.get("code", ""),
        request.query_params.get("before", ""),
    )
    before_id = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
    whole = visitor_of(request).sees_personal_data
    groups = await house.read(lambda connection: grouped(connection, whole))
    found, more = await house.read(lambda connection: listed(connection, code, before_id, whole))
    return page(request, "failures.html", groups=groups, letters=found, more=more, code=code)


async def one(request: Request) -> Response:
    """A dead letter with every refusal, its request and its answer."""
    return await letter_page(request, (), {})


async def letter_page(request: Request, problems: tuple[str, ...], fields: Mapping[str, str]) -> Response:
    house, letter_id = house_of(request), request.path_params["letter"]
    try:
        letter = await house.read(lambda connection: letters.show(connection, letter_id))
    except UserError:
        raise not_found("There is no such failure") from None
    shown = letter if visitor_of(request).sees_personal_data else hidden(letter)
    return page(
        request,
        "failure.html",
        status=400 if problems else 200,
        letter=shown,
        problems=problems,
        fields={"values": "", "unset": "", **fields},
    )


async def act(request: Request) -> Response:
    """Retry this one, retry all like it, correct it, or give it up."""
    house, visitor, letter_id = house_of(request), visitor_of(request), request.path_params["letter"]
    form = await form_of(request)
    what = form.text("do")
    try:
        told = (
            await corrected(house, visitor.name, letter_id, form)
            if what == "fix"
            else await settled(house, visitor.name, letter_id, what)
        )
    except UserError as error:
        return await letter_page(request, (str(error),), {name: form.raw(name) for name in ("values", "unset")})
    return see_other("/failures", f"You {told}.")


async def corrected(house: House, actor: str, letter_id: int, form: Form) -> str:
    """Lay a correction over the record and try it again."""
    fix = letters.Fix(dict(value_of(line) for line in form.lines("values")), form.lines("unset"))

    def write(connection: sqlite3.Connection) -> str:
        letters.fix(connection, letter_id, fix, house.now_ms())
        fields = ", ".join((*fix.values, *fix.unset))
        told = f"corrected {fields} of dead letter {letter_id} and retried it"
        record_act(connection, actor=actor, what=told, now_ms=house.now_ms())
        return told

    return await house.write(write)


def value_of(line: str) -> tuple[str, Any]:
    """FIELD = VALUE; a value that is JSON is read as such. Raises UserError."""
    field, equals, text = (part.strip() for part in line.partition("="))
    if not field or not equals:
        raise UserError("write one FIELD = VALUE a line")
    try:
        return field, json.loads(text)
    except ValueError:
        return field, text


async def settled(house: House, actor: str, letter_id: int, what: str) -> str:
    """Retry or discard, one or all like it, some at a time; say what was done. Raises UserError."""
    verb, _, like = what.partition("-")
    if verb not in ("retry", "discard") or like not in ("", "like"):
        raise UserError("choose what to do: retry, retry-like, discard or discard-like")
    letter = await house.read(lambda connection: letters.show(connection, letter_id))
    if letter["state"] != dead_letters.OPEN:
        raise UserError(f"dead letter {letter_id} {letters.SETTLED.get(letter['state'], 'is settled already')}")
    count = 0
    if like:
        one_like_it, until_id = await house.read(
            lambda connection: (
                dead_letters.get(connection, letter_id),
                connection.execute("SELECT max(id) FROM dead_letters").fetchone()[0],
            )
        )
        while done := await house.write(
            lambda connection: letters.settle_some(
                connection, one_like_it, verb, house.now_ms(), until_id=until_id, limit=TOGETHER
            )
        ):
            count += done
    else:
        act_on = letters.retry if verb == "retry" else letters.discard
        await house.write(lambda connection: act_on(connection, letter_id, house.now_ms()))
        count = 1
    done_in_words = "retried" if verb == "retry" else "gave up"
    told = f"{done_in_words} {count:,} refused {letter['object']} record{'s' * (count != 1)} ({letter['code']})"
    await house.write(lambda connection: record_act(connection, actor=actor, what=told, now_ms=house.now_ms()))
    return told


async def export(request: Request) -> Response:
    """All open letters with requests and answers, as CSV that a spreadsheet opens harmlessly, or as NDJSON."""
    house, form = house_of(request), request.path_params["form"]
    if form not in ("csv", "ndjson"):
        raise not_found()

    def lines(connection: sqlite3.Connection) -> list[str]:
        found = letters.export(connection, letters.Wanted())
        return list(letters.as_csv(found) if form == "csv" else ndjson(found))

    text = await house.read(lines)
    kind = "text/csv" if form == "csv" else "application/x-ndjson"
    named = {"content-disposition": f'attachment; filename="dead-letters.{form}"'}
    return StreamingResponse(iter(text), media_type=kind, headers=named)


def ndjson(found: Iterator[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(letter, ensure_ascii=False) + "\n" for letter in found)


PAGES = (
    Page("/failures", index),
    Page("/failures/{letter:int}", one),
    Page("/failures/{letter:int}", act, Role.EDITOR, ("POST",)),
    Page("/failures/export.{form}", export, Role.EDITOR),
)
