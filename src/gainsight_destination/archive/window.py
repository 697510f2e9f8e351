"""Which part of an archive is wanted: `--since` and `--until`, by the time Segment received a message.

The time of receipt and not the time of the event: Segment's folders are named after it, so that a whole day can be
skipped unopened however late a device sent; and windows that follow each other have each message exactly once.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gainsight_destination.errors import UserError
from gainsight_destination.events.timestamps import DAY_MS, EARLIEST_MS, EPOCH, LATEST_MS, MILLISECOND

DAY_FOLDER_DIGITS: Final = 13
MARGIN_MS: Final = DAY_MS
"""How far the lines of a day's folder may be from that day: files are written up to an hour and more after receipt."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `since_ms` on, and before `until_ms`; Unix milliseconds."""

    since_ms: int = EARLIEST_MS
    until_ms: int = LATEST_MS + 1

    @property
    def is_limited(self) -> bool:
        return self != Window()

    def holds(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms < self.until_ms

    def may_reach(self, stable_name: str) -> bool:
        """Whether a file of this folder and name can hold lines of the window. Only Segment's day folders say no."""
        folder, _, file = stable_name.rpartition("/")
        if not (file and folder.isascii() and folder.isdecimal() and len(folder) == DAY_FOLDER_DIGITS):
            return True
        day_ms = int(folder)
        if day_ms % DAY_MS:
            return True
        return day_ms + DAY_MS + MARGIN_MS > self.since_ms and day_ms - MARGIN_MS < self.until_ms


def window_of(since: str | None, until: str | None) -> Window:
    """The window between two texts: days, the last one whole, or times, UTC unless they say otherwise.

    Raises UserError.
    """
    window = Window(
        EARLIEST_MS if since is None else instant_ms(since, "--since"),
        LATEST_MS + 1 if until is None else instant_ms(until, "--until", days_later=1),
    )
    if window.since_ms >= window.until_ms:
        raise UserError(f"nothing is between --since {since} and --until {until}; --since has to be the earlier one")
    return window


def instant_ms(text: str, option: str, *, days_later: int = 0) -> int:
    """Unix milliseconds of a day's beginning, `days_later` days after it, or of a time."""
    try:
        day = date.fromisoformat(text)
        return (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days_later) - EPOCH) // MILLISECOND
    except OverflowError:
        return LATEST_MS + 1
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option} {text} is no day and no time; write it as 2026-03-01 or 2026-03-01T10:00:00Z"
        ) from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND
