"""The commands `dead-letters list|groups|show|fix|unfix|retry|discard|export`: records that a destination refused."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from gainsight_destination.cli.options import DataOption, DestinationOption, JsonOption

if TYPE_CHECKING:
    from gainsight_destination.cli.data_directory import OpenData
    from gainsight_destination.letters import Wanted

app = typer.Typer(
    no_args_is_help=True, help="Look at, fix, retry, discard or export records that a destination refused."
)


class Format(StrEnum):
    """What `export` writes."""

    NDJSON = "ndjson"
    CSV = "csv"


LikeOption = Annotated[
    bool, typer.Option("--like", envvar="GAINSIGHT_DESTINATION_LIKE", help="And all with the same object and code.")
]
LetterArgument = Annotated[int, typer.Argument(metavar="ID", help="The dead letter's number, from `list`.")]
ObjectOption = Annotated[
    str | None,
    typer.Option("--object", envvar="GAINSIGHT_DESTINATION_OBJECT", help="Only of this object, such as company."),
]
CodeOption = Annotated[
    str | None,
    typer.Option("--code", envvar="GAINSIGHT_DESTINATION_CODE", help="Only with this code, such as GSOBJ_1012."),
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", envvar="GAINSIGHT_DESTINATION_SINCE", help="Only those refused since: ISO 8601, UTC."),
]
AllOption = Annotated[
    bool, typer.Option("--all", envvar="GAINSIGHT_DESTINATION_ALL", help="Also those that are settled.")
]


@app.command("list")
def list_(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(min=1, envvar="GAINSIGHT_DESTINATION_LIMIT", help="At most this many.")] = 100,
    before: Annotated[
        int | None,
        typer.Option("--before", envvar="GAINSIGHT_DESTINATION_BEFORE", help="Go on with those before this number."),
    ] = None,
    settled: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first."""
    from gainsight_destination import letters
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data

    with open_data(data) as opened:
        wanted = wanted_of(opened, destination, object_name, code, since, settled)
        found, more = letters.page(opened.state, wanted, before_id=before, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("There are no dead letters." if settled else "There are no open dead letters.")
    for letter in found:
        about = f"{letter['destination']} {letter['object']} {letter['record']}"
        state = "" if letter["state"] == "open" else f"  [{letter['state']}]"
        console.print(f"{letter['id']:>6}  {letter['diedAt']}  {about}  {letter['code']}: {letter['message']}{state}")
    if more is not None:
        console.print(f"there are more: `dead-letters list --before {more}`")
    if found and found[0]["state"] == "open":
        console.print(f"next: `dead-letters show {found[0]['id']}` shows the request and the answer")


@app.command("groups")
def groups_(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    since: SinceOption = None,
    settled: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count dead letters by object and code, with some of them and what to do."""
    from gainsight_destination import letters
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data

    with open_data(data) as opened:
        found = letters.groups(opened.state, wanted_of(opened, destination, object_name, code, since, settled))
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("There are no dead letters." if settled else "There are no open dead letters.")
    for group in found:
        console.print(
            f"{group['count']:>6,}  {group['destination']} {group['object']} {group['code']}:"
            f" {group['samples'][0]['message']}, from {group['firstAt']} to {group['lastAt']}"
        )
        samples = ", ".join(f"{sample['id']} ({sample['record']})" for sample in group["samples"])
        console.print(f"        such as {samples}")
        console.print(f"        to do: {group['whatToDo']}")


@app.command()
def show(letter_id: LetterArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show a dead letter: the record, each time it was refused with request and answer, and what to do."""
    from gainsight_destination import letters
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data

    with open_data(data) as opened:
        told = letters.show(opened.state, letter_id)
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        shown = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, (dict, list)) else value
        console.print(f"{name}: {'' if shown is None else shown}".rstrip())
    if told["state"] == "open":
        console.print(
            f"next: mend what it was refused for, then `dead-letters retry {letter_id}`;"
            f" or correct a field with `dead-letters fix {letter_id} --set FIELD=VALUE`;"
            f" or give it up with `dead-letters discard {letter_id}`"
        )


@app.command()
def fix(
    letter_id: LetterArgument,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            envvar="GAINSIGHT_DESTINATION_SET",
            metavar="FIELD=VALUE",
            help="Give a field this value. May be repeated.",
        ),
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            "--clear", envvar="GAINSIGHT_DESTINATION_CLEAR", metavar="FIELD", help="Empty a field. May be repeated."
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            envvar="GAINSIGHT_DESTINATION_UNSET",
            metavar="FIELD",
            help="Send nothing for a field. May be repeated.",
        ),
    ] = None,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Correct fields of a refused record and try it again. What messages say of a field later counts again."""
    from gainsight_destination import letters
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.clock import SystemClock

    wanted = letters.Fix({**dict(map(pair, values or ())), **dict.fromkeys(clear or ())}, tuple(unset or ()))
    now_ms = SystemClock().now_ms()
    told = write(data, lambda connection: letters.fix(connection, letter_id, wanted, now_ms))
    if as_json:
        print_json(told)
        return
    for field, value in told["corrections"].items():
        console.print(f"{field}: {json.dumps(value, ensure_ascii=False)}")
    console.print("1 record to be tried again.")


@app.command()
def unfix(letter_id: LetterArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Take back what was corrected in a record. It is sent again as the messages say it; a dead one waits for retry."""
    from gainsight_destination import letters
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.clock import SystemClock

    now_ms = SystemClock().now_ms()
    told = write(data, lambda connection: letters.unfix(connection, letter_id, now_ms))
    if as_json:
        print_json(told)
        return
    console.print(f"No longer corrected: {', '.join(told['takenBack'])}")


