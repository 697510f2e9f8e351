"""Moves archive files into the event log: reads lines, makes entries, appends them durably, remembers the progress.

The order of the last two makes it safe to be killed at any moment: a second run appends at most one group again, and
its messages are dropped as duplicates because every one has an id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.archive.lines import ArchiveLines, BadLine, Line, Position
from gainsight_destination.archive.progress import ImportProgress
from gainsight_destination.archive.window import Window
from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import Entry, EntryKind

ENTRY_LINES = 500
ENTRY_BYTES = 360_000
"""An entry is closed by the line that brings it here, so that it stays below 400 KB."""
GROUP_BYTES = 2_000_000
"""Entries that share a durable write. Few writes make an import fast; a running server waits for each of them."""
REPORT_LINES = 5_000
SHOWN_BAD_LINES = 20


class Appends(Protocol):
    """Where entries go: the event log, or a rehearsal of it."""

    def append(self, entries: Sequence[Entry], *, live: bool) -> int: ...


@dataclass(slots=True)
class Taken:
    """What was done so far. `messages` are durable in the log; so are those of `types`."""

    files: int = 0
    """Read to their end."""
    files_skipped: int = 0
    """In already."""
    files_outside: int = 0
    """Of days outside the window."""
    files_incomplete: int = 0
    """Cut off, damaged or changed; what could be read of them is in."""
    messages: int = 0
    types: Counter[str] = field(default_factory=Counter)
    ids_added: int = 0
    outside: int = 0
    """Messages outside the window."""
    undated: int = 0
    """Messages that say no time, so that the window cannot leave them out."""
    bad: int = 0
    bad_by_code: Counter[str] = field(default_factory=Counter)
    bad_lines: list[BadLine] = field(default_factory=list)
    """The first of the bad lines."""
    read_bytes: int = 0
    """Of the files that are complete, and of the one at hand; those skipped count as read."""


class ArchiveImport:
    """One run over some files, into one source."""

    def __init__(
        self,
        log: Appends,
        progress: ImportProgress,
        *,
        source_id: int,
        clock: Clock,
        window: Window,
        restart: bool = False,
        saves: bool = True,
        before_write: Callable[[], None] = lambda: None,
        report: Callable[[Taken], None] = lambda taken: None,
    ) -> None:
        """`before_write` may raise to stop the run. A rehearsal saves no progress."""
        self.taken = Taken()
        self._log = log
        self._progress = progress
        self._source_id = source_id
        self._clock = clock
        self._window = window
        self._window_is_limited = window.is_limited
        self._restart = restart
        self._saves = saves
        self._before_write = before_write
        self._report = report
        self._lines: list[Line] = []
        self._lines_bytes = 0
        self._entries: list[Entry] = []
        self._entries_bytes = 0
        self._pending: Counter[str] = Counter()
        self._touched: list[ArchiveLines] = []

    def run(self, files: Iterable[ArchiveFile]) -> Taken:
        """Take in every line of the files that is not in yet. Bad lines are counted and left out.

        Raises UnavailableError when the log cannot be written or a file not be fetched; what `taken` says is in stays
        in.
        """
        for file in files:
            if not self._window.may_reach(file.stable_name):
                self.taken.files_outside += 1
                self.taken.read_bytes += file.size_bytes
            elif (position := Position() if self._restart else self._progress.position_of(file)) is None:
                self.taken.files_skipped += 1
                self.taken.read_bytes += file.size_bytes
            else:
                self._take(ArchiveLines(file, position, with_times=self._window_is_limited))
        self._close_entry()
        self._flush()
        self._report(self.taken)
        return self.taken

    def _take(self, lines: ArchiveLines) -> None:
        before_bytes = self.taken.read_bytes
        self._touched.append(lines)
        for number, line in enumerate(lines, start=1):
            if isinstance(line, BadLine):
                self._count_bad(line)
            elif self._is_wanted(line):
                self._lines.append(line)
                self._lines_bytes += len(line.body) + 1
                if len(self._lines) == ENTRY_LINES or self._lines_bytes >= ENTRY_BYTES:
                    self._close_entry()
                    if self._entries_bytes >= GROUP_BYTES:
                        self._flush()
            if number % REPORT_LINES == 0:
                self.taken.read_bytes = before_bytes + lines.read_bytes
                self._report(self.taken)
        if lines.complete:
            self.taken.files += 1
        else:
            self.taken.files_incomplete += 1
        self.taken.read_bytes = before_bytes + lines.file.size_bytes
        self._report(self.taken)

    def _is_wanted(self, line: Line) -> bool:
        if not self._window_is_limited:
            return True
        if line.received_at_ms is None:
            self.taken.undated += 1
            return True
        if self._window.holds(line.received_at_ms):
            return True
        self.taken.outside += 1
        return False

    def _close_entry(self) -> None:
        if self._lines:
            body = b"[" + b",".join(line.body for line in self._lines) + b"]"
            count = len(self._lines)
            self._entries.append(Entry(self._source_id, EntryKind.ARCHIVE, self._clock.now_ms(), count, body))
            self._entries_bytes += len(body)
            self._pending.update(line.type for line in self._lines)
            self.taken.ids_added += sum(line.id_added for line in self._lines)
            self._lines, self._lines_bytes = [], 0

    def _flush(self) -> None:
        """Make the entries durable, then remember how far that is. Call it when no line is outside of an entry."""
        if self._entries:
            self._before_write()
            self._log.append(self._entries, live=False)
            self.taken.messages += sum(entry.count for entry in self._entries)
            self.taken.types.update(self._pending)
            self._pending.clear()
            self._entries, self._entries_bytes = [], 0
        if self._saves:
            self._progress.save(self._touched)
        self._touched = self._touched[-1:]

    def _count_bad(self, line: BadLine) -> None:
        self.taken.bad += 1
        self.taken.bad_by_code[line.code] += 1
        if len(self.taken.bad_lines) < SHOWN_BAD_LINES:
            self.taken.bad_lines.append(line)
