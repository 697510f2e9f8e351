"""Python's cycle collector, set for a process that makes very many short-lived objects without cycles."""

import gc
from typing import Final

THRESHOLDS: Final = (100_000, 50, 100)
"""Objects made since the last look, and looks at each generation before the next older one."""


def collect_rarely() -> None:
    """Look for cycles seldom, and never at what is there already: measured, it takes a third off resolving."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
