"""Finds the files of an archive: single files, whole folders such as Segment's `segment-logs/`, or standard input."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gainsight_destination.errors import UserError

SUFFIXES = (".gz", ".ndjson", ".jsonl", ".json", ".log", ".txt")
"""Files of a folder that are read; one that is named itself is read whatever it is called."""

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file as it was found. `path` is absolute; None stands for standard input."""

    path: Path | None
    size_bytes: int = 0
    modified_ns: int = 0

    @property
    def name(self) -> str:
        return STANDARD_INPUT if self.path is None else str(self.path)

    @property
    def stable_name(self) -> str:
        """Folder and file name: the same wherever the archive is put and from wherever it is read."""
        return STANDARD_INPUT if self.path is None else "/".join(self.path.parts[-2:])


def find_files(paths: Sequence[str]) -> list[ArchiveFile]:
    """All files of these paths, each once; folders are walked in the order of their names. Raises UserError."""
    found: dict[str, ArchiveFile] = {}
    for text in paths:
        for file in [ArchiveFile(None)] if text == STANDARD_INPUT else files_of(Path(text)):
            found.setdefault(file.name, file)
    return list(found.values())


def files_of(path: Path) -> Iterator[ArchiveFile]:
    if path.is_dir():
        inside = list(walk(path))
        if not inside:
            raise UserError(f"there is no archive file in {path}; what is read ends in {', '.join(SUFFIXES)}")
        yield from inside
    else:
        yield found_file(path)


def walk(folder: Path) -> Iterator[ArchiveFile]:
    """Archive files at any depth, sorted, hidden ones left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield found_file(Path(place) / name)


def found_file(path: Path) -> ArchiveFile:
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return ArchiveFile(path.absolute(), stat.st_size, stat.st_mtime_ns)
