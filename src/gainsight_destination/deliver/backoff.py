"""How long to wait after a failure: exponential, capped, with jitter, so that many senders do not march in step."""

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0


def backoff_seconds(failures: int, jitter: Callable[[], float]) -> float:
    """Seconds to wait after the n-th failure in a row; `jitter` gives numbers from 0 to 1."""
    full = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(max(failures - 1, 0), 16))
    return full / 2 + full / 2 * jitter()
