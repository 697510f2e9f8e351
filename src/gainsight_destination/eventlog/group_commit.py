"""Lets many waiting requests share one durable write of the event log.

It stands between the public port and the log: a request that was found good waits here, and is answered when the
group it belongs to is on disk. One thread writes, group after group; whatever came during one write is the next
group. So a lone request waits for one fsync, and a thousand at once wait for one or two.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from time import monotonic

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UnavailableError
from gainsight_destination.eventlog.contract import Entry, EntryKind, EventLog
from gainsight_destination.observe import metrics

COUNTED_KINDS = frozenset({EntryKind.UNKNOWN_SOURCE, EntryKind.SOURCE_DISABLED})
"""Entries without a body: those of one group and source become one row."""

COUNT_SECONDS = 1.0
"""Such rows are written so often at most, so that a flood of worthless requests fills no disk: their answers wait for
it, for a 200 means stored, and that slows the flood. The first after a quiet while is written at once."""

ENTRY_OVERHEAD_BYTES = 512
"""What a waiting entry takes in memory besides its body, roughly."""

MAX_GROUP_BYTES = 8 * 1024 * 1024
MAX_QUEUED_BYTES = 64 * 1024 * 1024
PROBE_SECONDS = 1.0
"""How often a failing log is tried while nothing is waiting, so that its recovery shows without traffic."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """The log refuses writes since `since_ms`, for this reason in plain words."""

    since_ms: int
    reason: str


@dataclass(slots=True)
class Waiting:
    """An entry and the future of its offset."""

    entry: Entry
    offset: "asyncio.Future[int]"


class GroupCommit:
    """Durable appends, many per fsync. Belongs to the event loop it was made on; it does not close the log."""

    def __init__(self, log: EventLog, *, clock: Clock, max_queued_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._log = log
        self._clock = clock
        self._max_queued_bytes = max_queued_bytes
        self._queued_bytes = 0
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._counts: list[Waiting] = []
        self._counted_at = float("-inf")
        self.failure: Failure | None = None
        self._thread = threading.Thread(target=self._write_groups, name="log-writer", daemon=True)
        self._thread.start()

    async def append(self, entry: Entry) -> int:
        """Store the entry; when this returns its offset, the entry is on disk.

        Raises UnavailableError when too much is waiting already or the log refuses (StorageFullError for a full
        disk); then the entry is not stored, and the sender should try again.
        """
        size = len(entry.body) + ENTRY_OVERHEAD_BYTES
        if self._closed:
            raise UnavailableError("the server is stopping")
        if self._queued_bytes + size > self._max_queued_bytes:
            raise UnavailableError("too many requests are waiting for the disk")
        waiting = Waiting(entry, self._loop.create_future())
        self._queued_bytes += size
        self._queue.put(waiting)
        return await waiting.offset

    async def close(self) -> None:
        """Write what is waiting, then stop. Idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _write_groups(self) -> None:
        open_ended = True
        while open_ended:
            group, open_ended = self._next_group()
            if self._counts and (not open_ended or self._seconds_to_count() <= 0):
                group += self._counts
                self._counts, self._counted_at = [], monotonic()
            if group:
                self._write(group)
            elif self.failure is not None and open_ended:
                self._store([])

    def _next_group(self) -> tuple[list[Waiting], bool]:
        """What is waiting, up to MAX_GROUP_BYTES, and whether more may follow; empty when it is time to count or probe.

        What only counts is put aside.
        """
        group: list[Waiting] = []
        size = 0
        try:
            waiting = self._queue.get(timeout=self._patience_seconds())
            while waiting is not None:
                (self._counts if waiting.entry.kind in COUNTED_KINDS else group).append(waiting)
                size += len(waiting.entry.body)
                if size >= MAX_GROUP_BYTES:
                    return group, True
                waiting = self._queue.get_nowait()
        except Empty:
            return group, True
        return group, False

    def _patience_seconds(self) -> float | None:
        """How long to wait for the next entry; None for ever."""
        if self._counts:
            return max(0.0, self._seconds_to_count())
        return None if self.failure is None else PROBE_SECONDS

    def _seconds_to_count(self) -> float:
        """Until counts may be written again. Real time, as the waiting for the queue is."""
        return self._counted_at + COUNT_SECONDS - monotonic()

    def _write(self, group: Sequence[Waiting]) -> None:
        entries, offsets = merged([waiting.entry for waiting in group])
        result = self._store(entries)
        if isinstance(result, int):
            metrics.log_group_messages.observe(sum(entry.count for entry in entries))
            settled: list[int] | UnavailableError = [result + offset for offset in offsets]
        else:
            settled = result
        self._loop.call_soon_threadsafe(self._settle, group, settled)

    def _store(self, entries: Sequence[Entry]) -> int | UnavailableError:
        """Append to the log and keep `failure` true. Without entries it only asks whether the log can be written."""
        try:
            with metrics.log_append_seconds.time():
                offset = self._log.append(entries)
        except Exception as error:
            refused = error if isinstance(error, UnavailableError) else UnavailableError("the event log failed")
            metrics.log_append_failures.inc()
            if self.failure is None:
                logger.error("event log refuses writes", reason=str(error), exc_info=refused is not error)
                self.failure = Failure(self._clock.now_ms(), str(error))
            return refused
        if self.failure is not None:
            logger.info("event log can be written again", refused_since_ms=self.failure.since_ms)
            self.failure = None
        return offset

    def _settle(self, group: Sequence[Waiting], result: list[int] | UnavailableError) -> None:
        for number, waiting in enumerate(group):
            self._queued_bytes -= len(waiting.entry.body) + ENTRY_OVERHEAD_BYTES
            if waiting.offset.done():  # the sender went away
                continue
            if isinstance(result, UnavailableError):
                waiting.offset.set_exception(type(result)(*result.args))
            else:
                waiting.offset.set_result(result[number])
        metrics.log_queued_bytes.set(self._queued_bytes)


def merged(entries: Sequence[Entry]) -> tuple[list[Entry], list[int]]:
    """The entries to store, and each given entry's offset counted from the first stored one.

    Entries that only count messages are summed up into one per source and kind, at the end of the group.
    """
    kept: list[Entry] = []
    counted: dict[tuple[int, EntryKind], Entry] = {}
    places: list[tuple[tuple[int, EntryKind] | None, int]] = []
    end = 0
    for entry in entries:
        if entry.kind in COUNTED_KINDS:
            key = (entry.source_id, entry.kind)
            so_far = counted.get(key)
            places.append((key, so_far.count if so_far else 0))
            counted[key] = replace(so_far, count=so_far.count + entry.count) if so_far else entry
        else:
            places.append((None, end))
            kept.append(entry)
            end += entry.count
    starts: dict[tuple[int, EntryKind] | None, int] = {None: 0}
    for key, entry in counted.items():
        kept.append(entry)
        starts[key] = end
        end += entry.count
    return kept, [starts[key] + place for key, place in places]
