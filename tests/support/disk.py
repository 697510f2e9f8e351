"""A disk that fails on purpose, under real processes: which write fails, how, or kills the process that makes it."""

import errno
import mmap
import os
import struct
import subprocess
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final

CONTROL: Final = "DISK_FAULTS_CONTROL"
SOURCE: Final = Path(__file__).with_name("disk_faults.c")
NUMBERS: Final = struct.Struct("6q")
DIRECTORY, ONLY, WHAT = (NUMBERS.size, 512), (NUMBERS.size + 512, 64), (NUMBERS.size + 576, 256)
SIZE: Final = WHAT[0] + WHAT[1]
FOR_EVER: Final = 2**62
ERRORS: Final = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}


class Action(IntEnum):
    """What happens to a write that is meant."""

    COUNT_ONLY = 0
    FAIL = 1
    DIE_BEFORE = 2
    DIE_AFTER = 3
    DIE_HALFWAY = 4


class DiskFaults:
    """The control file, mapped: tells the library in all processes started with `environment` what to do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)

    def environment(self) -> Mapping[str, str]:
        """What a process needs to write to this disk. Compiles the library, so it takes a C compiler."""
        library = self.path.with_suffix(".so")
        if not library.exists():
            compiler = os.environ.get("CC", "cc")
            options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run([compiler, *options], check=True)
        return {"LD_PRELOAD": str(library), CONTROL: str(self.path)}

    def watch(self, directory: Path, *, only: str = "") -> None:
        """Count, from now on, the writes to files below a directory whose names begin with `only`; disturb none."""
        self.disturb(0)
        self._set_text(DIRECTORY, f"{directory.resolve()}/" if directory else "")
        self._set_text(ONLY, only)
        self._set_text(WHAT, "")
        NUMBERS.pack_into(self._memory, 0, 0, 0, 0, 0, 0, 0)

    def disturb(self, nth: int, action: Action = Action.FAIL, *, error: str = "ENOSPC", times: int = 1) -> None:
        """Disturb the nth write since `watch` and the `times - 1` after it; 0 disturbs none any more."""
        struct.pack_into("q", self._memory, 8, 0)
        struct.pack_into("3q", self._memory, 16, times, action, ERRORS[error])
        struct.pack_into("q", self._memory, 8, nth)

    def fill(self, error: str = "ENOSPC") -> None:
        """Every write fails from now on, as on a full disk, until `free`."""
        self.disturb(1, error=error, times=FOR_EVER)

    def free(self) -> None:
        """There is space again."""
        self.disturb(0)

    @property
    def count(self) -> int:
        """Writes seen since `watch`."""
        return int(NUMBERS.unpack_from(self._memory, 0)[0])

    @property
    def disturbed(self) -> int:
        """Writes disturbed since `watch`."""
        return int(NUMBERS.unpack_from(self._memory, 0)[5])

    @property
    def what(self) -> str:
        """The last write that was disturbed: function and file."""
        start, size = WHAT
        return self._memory[start : start + size].split(b"\0", 1)[0].decode()

    def _set_text(self, place: tuple[int, int], text: str) -> None:
        start, size = place
        content = text.encode()
        assert len(content) < size, f"too long for the control file: {text}"
        self._memory[start : start + size] = content.ljust(size, b"\0")
