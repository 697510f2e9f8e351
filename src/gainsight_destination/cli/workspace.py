"""The commands `workspace apply|export|check`: the configuration as a file that teams can review."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from gainsight_destination.cli.options import DataOption, JsonOption

app = typer.Typer(no_args_is_help=True, help="Apply, export or check the configuration as a file.")

FileOption = Annotated[
    Path,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        envvar="GAINSIGHT_DESTINATION_FILE",
        help="The workspace file; - reads standard input.",
    ),
]

STANDARD_INPUT = Path("-")


@app.command()
def apply(file: FileOption, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Make the configuration equal to a workspace file.

    A source or destination that is not in the file is disabled and disconnected, never deleted. A secret setting or
    write key that is left out keeps its stored value. A running `serve` takes the change within two seconds.
    """
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.workspace.service import apply_content

    result = apply_content(data, content_of(file), clock=SystemClock(), actor="workspace apply", environ=os.environ)
    if as_json:
        print_json(
            {
                "version": result.version,
                "changed": bool(result.changes),
                "changes": result.changes,
                "warnings": result.warnings,
            }
        )
        return
    print_changes(result.changes, result.warnings)
    if result.changes:
        console.print(f"Applied as version {result.version} of the configuration.")
    else:
        console.print(f"Nothing to change: version {result.version} is as the file wants it.")


@app.command()
def check(file: FileOption, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Check a workspace file and show what applying it would change. Changes nothing.

    Exit code 1 when something in it is wrong.
    """
    from gainsight_destination.cli.console import console, errors, print_json
    from gainsight_destination.errors import InvalidSettingsError, UserError
    from gainsight_destination.workspace.service import check_content

    content = content_of(file)
    try:
        plan = check_content(data, content, environ=os.environ)
    except UserError as error:
        problems = error.problems if isinstance(error, InvalidSettingsError) else (str(error),)
        if as_json:
            print_json({"valid": False, "problems": problems, "changes": [], "warnings": []})
        else:
            for problem in problems:
                errors.print(f"problem: {problem}")
            errors.print("The file cannot be applied.")
        raise typer.Exit(1) from None
    if as_json:
        print_json({"valid": True, "problems": [], "changes": plan.sentences, "warnings": plan.warnings})
        return
    print_changes(plan.sentences, plan.warnings)
    console.print("The file is valid." if plan.changes else "The file is valid, and nothing would change.")


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            envvar="GAINSIGHT_DESTINATION_EXPORT_FILE",
            help="Where to write it; - is standard output.",
        ),
    ] = STANDARD_INPUT,
    force: Annotated[
        bool,
        typer.Option("--force", envvar="GAINSIGHT_DESTINATION_FORCE", help="Write over a file that is there already."),
    ] = False,
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Print the configuration as a workspace file.

    It can be applied again. Write keys and secrets appear as references to environment variables, never in clear.
    """
    import json

    from gainsight_destination.cli.console import console, errors
    from gainsight_destination.cli.data_directory import state_path
    from gainsight_destination.errors import UserError
    from gainsight_destination.workspace.export import export_yaml
    from gainsight_destination.workspace.service import export as export_workspace

    state_path(data)
    if file != STANDARD_INPUT and file.is_file() and not force:
        raise UserError(f"{file} is there already; write over it with --force, or name another file")
    document = export_workspace(data)
    content = json.dumps(document, indent=2, ensure_ascii=False) + "\n" if as_json else export_yaml(document)
    if file == STANDARD_INPUT:
        console.file.write(content)
        return
    draft = file.parent / f"{file.name}.new"
    try:
        draft.write_text(content, "utf-8")
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise UserError(f"{file} cannot be written: {error.strerror}; name another file with --file") from None
    errors.print(f"Written to {file}.")


def content_of(file: Path) -> str:
    """The text of a workspace file, or of standard input. Raises UserError."""
    from gainsight_destination.errors import UserError
    from gainsight_destination.workspace.service import read_content

    if file != STANDARD_INPUT:
        return read_content(file)
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("standard input is not UTF-8 text") from None


def print_changes(changes: Sequence[str], warnings: Sequence[str]) -> None:
    from gainsight_destination.cli.console import console, errors

    for sentence in changes:
        console.print(f"- {sentence}")
    for warning in warnings:
        errors.print(f"warning: {warning}")
