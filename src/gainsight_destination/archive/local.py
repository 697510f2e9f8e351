"""Archives on this machine: single files, whole folders such as Segment's `segment-logs/`, or standard input."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Final, cast

from gainsight_destination.archive.files import folder_and_name, is_read, nothing_in
from gainsight_destination.errors import UserError

READ_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of a disk. `path` is absolute."""

    path: Path
    size_bytes: int
    modified_ns: int

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stable_name(self) -> str:
        return folder_and_name(self.path.parts)

    @property
    def version(self) -> str:
        return str(self.modified_ns)

    def open(self) -> AbstractContextManager[BufferedReader]:
        return BufferedReader(FileIO(self.path), READ_BYTES)


@dataclass(frozen=True, slots=True)
class StandardInput:
    """What another program prints. It can be read once."""

    name: str = "-"
    stable_name: str = "-"
    size_bytes: int = 0
    version: None = None

    def open(self) -> AbstractContextManager[BufferedReader]:
        return nullcontext(cast(BufferedReader, sys.stdin.buffer))


def files_of(path: Path) -> Iterator[LocalFile]:
    """The file of this path, or all of a folder, in the order of their names. Raises UserError."""
    if path.is_dir():
        inside = list(walk(path))
        if not inside:
            raise nothing_in(path)
        yield from inside
    else:
        yield found_file(path)


def walk(folder: Path) -> Iterator[LocalFile]:
    """Archive files at any depth, sorted, hidden ones left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if is_read([name]):
                yield found_file(Path(place) / name)


def found_file(path: Path) -> LocalFile:
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return LocalFile(path.absolute(), stat.st_size, stat.st_mtime_ns)
