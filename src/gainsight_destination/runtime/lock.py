"""One process per role and data directory, held by the operating system: a killed process holds nothing."""

import fcntl
import os
import threading
from pathlib import Path
from types import TracebackType

from gainsight_destination.errors import StoppedError


class LockedError(StoppedError):
    """Another process has this role in this data directory."""


LOOKS = 5
LOOK_SECONDS = 0.02
"""Who only looks (`is_held`) holds the lock for an instant; that is waited out."""


def is_held(data_dir: Path, role: str) -> bool:
    """Whether a process has this role in this data directory now."""
    try:
        file = os.open(data_dir / f"{role}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _locked(file: int) -> bool:
    for _ in range(LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            threading.Event().wait(LOOK_SECONDS)
        else:
            return True
    return False


class RoleLock:
    """Holds `<data>/<role>.lock` from `with` to its end. Raises LockedError at once when another process has it."""

    def __init__(self, data_dir: Path, role: str) -> None:
        self._path = data_dir / f"{role}.lock"
        self._file = -1

    def __enter__(self) -> "RoleLock":
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _locked(file):
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
