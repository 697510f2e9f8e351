"""Leaves room on the disk: an import can read much faster than messages are resolved and the log is emptied."""

import shutil
from collections.abc import Callable
from pathlib import Path

from gainsight_destination.errors import StorageFullError
from gainsight_destination.ingest.watermarks import Watermarks, gigabytes


def keeping_free(data: Path, min_free_bytes: int | None) -> Callable[[], None]:
    """A check that raises StorageFullError while the volume of the data directory has less free.

    None stands for 1 GB, or a tenth of a volume that is smaller than 10 GB; 0 for no bound.
    """

    marks = Watermarks(min_free_bytes=min_free_bytes)

    def check() -> None:
        disk = shutil.disk_usage(data)
        wanted = marks.min_free_of(disk.total)
        if disk.free < wanted:
            raise StorageFullError(
                f"the disk of {data} is nearly full: {gigabytes(disk.free)} are free, and {gigabytes(wanted)} "
                "are to stay free (--min-free-disk-gb); make space, or let `serve` work off what is in"
            )

    return check
