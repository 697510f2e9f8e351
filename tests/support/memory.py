"""A place in memory for tests that sync often and need no disk: they say the same there, and need not wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

MEMORY: Final = Path("/dev/shm")


@contextmanager
def directory_in_memory() -> Iterator[Path]:
    """An empty directory that is gone afterwards; an ordinary one where the system has no file system in memory."""
    with TemporaryDirectory(prefix="gainsight-test-", dir=MEMORY if MEMORY.is_dir() else None) as path:
        yield Path(path)
