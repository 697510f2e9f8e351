"""Dead letters as a person works with them: find, group, show, fix, retry, discard, export.

What the command line, the console and the control API share. Each function is part of the caller's transaction, and
what it returns is JSON-able, with names in camelCase and times in ISO 8601, UTC. Requests and answers hold personal
data: only `show` and `export` give them.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gainsight_destination import harmless_csv
from gainsight_destination.destinations.contract import Correction, Outline
from gainsight_destination.destinations.registry import outline
from gainsight_destination.errors import UserError
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.records import corrections, dead_letters
from gainsight_destination.records.books import Books
from gainsight_destination.records.due import make_due

SAMPLES: Final = 3
PAGE: Final = 100
WHAT_TO_DO: Final = (
    "look at the answer; mend the record (`dead-letters fix`), the mapping or the destination, then retry it"
)
INTERNAL: Final = "a mistake of ours: please report it; retry after an upgrade"
COLUMNS: Final = (
    *("id", "state", "destination", "object", "record", "code", "message", "attempts", "diedAt", "settledAt"),
    *("whatToDo", "request", "answer"),
)
SETTLED: Final[Mapping[str, str]] = {
    "retried": "was retried already; if it is refused again, it becomes a new dead letter (`dead-letters list`)",
    "discarded": "was discarded already; its record is tried again when a new message changes it",
    "superseded": "is history: its record was delivered since",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: all that are open, narrowed by what is given. `state` None: settled ones too."""

    destination_id: int | None = None
    object: str | None = None
    code: str | None = None
    since_ms: int | None = None
    state: str | None = dead_letters.OPEN


@dataclass(frozen=True, slots=True)
class Fix:
    """What a person corrects: values by field (None clears it), and fields for which nothing is to be sent."""

    values: Mapping[str, Any]
    unset: Sequence[str] = ()


# -- looking


def page(
    connection: sqlite3.Connection, wanted: Wanted, *, before_id: int | None = None, limit: int = PAGE
) -> tuple[list[dict[str, Any]], int | None]:
    """Dead letters, newest first, and the id to go on before (None: these were all)."""
    found = _select(connection, wanted, before_id, limit + 1)
    told = _Teller(connection)
    more = len(found) > limit
    return [told.summary(letter) for letter in found[:limit]], found[limit - 1]["id"] if more else None


def groups(connection: sqlite3.Connection, wanted: Wanted) -> list[dict[str, Any]]:
    """The same by destination, object and code, the most first: how many, since when, some of them, what to do."""
    clauses, values = _where(wanted)
    rows = connection.execute(
        "SELECT destination_id, object, code, count(*), min(died_at_ms), max(died_at_ms) FROM dead_letters"
        f"{clauses} GROUP BY destination_id, object, code ORDER BY count(*) DESC, max(id) DESC",
        values,
    ).fetchall()
    told = _Teller(connection)
    found = []
    for destination_id, object_name, code, count, first_at_ms, last_at_ms in rows:
        like = Wanted(destination_id, object_name, code, wanted.since_ms, wanted.state)
        samples = _select(connection, like, None, SAMPLES)
        found.append(
            {
                "destination": told.name_of(destination_id),
                "object": object_name,
                "code": code,
                "count": count,
                "firstAt": iso_utc(first_at_ms),
                "lastAt": iso_utc(last_at_ms),
                "samples": [{name: told.summary(s)[name] for name in ("id", "record", "message")} for s in samples],
                "whatToDo": told.what_to_do(destination_id, code),
            }
        )
    return found


def show(connection: sqlite3.Connection, letter_id: int) -> dict[str, Any]:
    """All of one: request and answer, each refusal with its time, what was corrected. Raises UserError."""
    letter = dead_letters.get(connection, letter_id)
    return {
        **_Teller(connection).whole(letter),
        "corrections": corrections.as_told(corrections.of_record(connection, letter["record_id"])),
        "refusals": [
            {
                "at": iso_utc(one["at_ms"]),
                "code": one["code"],
                "message": one["message"],
                "request": _json(one["request"]),
                "answer": _json(one["answer"]),
            }
            for one in dead_letters.refusals(connection, letter["record_id"])
        ],
        "alike": len(dead_letters.like(connection, letter)),
    }


