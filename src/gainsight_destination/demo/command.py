"""The command `demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    leave: Annotated[
        bool,
        typer.Option("--exit", envvar="GAINSIGHT_DESTINATION_EXIT", help="Stop after the summary."),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            envvar="GAINSIGHT_DESTINATION_DEMO_DATA",
            help="Keep the demo's data here; must be empty. Without it, a directory that is removed at the end.",
        ),
    ] = None,
) -> None:
    """Start a Gainsight sandbox and a server, send sample traffic through a Segment SDK, and show what came of it.

    Takes about a minute and 60 calls. Exit code 1 when a message is not accounted for, or Gainsight does not hold what
    it should.
    """
    from gainsight_destination.demo.run import run_demo

    if not run_demo(data, stay=not leave):
        raise typer.Exit(1)
