"""Moves archive files into the event log: reads lines, makes entries, appends them durably, remembers the progress.

The order of the last two makes it safe to be killed at any moment: a second run appends at most one chunk again, and
its messages are dropped as duplicates because every one has an id.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.archive.lines import ArchiveLines, BadLine, Line, Position
from gainsight_destination.archive.progress import ImportProgress
from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import Entry, EntryKind, EventLog

CHUNK_LINES = 500
CHUNK_BYTES = 360_000
"""An entry is closed by the line that brings it here, so that it stays below 400 KB."""
SHOWN_BAD_LINES = 20


@dataclass(slots=True)
class Taken:
    """What was done so far. `messages` are durable in the log."""

    files: int = 0
    files_skipped: int = 0
    messages: int = 0
    ids_added: int = 0
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    """The first of the bad lines."""
    read_bytes: int = 0
    """Of the files that are complete, and of the one at hand; those skipped count as read."""


class ArchiveImport:
    """One run over some files, into one source."""

    def __init__(
        self,
        log: EventLog,
        progress: ImportProgress,
        *,
        source_id: int,
        clock: Clock,
        restart: bool = False,
        report: Callable[[Taken], None] = lambda taken: None,
    ) -> None:
        self.taken = Taken()
        self._log = log
        self._progress = progress
        self._source_id = source_id
        self._clock = clock
        self._restart = restart
        self._report = report
        self._chunk: list[Line] = []
        self._chunk_bytes = 0
        self._touched: list[ArchiveLines] = []

    def run(self, files: Iterable[ArchiveFile]) -> Taken:
        """Take in every line of the files that is not in yet. Bad lines are counted and left out.

        Raises UnavailableError when the log cannot be written; what `taken` says is in stays in.
        """
        for file in files:
            position = Position() if self._restart else self._progress.position_of(file)
            if position is None:
                self.taken.files_skipped += 1
                self.taken.read_bytes += file.size_bytes
            else:
                self._take(ArchiveLines(file, position))
        self._flush()
        return self.taken

    def _take(self, lines: ArchiveLines) -> None:
        before_bytes = self.taken.read_bytes
        self._touched.append(lines)
        for line in lines:
            if isinstance(line, BadLine):
                self._count_bad(line)
                continue
            self._chunk.append(line)
            self._chunk_bytes += len(line.body) + 1
            if len(self._chunk) == CHUNK_LINES or self._chunk_bytes >= CHUNK_BYTES:
                self._flush()
                self.taken.read_bytes = before_bytes + lines.read_bytes
                self._report(self.taken)
        self.taken.files += 1
        self.taken.read_bytes = before_bytes + lines.file.size_bytes
        self._report(self.taken)

    def _flush(self) -> None:
        """Make the chunk durable, then remember how far that is."""
        if self._chunk:
            body = b"[" + b",".join(line.body for line in self._chunk) + b"]"
            entry = Entry(self._source_id, EntryKind.ARCHIVE, self._clock.now_ms(), len(self._chunk), body)
            self._log.append([entry], live=False)
            self.taken.messages += len(self._chunk)
            self.taken.ids_added += sum(line.id_added for line in self._chunk)
            self._chunk, self._chunk_bytes = [], 0
        self._progress.save(self._touched)
        self._touched = self._touched[-1:]

    def _count_bad(self, line: BadLine) -> None:
        self.taken.bad += 1
        if len(self.taken.bad_lines) < SHOWN_BAD_LINES:
            self.taken.bad_lines.append(line)
