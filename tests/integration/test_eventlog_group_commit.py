"""Many requests share one durable write; what the log refuses, every one of them is told."""

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.ingest import NOW_MS, StoppedClock

from gainsight_destination.errors import StorageFullError, UnavailableError
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.group_commit import COUNT_SECONDS, GroupCommit, merged
from gainsight_destination.eventlog.sqlite import SqliteEventLog


class GatedLog(SqliteEventLog):
    """A log whose writes the test holds back, refuses, and remembers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()
        self.refusal: Exception | None = None
        self.groups: list[int] = []

    def append(self, entries: Sequence[Entry], *, live: bool = True) -> int:
        self.writing.set()
        self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        if entries:
            self.groups.append(len(entries))
        return super().append(entries, live=live)


def entry(body: bytes = b"{}", *, source: int = 1, kind: EntryKind = EntryKind.TRACK, count: int = 1) -> Entry:
    return Entry(source, kind, NOW_MS, count, body)


async def appended_together(commits: GroupCommit, log: GatedLog, entries: Sequence[Entry]) -> list[object]:
    """Append one entry, and the others while it is being written, so that they are one group."""
    log.gate.clear()
    log.writing.clear()
    first = asyncio.create_task(commits.append(entry(b"first")))
    await asyncio.sleep(0)
    await asyncio.to_thread(log.writing.wait)
    others = [asyncio.create_task(commits.append(item)) for item in entries]
    await asyncio.sleep(0)
    log.gate.set()
    await first
    return list(await asyncio.gather(*others, return_exceptions=True))


async def test_waiting_requests_share_a_write(tmp_path: Path) -> None:
    """What came during one write is stored by the next one, in order, each with its own offset."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    offsets = await appended_together(commits, log, [entry(b"%d" % n, count=n) for n in range(1, 50)])
    assert log.groups == [1, 49]
    assert offsets == [1 + n * (n - 1) // 2 for n in range(1, 50)]
    for number, offset in enumerate(offsets, start=1):
        assert isinstance(offset, int)
        logged = log.entry_of(offset)
        assert logged is not None
        assert logged.entry.body == b"%d" % number
    await commits.close()
    log.close()


async def test_entries_that_only_count_become_one_row_per_source(tmp_path: Path) -> None:
    """A flood of unknown write keys costs a row per group, and every message is counted."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    unknown = [entry(b"", source=0, kind=EntryKind.UNKNOWN_SOURCE, count=2) for _ in range(10)]
    disabled = [entry(b"", source=2, kind=EntryKind.SOURCE_DISABLED) for _ in range(5)]
    offsets = await appended_together(commits, log, [*unknown, entry(b"kept"), *disabled])
    assert log.groups == [1, 3]
    assert dict(log.received()) == {1: 2, 0: 20, 2: 5}
    assert sorted(offsets) == [1, *range(2, 22, 2), *range(22, 27)]
    await commits.close()
    log.close()


async def test_a_flood_that_only_counts_costs_a_row_a_second(tmp_path: Path) -> None:
    """Unknown write keys wait for the next second's row; those who are stored do not wait for them; none is lost."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    unknown = entry(b"", source=0, kind=EntryKind.UNKNOWN_SOURCE)
    started = time.monotonic()
    await commits.append(unknown)
    flood = [asyncio.create_task(commits.append(unknown)) for _ in range(200)]
    await asyncio.gather(*(commits.append(entry()) for _ in range(20)))
    assert not any(task.done() for task in flood)
    assert dict(log.received()) == {0: 1, 1: 20}
    assert sorted(await asyncio.gather(*flood)) == list(range(21, 221))
    assert time.monotonic() - started >= COUNT_SECONDS
    last = asyncio.create_task(commits.append(unknown))
    await asyncio.sleep(0)
    await commits.close()  # stopping waits for no second
    assert await last == 221
    assert len([1 for logged in log.read(0, max_messages=1_000) if logged.entry.source_id == 0]) == 3
    log.close()


async def test_a_refused_write_is_told_to_all_and_forgotten_after_success(tmp_path: Path) -> None:
    """Every waiting request of the group gets the error; the failure shows until a write succeeds."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    log.refusal = StorageFullError("the disk refused a write")
    results = await asyncio.gather(*(commits.append(entry()) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [StorageFullError] * 5
    assert commits.failure is not None
    assert (commits.failure.since_ms, commits.failure.reason) == (NOW_MS, "the disk refused a write")
    log.refusal = None
    assert await commits.append(entry()) == 0
    assert commits.failure is None
    await commits.close()
    log.close()


async def test_a_failing_log_is_tried_without_traffic(tmp_path: Path) -> None:
    """Recovery shows by itself, also when a load balancer has turned all senders away."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    log.refusal = StorageFullError("full")
    with pytest.raises(StorageFullError):
        await commits.append(entry())
    log.refusal = None
    log.writing.clear()
    assert await asyncio.to_thread(log.writing.wait, 10)
    await commits.close()
    assert commits.failure is None
    log.close()


async def test_an_unexpected_error_is_unavailable_and_the_writer_lives(tmp_path: Path) -> None:
    """A bug in the log costs its group a 503, not the process its only writer."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    log.refusal = ValueError("a bug")
    with pytest.raises(UnavailableError):
        await commits.append(entry())
    log.refusal = None
    assert await commits.append(entry()) == 0
    await commits.close()
    log.close()


async def test_closing_writes_what_waits_and_refuses_more(tmp_path: Path) -> None:
    """Nothing that was taken is dropped on stop."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    waiting = [asyncio.create_task(commits.append(entry())) for _ in range(100)]
    await asyncio.sleep(0)
    await commits.close()
    assert await asyncio.gather(*waiting) == list(range(100))
    with pytest.raises(UnavailableError):
        await commits.append(entry())
    await commits.close()
    log.close()


async def test_a_sender_that_left_does_not_disturb_its_group(tmp_path: Path) -> None:
    """A cancelled request is stored or not, and the others of its group are answered."""
    log = GatedLog(tmp_path / "log.db")
    commits = GroupCommit(log, clock=StoppedClock())
    log.gate.clear()
    tasks = [asyncio.create_task(commits.append(entry())) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    log.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [int, asyncio.CancelledError, int]
    await commits.close()
    log.close()


def test_merging_keeps_every_place() -> None:
    """Offsets inside a summed-up row follow one another."""
    unknown = entry(b"", source=0, kind=EntryKind.UNKNOWN_SOURCE, count=3)
    kept, places = merged([unknown, entry(count=2), unknown, entry()])
    assert [(item.kind, item.count) for item in kept] == [(2, 2), (2, 1), (21, 6)]
    assert places == [3, 0, 6, 2]
