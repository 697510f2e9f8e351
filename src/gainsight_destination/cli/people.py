"""The commands `people ...`: who may use the web console."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gainsight_destination.cli.options import DataOption, JsonOption

app = typer.Typer(
    help="Let people into the web console.", add_completion=False, no_args_is_help=True, rich_markup_mode=None
)

EmailArgument = Annotated[str, typer.Argument(metavar="E-MAIL", help="Whose.", show_default=False)]
ConsoleUrlOption = Annotated[
    str,
    typer.Option(
        "--console-url",
        metavar="URL",
        envvar="GAINSIGHT_DESTINATION_CONSOLE_URL",
        help="Where people reach the console, for the link that is printed.",
    ),
]
CONSOLE_URL = "http://127.0.0.1:8081"


@contextmanager
def writing(data: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the state of a data directory, brought to this version's schema."""
    from gainsight_destination.store.database import connect, transaction
    from gainsight_destination.store.migrate import migrate
    from gainsight_destination.workspace.data_directory import make_data_directory

    make_data_directory(data)
    with closing(connect(data / "state.db")) as connection:
        migrate(connection, "gainsight_destination.store.migrations")
        with transaction(connection):
            yield connection


def now_ms() -> int:
    from gainsight_destination.clock import SystemClock

    return SystemClock().now_ms()


@app.command("setup-link")
def print_setup_link(data: DataOption = Path("data"), console_url: ConsoleUrlOption = CONSOLE_URL) -> None:
    """Print a new link by which the first person sets the console up; links before it end."""
    from gainsight_destination.access.links import setup_link
    from gainsight_destination.errors import UserError

    with writing(data) as connection:
        word = setup_link(connection, now_ms())
    if word is None:
        raise UserError("the console is set up already; `people list` shows who is there")
    typer.echo(f"{console_url.rstrip('/')}/setup/{word}")


@app.command("reset-link")
def print_reset_link(
    email: EmailArgument, data: DataOption = Path("data"), console_url: ConsoleUrlOption = CONSOLE_URL
) -> None:
    """Print a link by which a person chooses a new password, good once and for a day."""
    from gainsight_destination.access.acts import record_act
    from gainsight_destination.access.links import password_link
    from gainsight_destination.access.people import by_email
    from gainsight_destination.errors import UserError

    with writing(data) as connection:
        person = by_email(connection, email)
        if person is None:
            raise UserError("nobody has that e-mail address; `people list` shows who is there")
        if not person.enabled:
            raise UserError(f"{person.email} is shut out; an admin lets them in again in the console")
        word = password_link(connection, person.id, now_ms())
        record_act(connection, actor="command line", what=f"made a password link for {person.email}", now_ms=now_ms())
    typer.echo(f"{console_url.rstrip('/')}/password/{word}")


@app.command("list")
def list_people(data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show who may sign in, and as what."""
    from gainsight_destination.access.people import everybody
    from gainsight_destination.cli.console import print_json
    from gainsight_destination.cli.data_directory import open_data

    with open_data(data) as opened:
        found = everybody(opened.state)
    if as_json:
        print_json(
            [
                {
                    "email": person.email,
                    "name": person.name,
                    "role": person.role.value,
                    "enabled": person.enabled,
                    "hasPassword": person.has_password,
                    "lastSeen": person.seen_at_ms,
                }
                for person in found
            ]
        )
        return
    for person in found:
        state = "" if person.enabled else ", shut out"
        state += "" if person.has_password else ", has no password yet"
        typer.echo(f"{person.email}  {person.name}  {person.role}{state}")
    if not found:
        typer.echo("Nobody yet. `people setup-link` prints a link to begin with.")
