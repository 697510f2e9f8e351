"""The program `gainsight-destination`: its options, its commands, and how each way of failing ends it."""

import os
import sqlite3
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

import typer

from gainsight_destination.cli.commands import CONTEXT, CommandGroup
from gainsight_destination.errors import InvalidSettingsError, ProductError, UserError

PROGRAM = "gainsight-destination"


class ExitCode(IntEnum):
    """What the program's end means. Also in docs/cli.md."""

    DONE = 0
    ANSWER_IS_NO = 1
    WRONG_INPUT = 2
    UNAVAILABLE = 3
    BUG = 70
    INTERRUPTED = 130


EPILOG = """\b
Exit codes:
  0    done
  1    the answer is no, or a part failed
  2    wrong input; the message says what to change
  3    not possible now; the message says why
  70   a bug in gainsight-destination
  130  stopped with Ctrl-C

\b
Every option can be set in the environment: --data is GAINSIGHT_DESTINATION_DATA.
"""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=CONTEXT,
    epilog=EPILOG,
)


def print_version(wanted: bool) -> None:
    if wanted:
        from gainsight_destination import __version__

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """A self-hosted Gainsight destination for the Segment Spec."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit. What the product raises on purpose becomes a sentence; the rest is a bug."""
    os.umask(0o077)  # what this program writes holds personal data: for its own user only
    try:
        typer.main.get_command(app).main(args=arguments, prog_name=PROGRAM)
    except InvalidSettingsError as error:
        end(ExitCode.WRONG_INPUT, *error.problems)
    except UserError as error:
        end(ExitCode.WRONG_INPUT, str(error))
    except ProductError as error:
        end(ExitCode.UNAVAILABLE, str(error))
    except OSError as error:
        end(ExitCode.UNAVAILABLE, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except sqlite3.OperationalError as error:
        end(ExitCode.UNAVAILABLE, f"the data directory cannot be used: {error}")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            bug()
        end(ExitCode.UNAVAILABLE, f"a file of the data directory is not a database; restore a backup ({error})")
    except Exception:
        bug()


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite says that a file is damaged, or never was a database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def bug() -> None:
    """Show what nobody expected, and exit."""
    import traceback

    traceback.print_exc()
    end(ExitCode.BUG, "this is a bug in gainsight-destination; please report it with the lines above")


def end(code: ExitCode, *problems: str) -> None:
    """Say what is wrong on stderr, and exit."""
    if len(problems) > 1:
        typer.echo(f"{PROGRAM}: {len(problems)} problems:", err=True)
    for problem in problems:
        typer.echo(f"  - {problem}" if len(problems) > 1 else f"{PROGRAM}: {problem}", err=True)
    sys.exit(code)
