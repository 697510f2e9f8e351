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
