"""Keeps the start of a server short and its memory small."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_rich() -> Iterator[None]:
    """Inside, libraries that are imported do not find rich.

    structlog and httpx import it where it is installed, to print tracebacks and help that a server never prints. That
    is a quarter of the time its imports take. The rest of the program, after the block, has rich as ever.
    """
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules["rich"]
