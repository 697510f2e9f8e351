"""What every event log promises, whatever it is built on. A new backend is one more row of BACKENDS."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gainsight_destination.eventlog.contract import Entry, EntryKind, EventLog
from gainsight_destination.eventlog.sqlite import SqliteEventLog

Open = Callable[[], EventLog]


def sqlite_log(folder: Path) -> EventLog:
    return SqliteEventLog(folder / "log.db")


BACKENDS: dict[str, Callable[[Path], EventLog]] = {"sqlite": sqlite_log}


@pytest.fixture(params=BACKENDS)
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same log again and again; each is closed at the end."""
    opened: list[EventLog] = []

    def open_again() -> EventLog:
        opened.append(BACKENDS[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


def entry(body: bytes = b"{}", *, source: int = 1, count: int = 1, at: int = 1_000) -> Entry:
    return Entry(source, EntryKind.BATCH if count > 1 else EntryKind.TRACK, at, count, body)


entries = st.builds(
    Entry,
    source_id=st.integers(0, 5),
    kind=st.sampled_from(EntryKind),
    received_at_ms=st.integers(0, 2**41),
    count=st.integers(1, 3_000),
    body=st.binary(max_size=100) | st.integers(1, 40_000).map(lambda size: b"x" * size),
)


def test_an_empty_log_starts_and_ends_at_zero(open_log: Open) -> None:
    """A new log holds nothing and has received nothing."""
    log = open_log()
    assert (log.start(), log.end(), dict(log.received()), log.read(0, max_messages=10)) == (0, 0, {}, [])
    assert log.entry_of(0) is None


def test_offsets_count_messages(open_log: Open) -> None:
    """An entry of n messages takes n offsets; append returns the first of its group."""
    log = open_log()
    assert log.append([entry(count=1), entry(count=100)]) == 0
    assert log.append([entry(count=7)]) == 101
    assert [logged.offset for logged in log.read(0, max_messages=1_000)] == [0, 1, 101]
    assert log.end() == 108


def test_entries_come_back_as_they_were(open_log: Open) -> None:
    """Bodies are the same bytes, also when they are no text at all, empty, or half a megabyte."""
    log = open_log()
    written = [entry(b"\x00\xff\xfe"), entry(b""), entry(b"x" * 512_000, count=3), entry(source=0)]
    log.append(written)
    assert [logged.entry for logged in log.read(0, max_messages=100)] == written


def test_read_stops_at_max_messages_but_never_starves(open_log: Open) -> None:
    """Whole entries while they fit; the first one even when it alone is larger."""
    log = open_log()
    log.append([entry(count=5), entry(count=5), entry(count=1)])
    assert [logged.offset for logged in log.read(0, max_messages=10)] == [0, 5]
    assert [logged.offset for logged in log.read(0, max_messages=1)] == [0]
    assert [logged.offset for logged in log.read(5, max_messages=6)] == [5, 10]
    assert log.read(11, max_messages=6) == []


def test_read_stops_at_max_bytes_but_never_starves(open_log: Open) -> None:
    """Whole entries while their bodies fit; the first one even if it is larger than that."""
    log = open_log()
    log.append([Entry(1, EntryKind.TRACK, 0, 1, b"x" * size) for size in (40, 50, 20, 300, 1)])
    assert [logged.offset for logged in log.read(0, max_messages=10, max_bytes=100)] == [0, 1]
    assert [logged.offset for logged in log.read(2, max_messages=10, max_bytes=100)] == [2]
    assert [logged.offset for logged in log.read(3, max_messages=10, max_bytes=100)] == [3]


def test_reading_from_inside_an_entry_is_refused(open_log: Open) -> None:
    """A reader with a wrong offset is told, instead of skipping messages."""
    log = open_log()
    log.append([entry(count=5), entry(count=5)])
    for inside in (3, 7):
        with pytest.raises(ValueError, match="inside the entry"):
            log.read(inside, max_messages=10)


def test_every_message_finds_its_entry(open_log: Open) -> None:
    """entry_of answers for each message of an entry and for none beyond the end."""
    log = open_log()
    log.append([entry(b"a", count=2), entry(b"b", count=3)])
    found = [log.entry_of(offset) for offset in range(6)]
    assert [logged.entry.body if logged else None for logged in found] == [b"a", b"a", b"b", b"b", b"b", None]


def test_received_adds_up_per_source(open_log: Open) -> None:
    """What each source ever sent, also after its entries are gone."""
    log = open_log()
    log.append([entry(source=1, count=2), entry(source=2), entry(source=1, count=3)])
    log.append([entry(source=2, count=4)])
    log.retain(keep_from_offset=log.end(), older_than_ms=10**15, max_bytes=0)
    assert dict(log.received()) == {1: 5, 2: 5}
    assert log.end() == sum(log.received().values())


def test_an_empty_append_stores_nothing(open_log: Open) -> None:
    """It asks whether the log can be written, and answers with its end."""
    log = open_log()
    log.append([entry(count=4)])
    assert log.append([]) == log.end() == 4


def test_retain_removes_what_is_old(open_log: Open) -> None:
    """Entries received before the limit go, from the oldest on, and the count of messages comes back."""
    log = open_log()
    log.append([entry(at=1, count=2), entry(at=2), entry(at=3)])
    assert log.retain(keep_from_offset=4, older_than_ms=3, max_bytes=10**9) == 3
    assert (log.start(), log.end()) == (3, 4)


def test_retain_removes_what_is_too_much(open_log: Open) -> None:
    """The oldest bodies go until what is kept fits."""
    log = open_log()
    log.append([entry(b"x" * 100, at=10) for _ in range(10)])
    assert log.retain(keep_from_offset=10, older_than_ms=0, max_bytes=350) == 7
    assert log.retain(keep_from_offset=10, older_than_ms=0, max_bytes=350) == 0
    assert log.start() == 7


def test_retain_keeps_what_is_still_needed(open_log: Open) -> None:
    """Whatever age or size: nothing at or beyond keep_from_offset goes, nor the entry that holds it."""
    log = open_log()
    log.append([entry(count=10), entry(count=10), entry(count=10)])
    assert log.retain(keep_from_offset=15, older_than_ms=10**15, max_bytes=0) == 10
    assert log.start() == 10


def test_retain_removes_many_entries_in_steps(open_log: Open) -> None:
    """More entries than one step removes all go, and only those."""
    log = open_log()
    log.append([entry(at=at) for at in range(1_000)])
    assert log.retain(keep_from_offset=1_000, older_than_ms=777, max_bytes=10**9) == 777
    assert (log.start(), log.end()) == (777, 1_000)


def test_reading_goes_on_at_the_oldest_entry_kept(open_log: Open) -> None:
    """A reader that was overtaken by retention reads what is left."""
    log = open_log()
    log.append([entry(at=1, count=5), entry(at=2, count=5)])
    log.retain(keep_from_offset=10, older_than_ms=2, max_bytes=10**9)
    for gone in (0, 3):
        assert [logged.offset for logged in log.read(gone, max_messages=10)] == [5]
    assert log.entry_of(3) is None


def test_an_empty_log_keeps_its_place(open_log: Open) -> None:
    """Offsets go on after everything was removed and the log was opened again."""
    log = open_log()
    log.append([entry(count=9)])
    log.retain(keep_from_offset=9, older_than_ms=10**15, max_bytes=0)
    log.close()
    again = open_log()
    assert (again.start(), again.end(), again.append([entry()])) == (9, 9, 9)


def test_another_opening_sees_what_was_appended(open_log: Open) -> None:
    """A reader of its own sees each append at once."""
    writer, reader = open_log(), open_log()
    for number in range(5):
        writer.append([entry(str(number).encode())])
        assert reader.end() == number + 1
        assert reader.read(number, max_messages=1)[0].entry.body == str(number).encode()


def test_several_openings_append_without_gap_or_overlap(open_log: Open) -> None:
    """Writers at once, as `serve` and `import` are: every message has one offset of its own."""
    logs = [open_log() for _ in range(3)]
    firsts: list[tuple[int, int]] = []

    def write(log: EventLog, source: int) -> None:
        for _ in range(20):
            firsts.append((log.append([entry(source=source, count=3), entry(source=source, count=4)]), source))

    threads = [threading.Thread(target=write, args=(log, source)) for source, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(first for first, _ in firsts) == [7 * number for number in range(60)]
    assert dict(logs[0].received()) == {0: 140, 1: 140, 2: 140}
    sources = {logged.offset: logged.entry.source_id for logged in logs[0].read(0, max_messages=1_000)}
    assert all(sources[first] == sources[first + 3] == source for first, source in firsts)


def test_retain_beside_appends_loses_nothing(open_log: Open) -> None:
    """Removing old entries while new ones come leaves exactly the new ones."""
    log = open_log()
    log.append([entry(at=1) for _ in range(500)])
    remover = threading.Thread(
        target=log.retain, kwargs={"keep_from_offset": 500, "older_than_ms": 2, "max_bytes": 10**9}
    )
    remover.start()
    for _ in range(50):
        log.append([entry(at=5)])
    remover.join()
    assert (log.start(), log.end(), len(log.read(500, max_messages=100))) == (500, 550, 50)


def test_close_may_be_repeated(open_log: Open) -> None:
    """Closing a closed log does nothing, also not to the same log opened since."""
    log = open_log()
    log.append([entry()])
    log.close()
    again = open_log()
    log.close()
    assert (again.append([entry()]), again.end()) == (1, 2)


def test_size_grows_with_what_is_stored(open_log: Open) -> None:
    """size_bytes is about what the disk holds."""
    log = open_log()
    before = log.size_bytes()
    log.append([entry(b"x" * 1_000_000)])
    assert log.size_bytes() >= before + 1_000_000


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.lists(entries, min_size=1, max_size=6), max_size=6), reopen=st.sets(st.integers(0, 6)))
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_entries_in_any_groups_come_back(
    backend: str,
    groups: list[list[Entry]],
    reopen: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever is appended, however it is split and reopened: the same entries in order, and sums that agree."""
    folder = tmp_path_factory.mktemp("log")
    log = BACKENDS[backend](folder)
    expected, offset = [], 0
    for number, group in enumerate(groups):
        if number in reopen:
            log.close()
            log = BACKENDS[backend](folder)
        assert log.append(group) == offset
        expected += group
        offset += sum(item.count for item in group)
    read, place = [], 0
    while found := log.read(place, max_messages=100):
        assert found[0].offset == place
        read += [logged.entry for logged in found]
        place = found[-1].end
    assert read == expected
    assert place == log.end() == sum(log.received().values())
    log.close()
