"""The commands `dead-letters list|show|retry|discard`: records that Gainsight refused."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gainsight_destination.cli.options import DataOption, DestinationOption, JsonOption

app = typer.Typer(no_args_is_help=True, help="Look at, retry or discard records that a destination refused.")

LikeOption = Annotated[
    bool, typer.Option("--like", envvar="GAINSIGHT_DESTINATION_LIKE", help="And all with the same object and code.")
]
LetterArgument = Annotated[int, typer.Argument(metavar="ID", help="The dead letter's number, from `list`.")]


@app.command("list")
def list_(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    limit: Annotated[int, typer.Option(min=1, envvar="GAINSIGHT_DESTINATION_LIMIT", help="At most this many.")] = 100,
    settled: Annotated[
        bool, typer.Option("--all", envvar="GAINSIGHT_DESTINATION_ALL", help="Also those retried or discarded.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.records import dead_letters

    with open_data(data) as opened:
        chosen = opened.destination(destination).id if destination is not None else None
        found = dead_letters.select(
            opened.state, destination_id=chosen, state=None if settled else dead_letters.OPEN, limit=limit
        )
        letters = [_told(letter, _name(opened.state, letter)) for letter in found]
    if as_json:
        print_json(letters)
        return
    if not letters:
        console.print("There are no dead letters." if settled else "There are no open dead letters.")
    for letter in letters:
        about = f"{letter['destination']} {letter['object']} {letter['record']}"
        state = "" if letter["state"] == dead_letters.OPEN else f"  [{letter['state']}]"
        console.print(f"{letter['id']:>6}  {letter['diedAt']}  {about}  {letter['code']}: {letter['message']}{state}")
    if letters and letters[0]["state"] == dead_letters.OPEN:
        console.print(f"next: `dead-letters show {letters[0]['id']}` shows the request and the answer")


@app.command()
def show(letter_id: LetterArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show a dead letter: the record, the request that was refused, the answer, and the attempts."""
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.records import dead_letters

    with open_data(data) as opened:
        letter = dead_letters.get(opened.state, letter_id)
        told = _told(letter, _name(opened.state, letter))
    told |= {"request": _json(letter["request"]), "answer": _json(letter["answer"])}
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        shown = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, (dict, list)) else value
        console.print(f"{name}: {'' if shown is None else shown}".rstrip())
    if letter["state"] == dead_letters.OPEN:
        console.print(
            f"next: mend what it was refused for, then `dead-letters retry {letter_id}`;"
            f" or give it up with `dead-letters discard {letter_id}`"
        )


@app.command()
def retry(
    letter_id: LetterArgument,
    like: LikeOption = False,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Try a refused record again, for example after a field was added in Gainsight."""
    from gainsight_destination.records import dead_letters

    _settle(letter_id, like, data, as_json, dead_letters.revive, "to be tried again")


@app.command()
def discard(
    letter_id: LetterArgument,
    like: LikeOption = False,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Give a refused record up. It is tried again only when a new message changes it."""
    from gainsight_destination.records import dead_letters

    _settle(letter_id, like, data, as_json, dead_letters.discard, "discarded")


def _settle(letter_id: int, like: bool, data: Path, as_json: bool, settle: Any, what: str) -> None:
    from contextlib import closing

    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import state_path
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.errors import UserError
    from gainsight_destination.records import dead_letters
    from gainsight_destination.records.books import Books
    from gainsight_destination.store.database import connect, transaction

    def chosen(connection: sqlite3.Connection) -> Sequence[int]:
        letter = dead_letters.get(connection, letter_id)
        if letter["state"] != dead_letters.OPEN:
            raise UserError(settled_already(letter))
        return dead_letters.like(connection, letter) if like else [letter["record_id"]]

    with closing(connect(state_path(data))) as connection, transaction(connection):
        now_ms = SystemClock().now_ms()
        books = Books(now_ms)
        record_ids = chosen(connection)
        for record_id in record_ids:
            settle(connection, books, record_id, now_ms)
        books.flush(connection)
    if as_json:
        print_json({"settled": len(record_ids), "state": what})
    else:
        console.print(f"{len(record_ids)} {'record' if len(record_ids) == 1 else 'records'} {what}.")


SETTLED: Mapping[str, str] = {
    "retried": "was retried already; if it is refused again, it becomes a new dead letter (`dead-letters list`)",
    "discarded": "was discarded already; its record is tried again when a new message changes it",
    "superseded": "is history: its record was delivered since",
}


def settled_already(letter: Mapping[str, Any]) -> str:
    """Why nothing is left to do about a dead letter that is not open."""
    return f"dead letter {letter['id']} {SETTLED.get(letter['state'], 'is ' + letter['state'])}"


def _name(state: sqlite3.Connection, letter: Mapping[str, Any]) -> str:
    row = state.execute("SELECT name FROM destinations WHERE id = ?", (letter["destination_id"],)).fetchone()
    return str(letter["destination_id"]) if row is None else str(row[0])


def _told(letter: Mapping[str, Any], destination: str) -> dict[str, Any]:
    """A dead letter as it is shown: times are ISO 8601, UTC."""
    from gainsight_destination.events.timestamps import iso_utc

    settled_at_ms = letter["settled_at_ms"]
    return {
        "id": letter["id"],
        "state": letter["state"],
        "destination": destination,
        "object": letter["object"],
        "record": letter["record_key"],
        "code": letter["code"],
        "message": letter["message"],
        "attempts": letter["attempts"],
        "diedAt": iso_utc(letter["died_at_ms"]),
        "settledAt": None if settled_at_ms is None else iso_utc(settled_at_ms),
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # longer than what is kept of it
        return text
