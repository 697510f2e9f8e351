"""What an archive file is, wherever it is kept, and which files of a folder are read."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BufferedReader
from typing import Final, Protocol

from gainsight_destination.errors import UserError

SUFFIXES: Final = (".gz", ".ndjson", ".jsonl", ".json", ".log", ".txt")
"""Files of a folder that are read; one that is named itself is read whatever it is called."""


class UnreadableFileError(UserError):
    """This one file cannot be read on; others may be. The message says why and what to do."""


class ArchiveFile(Protocol):
    """A file as it was found."""

    @property
    def name(self) -> str:
        """Its whole name, for people and for the progress: an absolute path, an address, or `-`."""
        ...

    @property
    def stable_name(self) -> str:
        """Folder and file name: the same wherever the archive is put and from wherever it is read."""
        ...

    @property
    def size_bytes(self) -> int:
        """As it is stored, so packed if it is gzipped; 0 when unknown."""
        ...

    @property
    def version(self) -> str | None:
        """Text that changes when the file does; None when it cannot be read a second time."""
        ...

    def open(self) -> AbstractContextManager[BufferedReader]:
        """Its bytes. Reading raises OSError, UnreadableFileError, or what must end the run."""
        ...


def folder_and_name(parts: Sequence[str]) -> str:
    """The stable name of a file, by the parts of its path."""
    return "/".join(parts[-2:])


def is_read(parts: Sequence[str]) -> bool:
    """Whether a file inside a folder is taken for a part of an archive. `parts`: its path below that folder."""
    return parts[-1].lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in parts)


def nothing_in(place: object) -> UserError:
    return UserError(f"there is no archive file in {place}; what is read ends in {', '.join(SUFFIXES)}")
