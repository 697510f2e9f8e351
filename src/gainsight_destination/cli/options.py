"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", envvar="GAINSIGHT_DESTINATION_DATA", help="Where everything is kept.")
]
JsonOption = Annotated[bool, typer.Option("--json", envvar="GAINSIGHT_DESTINATION_JSON", help="Print JSON.")]
DestinationOption = Annotated[
    str | None,
    typer.Option(
        "--destination",
        metavar="NAME",
        envvar="GAINSIGHT_DESTINATION_DESTINATION",
        help="Which destination; not needed when there is only one.",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        envvar="GAINSIGHT_DESTINATION_SINCE",
        help="Only messages received from this day or time on, UTC: 2026-03-01 or 2026-03-01T10:00:00Z.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        envvar="GAINSIGHT_DESTINATION_UNTIL",
        help="Only messages received up to the end of this day, or before this time.",
    ),
]