def export(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """All of each, oldest first, one at a time."""
    told = _Teller(connection)
    clauses, values = _where(wanted)
    ids = connection.execute(f"SELECT id FROM dead_letters{clauses} ORDER BY id", values).fetchall()
    for (letter_id,) in ids:
        yield told.whole(dead_letters.get(connection, letter_id))


def as_csv(letters: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a CSV file with a header; request and answer are JSON text. Safe to open in a spreadsheet."""
    yield harmless_csv.line(COLUMNS)
    for letter in letters:
        yield harmless_csv.line(
            json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
            for value in (letter[name] for name in COLUMNS)
        )


# -- acting


def fix(connection: sqlite3.Connection, letter_id: int, wanted: Fix, now_ms: int) -> dict[str, Any]:
    """Correct fields of a refused record from now on, and try it again. Raises UserError."""
    letter = _open(connection, letter_id)
    if not wanted.values and not wanted.unset:
        raise UserError("say what to correct: --set FIELD=VALUE, --clear FIELD or --unset FIELD")
    if twice := sorted(set(wanted.values) & set(wanted.unset)):
        raise UserError(f"{twice[0]} cannot be both set and unset")
    known = _Teller(connection).outline_of(letter["destination_id"])
    for field in (*wanted.values, *wanted.unset):
        if why := known.why_not_corrected(letter["object"], field) if known else None:
            raise UserError(f"{field} of {letter['object']} cannot be corrected: {why}")
    found = {field: Correction(now_ms, value) for field, value in wanted.values.items()}
    found |= {field: Correction(now_ms, None, unset=True) for field in wanted.unset}
    corrections.correct(connection, letter["record_id"], found)
    _settle(connection, dead_letters.revive, [letter["record_id"]], now_ms)
    return {"settled": 1, "state": dead_letters.RETRIED, "corrections": corrections.as_told(found)}


def unfix(connection: sqlite3.Connection, letter_id: int, now_ms: int) -> dict[str, Any]:
    """Take back what was corrected in the record of a letter, open or settled. Raises UserError.

    What was delivered is sent again as the messages say it; a dead record waits for a retry.
    """
    record_id = dead_letters.get(connection, letter_id)["record_id"]
    fields = corrections.take_back(connection, record_id)
    if not fields:
        raise UserError(f"nothing is corrected in the record of dead letter {letter_id}")
    make_due(connection, [record_id], now_ms)
    return {"takenBack": fields}


def retry(connection: sqlite3.Connection, letter_id: int, now_ms: int, *, like: bool = False) -> dict[str, Any]:
    """Try a refused record again; `like`: and all of the same destination, object and code. Raises UserError."""
    return _act(connection, letter_id, dead_letters.revive, dead_letters.RETRIED, like, now_ms)


def settle_some(
    connection: sqlite3.Connection, like: Mapping[str, Any], what: str, now_ms: int, *, until_id: int, limit: int
) -> int:
    """Retry or discard (`what`) some of those like a letter; how many. For many, call it until none is left.

    `until_id`: the newest letter when it was asked for. What is refused again meanwhile is not retried for ever.
    """
    rows = connection.execute(
        "SELECT record_id FROM dead_letters WHERE state = 'open' AND destination_id = ? AND object = ? AND code = ?"
        " AND id <= ? ORDER BY id LIMIT ?",
        (like["destination_id"], like["object"], like["code"], until_id, limit),
    ).fetchall()
    settle = {"retry": dead_letters.revive, "discard": dead_letters.discard}[what]
    _settle(connection, settle, [record_id for (record_id,) in rows], now_ms)
    return len(rows)


def discard(connection: sqlite3.Connection, letter_id: int, now_ms: int, *, like: bool = False) -> dict[str, Any]:
    """Give a refused record up, until a new message changes it; `like` as above. Raises UserError."""
    return _act(connection, letter_id, dead_letters.discard, dead_letters.DISCARDED, like, now_ms)


def _act(
    connection: sqlite3.Connection, letter_id: int, settle: dead_letters.Settle, state: str, like: bool, now_ms: int
) -> dict[str, Any]:
    letter = _open(connection, letter_id)
    record_ids = dead_letters.like(connection, letter) if like else [letter["record_id"]]
    _settle(connection, settle, record_ids, now_ms)
    return {"settled": len(record_ids), "state": state}


def _settle(
    connection: sqlite3.Connection, settle: dead_letters.Settle, record_ids: Sequence[int], now_ms: int
) -> None:
    books = Books(now_ms)
    for record_id in record_ids:
        settle(connection, books, record_id, now_ms)
    books.flush(connection)


def _open(connection: sqlite3.Connection, letter_id: int) -> dict[str, Any]:
    letter = dead_letters.get(connection, letter_id)
    if letter["state"] != dead_letters.OPEN:
        raise UserError(f"dead letter {letter_id} {SETTLED.get(letter['state'], 'is ' + letter['state'])}")
    return letter


# -- telling


class _Teller:
    """Puts dead letters into the words of their destinations, each of which is looked up once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT id, name, type, settings FROM destinations")
        self._destinations = {id_: (name, type_, settings) for id_, name, type_, settings in rows}
        self._outlines: dict[int, Outline | None] = {}

    def name_of(self, destination_id: int) -> str:
        return str(self._destinations.get(destination_id, (destination_id,))[0])

    def outline_of(self, destination_id: int) -> Outline | None:
        if destination_id not in self._outlines:
            _, type_, settings = self._destinations[destination_id]
            self._outlines[destination_id] = outline(type_, json.loads(settings))
        return self._outlines[destination_id]

    def what_to_do(self, destination_id: int, code: str) -> str:
        if code == "internal_error":
            return INTERNAL
        known = self.outline_of(destination_id)
        return (known and known.advice.get(code)) or WHAT_TO_DO

    def summary(self, letter: Mapping[str, Any]) -> dict[str, Any]:
        settled_at_ms = letter["settled_at_ms"]
        return {
            "id": letter["id"],
            "state": letter["state"],
            "destination": self.name_of(letter["destination_id"]),
            "object": letter["object"],
            "record": letter["record_key"],
            "code": letter["code"],
            "message": letter["message"],
            "attempts": letter["attempts"],
            "diedAt": iso_utc(letter["died_at_ms"]),
            "settledAt": None if settled_at_ms is None else iso_utc(settled_at_ms),
        }

    def whole(self, letter: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self.summary(letter),
            "whatToDo": self.what_to_do(letter["destination_id"], letter["code"]),
            "request": _json(letter["request"]),
            "answer": _json(letter["answer"]),
        }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # longer than what is kept of it
        return text


def _where(wanted: Wanted) -> tuple[str, list[object]]:
    clauses = {
        "destination_id = ?": wanted.destination_id,
        "object = ?": wanted.object,
        "code = ?": wanted.code,
        "died_at_ms >= ?": wanted.since_ms,
        "state = ?": wanted.state,
    }
    given = {clause: value for clause, value in clauses.items() if value is not None}
    return (f" WHERE {' AND '.join(given)}" if given else ""), list(given.values())


def _select(connection: sqlite3.Connection, wanted: Wanted, before_id: int | None, limit: int) -> list[dict[str, Any]]:
    clauses, values = _where(wanted)
    if before_id is not None:
        clauses += f"{' AND' if clauses else ' WHERE'} id < ?"
        values.append(before_id)
    return dead_letters.rows(connection, f"{clauses} ORDER BY id DESC LIMIT ?", (*values, limit))
