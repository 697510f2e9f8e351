"""When everything is refused, when one source is, and when senders are told to come back."""

import pytest

from gainsight_destination.ingest.watermarks import (
    UNKNOWN_RETRY_SECONDS,
    DrainRate,
    Levels,
    Refusal,
    Watermarks,
    over_their_share,
    refusal_of_all,
)

GB = 1_000_000_000
BACKLOG = Watermarks(max_backlog_bytes=1_000)
DISK = Watermarks(min_free_bytes=1_000)


def closed(marks: Watermarks, levels: Levels, earlier: str | None = None) -> str | None:
    before = Refusal(earlier, "", 1) if earlier else None
    refusal = refusal_of_all(marks, levels, DrainRate(), before)
    return refusal.reason if refusal else None


def disk(free: int, *, log: int = 0, state: int = 0) -> Levels:
    return Levels(volume=1_000_000, free=free, log_reusable=log, state_reusable=state)


@pytest.mark.parametrize(
    ("backlog", "earlier", "refused"),
    [(1_000, None, False), (1_001, None, True), (751, "backlog", True), (750, "backlog", False), (751, "disk", False)],
)
def test_a_full_backlog_has_to_clear_by_a_quarter(backlog: int, earlier: str | None, refused: bool) -> None:
    """Refused above the mark, and then until a quarter below it."""
    assert closed(BACKLOG, Levels({1: backlog - 1, 2: 1}), earlier) == ("backlog" if refused else None)


@pytest.mark.parametrize(
    ("free", "earlier", "refused"),
    [(1_000, None, False), (999, None, True), (1_333, "disk", True), (1_334, "disk", False), (1_333, "backlog", False)],
)
def test_a_full_disk_has_to_clear_too(free: int, earlier: str | None, refused: bool) -> None:
    """Refused below the mark, and then until there is a third more."""
    assert closed(DISK, disk(free), earlier) == ("disk" if refused else None)


def test_space_inside_the_log_is_space() -> None:
    """The log does not shrink; what retention freed in it is written again first."""
    assert closed(DISK, disk(900, log=100)) is None


def test_the_engine_keeps_a_quarter_of_the_free_space() -> None:
    """However much room the log has, the engine needs to write to work off what waits."""
    assert closed(DISK, disk(250, log=GB)) is None
    assert closed(DISK, disk(249, log=GB)) == "disk"
    assert closed(DISK, disk(249, log=GB, state=1)) is None


@pytest.mark.parametrize(("volume", "wanted"), [(100 * GB, GB), (10 * GB, GB), (2 * GB, GB // 5)])
def test_a_small_volume_keeps_a_tenth(volume: int, wanted: int) -> None:
    """Unless the mark is set, it fits the volume."""
    assert Watermarks(min_free_bytes=None).min_free_of(volume) == wanted
    assert Watermarks(min_free_bytes=7).min_free_of(volume) == 7


def test_zero_switches_a_mark_off() -> None:
    """Nothing is refused, whatever the level."""
    off = Watermarks(max_backlog_bytes=0, min_free_bytes=0)
    assert closed(off, Levels({1: 10**15, 2: 0})) is None
    assert over_their_share(off, Levels({1: 10**15}), DrainRate(), {1, 2}, ()) == {}


@pytest.mark.parametrize(
    ("unread", "earlier", "refused"),
    [
        ({1: 500}, (), []),  # not over half of the mark
        ({1: 501}, (), [1]),
        ({1: 450, 2: 60}, (), [1]),
        ({1: 450, 2: 450}, (), []),  # just their shares
        ({1: 500, 2: 451}, (), [1]),
        ({1: 376}, (1,), [1]),  # clears by a quarter
        ({1: 375}, (1,), []),
        ({1: 380, 2: 600}, (1,), [1, 2]),
        ({1: 360, 2: 600}, (1,), [2]),  # its own share clears by a quarter too
    ],
)
def test_who_fills_the_backlog_is_refused_first(
    unread: dict[int, int], earlier: tuple[int, ...], refused: list[int]
) -> None:
    """From half of the mark on, a source over its share waits while others go on."""
    assert list(over_their_share(BACKLOG, Levels(unread), DrainRate(), [1, 2], earlier)) == refused


def test_a_single_source_has_all_of_it() -> None:
    """There is nobody to leave room for."""
    assert over_their_share(BACKLOG, Levels({1: 900}), DrainRate(), [1], ()) == {}


def test_senders_are_told_how_long_draining_takes() -> None:
    """By what the engine read in the last half minute; not known before it was seen to read."""
    drain = DrainRate()
    assert drain.seconds_for(10) == UNKNOWN_RETRY_SECONDS
    drain.saw(1_000_000, 5_000)
    assert drain.seconds_for(10) == UNKNOWN_RETRY_SECONDS
    drain.saw(1_010_000, 5_000)
    assert drain.seconds_for(10) == UNKNOWN_RETRY_SECONDS
    drain.saw(1_020_000, 6_000)
    assert (drain.seconds_for(101), drain.seconds_for(1_000), drain.seconds_for(10**6)) == (3, 20, 300)
    assert drain.seconds_for(0) == 1
    drain.saw(1_045_000, 8_500)
    assert drain.seconds_for(1_000) == 10  # 2,500 bytes in the 25 seconds that are not forgotten


def test_a_refusal_names_levels_and_option() -> None:
    """The words are for operators: how much, how much may, and where that is set."""
    refusal = refusal_of_all(Watermarks(max_backlog_bytes=10 * GB), Levels({1: 12 * GB}), DrainRate(), None)
    assert refusal is not None
    assert refusal.words == (
        "12.00 GB wait to be read by the engine, and 10.00 GB may (--max-backlog-gb); "
        "messages are taken again below 7.50 GB"
    )