@app.command()
def retry(
    letter_id: LetterArgument,
    like: LikeOption = False,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Try a refused record again, for example after a field was added in Gainsight."""
    from gainsight_destination import letters

    settle(data, as_json, "to be tried again", letters.retry, letter_id, like)


@app.command()
def discard(
    letter_id: LetterArgument,
    like: LikeOption = False,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Give a refused record up. It is tried again only when a new message changes it."""
    from gainsight_destination import letters

    settle(data, as_json, "discarded", letters.discard, letter_id, like)


@app.command()
def export(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    object_name: ObjectOption = None,
    code: CodeOption = None,
    since: SinceOption = None,
    settled: AllOption = False,
    file_format: Annotated[
        Format, typer.Option("--format", envvar="GAINSIGHT_DESTINATION_FORMAT", help="ndjson or csv.")
    ] = Format.NDJSON,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="GAINSIGHT_DESTINATION_OUTPUT", help="A file instead of standard output."),
    ] = None,
) -> None:
    """Write dead letters, oldest first. They hold personal data: a file can be read by its owner alone."""
    from gainsight_destination import letters
    from gainsight_destination.cli.data_directory import open_data

    with open_data(data) as opened:
        found = letters.export(opened.state, wanted_of(opened, destination, object_name, code, since, settled))
        with written(output) as stream:
            if file_format is Format.CSV:
                stream.writelines(letters.as_csv(found))
            else:
                stream.writelines(json.dumps(letter, ensure_ascii=False) + "\n" for letter in found)


@contextmanager
def written(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that only its owner can read. Raises UserError."""
    import os
    import sys

    from gainsight_destination.errors import UserError

    if output is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        yield stream


def wanted_of(
    opened: "OpenData",
    destination: str | None,
    object_name: str | None,
    code: str | None,
    since: str | None,
    settled: bool,
) -> "Wanted":
    """What the options ask for. Raises UserError."""
    from gainsight_destination.errors import UserError
    from gainsight_destination.events.timestamps import parse_timestamp_ms
    from gainsight_destination.letters import Wanted

    chosen = opened.destination(destination).id if destination is not None else None
    since_ms = None if since is None else parse_timestamp_ms(since)
    if since is not None and since_ms is None:
        raise UserError(f"--since {since[:40]!r} is no date; write 2026-03-01 or 2026-03-01T10:00:00Z")
    return Wanted(chosen, object_name, code, since_ms, None if settled else "open")


def pair(text: str) -> tuple[str, str]:
    """FIELD=VALUE taken apart. Raises UserError."""
    from gainsight_destination.errors import UserError

    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        raise UserError("--set needs FIELD=VALUE, such as --set Industry=Software; --clear FIELD empties one")
    return field.strip(), value


def write(data: Path, act: Callable[[sqlite3.Connection], dict[str, Any]]) -> dict[str, Any]:
    """Do something to the state in one transaction."""
    from contextlib import closing

    from gainsight_destination.cli.data_directory import state_path
    from gainsight_destination.store.database import connect, transaction

    with closing(connect(state_path(data))) as connection, transaction(connection):
        return act(connection)


def settle(
    data: Path, as_json: bool, what: str, act: Callable[..., dict[str, Any]], letter_id: int, like: bool
) -> None:
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.clock import SystemClock

    now_ms = SystemClock().now_ms()
    told = write(data, lambda connection: act(connection, letter_id, now_ms, like=like))
    if as_json:
        print_json({**told, "state": what})
    else:
        console.print(f"{told['settled']} {'record' if told['settled'] == 1 else 'records'} {what}.")
