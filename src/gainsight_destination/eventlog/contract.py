"""The seam of the event log: append, read from an offset, retain.

The log keeps each accepted request as the bytes that came, never re-encoded. One *entry* is one request
(or one chunk of an archive) with 1..n messages. Offsets count *messages*: an entry with 100 messages at
offset 500 is followed by offset 600, and message i of it has the offset 500 + i. So `end() - offset` is a
backlog in messages, and a message has one permanent number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol


class EntryKind(IntEnum):
    """What an entry's body holds. Stored: never renumber."""

    IDENTIFY = 1
    TRACK = 2
    GROUP = 3
    PAGE = 4
    SCREEN = 5
    ALIAS = 6
    BATCH = 10
    """A JSON object with a `batch` array of messages (POST /v1/batch and /v1/import)."""
    ARCHIVE = 11
    """A JSON array of messages as an archive kept them: `timestamp` is already corrected."""
    SOURCE_DISABLED = 20
    """Messages of a disabled source: only `count` is kept, the body is empty."""
    UNKNOWN_SOURCE = 21
    """Messages whose write key names no source: only `count` is kept; `source_id` is 0."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted request on its way into the log.

    `count` is the number of messages in `body` (items of the batch array, whatever they are), at least 1.
    `body` is the JSON as it came, after gunzip; ingest takes off a byte order mark and replaces what is not Unicode
    (invalid UTF-8, half a surrogate pair) by U+FFFD, so that every body of the log can be decoded.
    """

    source_id: int
    kind: EntryKind
    received_at_ms: int
    count: int
    body: bytes


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with its place in the log."""

    offset: int
    entry: Entry

    @property
    def end(self) -> int:
        """The offset after the last message of this entry."""
        return self.offset + self.entry.count


@dataclass(frozen=True, slots=True)
class Received:
    """What one source ever sent, files included. `day_bytes` are the bytes that came on UTC day `day` by themselves.

    `day` is the newest on which a request came, in days since 1970; 0 when none ever did. What is taken in from files
    is not counted in it: who does that means to.
    """

    messages: int
    body_bytes: int
    day: int = 0
    day_bytes: int = 0

    def bytes_on(self, day: int) -> int:
        """What came on a UTC day that is not over yet."""
        return self.day_bytes if day == self.day else 0


NO_LIMIT_BYTES: Final = 1 << 62
DAY_MS: Final = 86_400_000


class EventLog(Protocol):
    """A durable, append-only, ordered log. Several processes may append; each method may block on the disk."""

    def append(self, entries: Sequence[Entry], *, live: bool = True) -> int:
        """Store the entries, in order, in one durable write; return the offset of the first.

        When this returns, the entries survive a crash of process and machine (fsync).
        `live` entries count in what their sources sent today; those that a person takes in from files do not.
        Without entries nothing is stored, but the disk is written: it asks whether the log takes writes.
        Raises StorageFullError or UnavailableError, with none of them stored.
        """
        ...

    def read(self, offset: int, *, max_messages: int, max_bytes: int = NO_LIMIT_BYTES) -> list[LoggedEntry]:
        """Entries from `offset` on, whole and in order: as many as fit in both limits, but at least one if any.

        `offset` must be the start of an entry or the end of the log; inside an entry is a ValueError. If retention has
        removed what stood there, reading goes on at the oldest entry kept.
        """
        ...

    def entry_of(self, offset: int) -> LoggedEntry | None:
        """The entry that holds the message at `offset`, or None when retention removed it."""
        ...

    def end(self) -> int:
        """The offset that the next message gets."""
        ...

    def start(self) -> int:
        """The offset of the oldest entry kept; `end()` when the log is empty."""
        ...

    def received(self) -> Mapping[int, int]:
        """Messages ever appended per source id, durable and consistent with `end()`: the values sum up to it."""
        ...

    def received_in_detail(self) -> Mapping[int, Received]:
        """Messages and bytes ever appended per source id; as cheap at any size of the log."""
        ...

    def bytes_from(self, offset: int) -> Mapping[int, int]:
        """Bytes of the bodies from `offset` on, per source id. Looks at every entry there, but at no body."""
        ...

    def size_bytes(self) -> int:
        """Bytes the log takes on disk."""
        ...

    def reusable_bytes(self) -> int:
        """Bytes of `size_bytes` that hold nothing any more; the next entries go there before the log grows."""
        ...

    def retain(self, *, keep_from_offset: int, older_than_ms: int, max_bytes: int) -> int:
        """Remove oldest entries received before `older_than_ms`, or while the bodies kept exceed `max_bytes`.

        Never removes an entry that reaches `keep_from_offset` or beyond. Returns how many messages were removed.
        """
        ...

    def close(self) -> None:
        """Release files. Idempotent."""
        ...
