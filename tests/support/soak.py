"""Long runs: a test marked `soak` does much more when `make soak` runs it. `make test` runs it in its short form."""

import os
from typing import Final

SOAK: Final = bool(os.environ.get("SOAK"))


def spread(last: int, count: int, *, turn: float = 0.5) -> list[int]:
    """Some `count` of the numbers 1 to `last`, evenly spread; all of them in a soak.

    `turn`, from 0 to 1, is where in its part of the row each number is taken: sweeps that differ in it take others.
    """
    if SOAK or last <= count:
        return list(range(1, last + 1))
    return [1 + int((number + turn) * last / count) for number in range(count)]
