"""Leaves room on the disk: an import can read much faster than messages are resolved and the log is emptied."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gainsight_destination.errors import StorageFullError

DEFAULT_FREE_BYTES: Final = 1_000_000_000
DEFAULT_FREE_SHARE: Final = 0.1


def keeping_free(data: Path, min_free_bytes: int | None) -> Callable[[], None]:
    """A check that raises StorageFullError while the volume of the data directory has less free.

    None stands for 1 GB, or a tenth of a volume that is smaller than 10 GB; 0 for no bound.
    """

    def check() -> None:
        disk = shutil.disk_usage(data)
        wanted = min_free_bytes
        if wanted is None:
            wanted = min(DEFAULT_FREE_BYTES, round(disk.total * DEFAULT_FREE_SHARE))
        if disk.free < wanted:
            raise StorageFullError(
                f"the disk of {data} is nearly full: {disk.free / 1e9:,.2f} GB are free, and {wanted / 1e9:,.2f} GB "
                "are to stay free (--min-free-disk-gb); make space, or let `serve` work off what is in"
            )

    return check
