"""How large a run is: asked for on the command line, understood by every benchmark."""

from dataclasses import dataclass
from typing import Literal

Scale = Literal["full", "quick", "tiny"]


@dataclass(frozen=True)
class Options:
    """`full` is what RESULTS.md holds, `quick` takes seconds per benchmark, `tiny` is for the test-suite."""

    scale: Scale = "full"
    events: int | None = None
    """So many events instead of the scale's own number, where a benchmark counts events."""
    seconds: float | None = None
    """So long under load instead of the scale's own time, where a benchmark loads a server."""
