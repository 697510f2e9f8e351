"""When the public port takes no more: too much is unread, or the disk is nearly full. Pure decisions from levels seen.

A mark holds until the level is clear of it by a quarter, so that senders are not turned away and called back every
second. From half of the mark of the backlog on, sources that fill it with more than their fair share are refused, and
the other half is left to the others.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

CLEAR: Final = 0.75
"""What was refused is taken again when the level is below so much of its mark."""
FAIRNESS_FROM: Final = 0.5
STATE_SHARE: Final = 0.25
"""So much of the free space is kept for the engine, which has to write to work off what waits."""

LONGEST_RETRY_SECONDS: Final = 300
"""SDKs ignore or cut longer ones."""
UNKNOWN_RETRY_SECONDS: Final = 30
DRAIN_WINDOW_MS: Final = 30_000

DEFAULT_FREE_BYTES: Final = 1_000_000_000
DEFAULT_FREE_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The high marks, in bytes; 0 switches one off. None: 1 GB, or a tenth of a volume that is smaller than 10 GB."""

    max_backlog_bytes: int = 0
    min_free_bytes: int | None = 0

    def min_free_of(self, volume_bytes: int) -> int:
        if self.min_free_bytes is None:
            return min(DEFAULT_FREE_BYTES, round(volume_bytes * DEFAULT_FREE_SHARE))
        return self.min_free_bytes


@dataclass(frozen=True, slots=True)
class Levels:
    """What one look found, in bytes."""

    unread: Mapping[int, int] = field(default_factory=dict)
    """By source id."""
    read: int = 0
    """Ever, of all sources."""
    day: Mapping[int, int] = field(default_factory=dict)
    """Received today, by source id."""
    volume: int = 0
    free: int = 0
    """On the volume of the data directory."""
    log_reusable: int = 0
    state_reusable: int = 0
    """Inside the two files, which do not shrink: a log that was shortened has room although the disk has none."""

    @property
    def backlog(self) -> int:
        return sum(self.unread.values())


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is refused, in a sentence for operators, and when senders should come back."""

    reason: str
    """A word for metrics."""
    words: str
    retry_seconds: int


class DrainRate:
    """How fast the engine reads, over the last DRAIN_WINDOW_MS."""

    def __init__(self) -> None:
        self._seen = deque([(0, 0)])

    def saw(self, at_ms: int, read_bytes: int) -> None:
        self._seen.append((at_ms, read_bytes))
        while at_ms - self._seen[0][0] > DRAIN_WINDOW_MS:
            self._seen.popleft()

    def seconds_for(self, size_bytes: float) -> int:
        """How long reading so much takes, as a Retry-After; not known while nothing moves."""
        (from_ms, from_bytes), (to_ms, to_bytes) = self._seen[0], self._seen[-1]
        if to_bytes <= from_bytes:
            return UNKNOWN_RETRY_SECONDS
        return as_retry_after(size_bytes * (to_ms - from_ms) / (to_bytes - from_bytes) / 1_000)


def as_retry_after(seconds: float) -> int:
    """Whole seconds that every SDK accepts."""
    return max(1, min(LONGEST_RETRY_SECONDS, ceil(seconds)))


def refusal_of_all(marks: Watermarks, levels: Levels, drain: DrainRate, earlier: Refusal | None) -> Refusal | None:
    """Why every message is refused now. `earlier`: the same of the look before, for what has to clear first."""
    return _disk(marks, levels, earlier) or _backlog(marks, levels, drain, earlier)


def _disk(marks: Watermarks, levels: Levels, earlier: Refusal | None) -> Refusal | None:
    wanted = marks.min_free_of(levels.volume)
    mark = wanted / CLEAR if earlier and earlier.reason == "disk" else wanted
    room_for_log, room_for_state = levels.free + levels.log_reusable, levels.free + levels.state_reusable
    if room_for_log >= mark and room_for_state >= mark * STATE_SHARE:
        return None
    words = (
        f"the disk is nearly full: {gigabytes(levels.free)} are free, and {gigabytes(wanted)} are to stay free "
        "(--min-free-disk-gb); make space"
    )
    return Refusal("disk", words, UNKNOWN_RETRY_SECONDS)


def _backlog(marks: Watermarks, levels: Levels, drain: DrainRate, earlier: Refusal | None) -> Refusal | None:
    high, backlog = marks.max_backlog_bytes, levels.backlog
    low = high * CLEAR
    mark = low if earlier and earlier.reason == "backlog" else high
    if not high or backlog <= mark:
        return None
    words = (
        f"{gigabytes(backlog)} wait to be read by the engine, and {gigabytes(high)} may (--max-backlog-gb); "
        f"messages are taken again below {gigabytes(low)}"
    )
    return Refusal("backlog", words, drain.seconds_for(backlog - low))


def over_their_share(
    marks: Watermarks, levels: Levels, drain: DrainRate, sources: Collection[int], earlier: Collection[int]
) -> dict[int, Refusal]:
    """The sources that fill the backlog with more than their share, once it is half of what may be.

    The share of each of n sources that may send is an n-th, whether the others send or not: what they do not use now
    is there when they do. A single source has all of it.
    """
    half, backlog = marks.max_backlog_bytes * FAIRNESS_FROM, levels.backlog
    low = half * CLEAR
    if not half or len(sources) < 2 or backlog <= (low if earlier else half):
        return {}
    share = backlog / len(sources)
    retry_seconds = drain.seconds_for(max(backlog - low, 0))
    return {
        source_id: Refusal(
            "share", f"{gigabytes(unread)} of the {gigabytes(backlog)} that wait for the engine are its", retry_seconds
        )
        for source_id in sources
        if (unread := levels.unread.get(source_id, 0)) > (share * CLEAR if source_id in earlier else share)
    }


def gigabytes(size_bytes: float) -> str:
    """A size in words, in the units of the options."""
    if size_bytes >= 100_000_000:
        return f"{size_bytes / 1_000_000_000:,.2f} GB"
    return f"{size_bytes / 1_000_000:,.2f} MB"
