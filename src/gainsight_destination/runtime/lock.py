"""One process per role and data directory, held by the operating system: a killed process holds nothing."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from gainsight_destination.errors import StoppedError


class LockedError(StoppedError):
    """Another process has this role in this data directory."""


class RoleLock:
    """Holds `<data>/<role>.lock` from `with` to its end. Raises LockedError at once when another process has it."""

    def __init__(self, data_dir: Path, role: str) -> None:
        self._path = data_dir / f"{role}.lock"
        self._file = -1

    def __enter__(self) -> "RoleLock":
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise LockedError(
                f"the data directory {self._path.parent} is in use by another gainsight-destination (process {holder});"
                " stop it, or use another --data directory"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode("ascii"))
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
