"""The commands `people ...`: who may use the web console."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gainsight_destination.access.roles import Role
from gainsight_destination.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from gainsight_destination.access.people import Person

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
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        envvar="GAINSIGHT_DESTINATION_NAME",
        help="What they are called; the e-mail address unless given.",
    ),
]
RoleOption = Annotated[
    Role, typer.Option("--role", envvar="GAINSIGHT_DESTINATION_ROLE", help="viewer, editor or admin.")
]
CONSOLE_URL = "http://127.0.0.1:8081"
ACTOR = "command line"


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


def known(connection: sqlite3.Connection, email: str) -> "Person":
    """Raises UserError when nobody has this address."""
    from gainsight_destination.access.people import by_email
    from gainsight_destination.errors import UserError

    person = by_email(connection, email)
    if person is None:
        raise UserError("nobody has that e-mail address; `people list` shows who is there")
    return person


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


@app.command("add")
def add_person(
    email: EmailArgument,
    name: NameOption = None,
    role: RoleOption = Role.VIEWER,
    data: DataOption = Path("data"),
    console_url: ConsoleUrlOption = CONSOLE_URL,
) -> None:
    """Let somebody in, and print the link by which they choose a password, good once and for a day."""
    from gainsight_destination.access.admission import let_in

    with writing(data) as connection:
        _, word = let_in(connection, actor=ACTOR, email=email, name=name or email, role=role, now_ms=now_ms())
    typer.echo(f"{console_url.rstrip('/')}/password/{word}")


@app.command("disable")
def disable_person(email: EmailArgument, data: DataOption = Path("data")) -> None:
    """Shut somebody out: they are signed out at once, and cannot sign in. Tokens are left as they are."""
    from gainsight_destination.access.admission import change

    with writing(data) as connection:
        person = known(connection, email)
        change(connection, person.id, actor=ACTOR, role=person.role, enabled=False, now_ms=now_ms())
    typer.echo(f"{person.email} is shut out.")


@app.command("reset-link")
def print_reset_link(
    email: EmailArgument, data: DataOption = Path("data"), console_url: ConsoleUrlOption = CONSOLE_URL
) -> None:
    """Print a link by which a person chooses a new password, good once and for a day."""
    from gainsight_destination.access.admission import new_link

    with writing(data) as connection:
        _, word = new_link(connection, known(connection, email).id, actor=ACTOR, now_ms=now_ms())
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
