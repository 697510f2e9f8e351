"""Dates as Gainsight takes and gives them. Inside the sandbox a date is a number of milliseconds since 1970 UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAY_MS: Final = 86_400_000
OLDEST_EPOCH_MS: Final = 100_000_000_000
"""Smaller integers are no plausible milliseconds: Gainsight refuses 210318 for a DATE."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS: Final = -62_135_596_800_000
"""The first moment of the year 1; what comes before it is no date."""
LAST_MS: Final = 253_402_300_799_999
"""The last moment of the year 9999."""
MAX_OFFSET_MINUTES: Final = 14 * 60
DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,3}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)


def parse_written_date(value: Any) -> int | None:
    """A value sent for a DATE: `YYYY-MM-DD` or epoch milliseconds; None when it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value // DAY_MS * DAY_MS if abs(value) >= OLDEST_EPOCH_MS and FIRST_MS <= value <= LAST_MS else None
    return _day_ms(value) if isinstance(value, str) else None


def parse_written_datetime(value: Any) -> int | None:
    """A value sent for a DATETIME: ISO-8601 with `T` and an offset or Z, at most milliseconds; None otherwise."""
    if not isinstance(value, str) or "T" not in value:
        return None
    match = MOMENT.fullmatch(value)
    return None if match is None or match[8] is None else _moment_ms(match, 0)


def parse_filter_date(value: Any, *, utc_offset_hours: float) -> int | None:
    """A value in a filter: a day, or a moment with or without an offset, or epoch milliseconds.

    A moment without an offset is read in the tenant's time zone, which Gainsight sets to US Pacific.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    match = MOMENT.fullmatch(value)
    if match is None:
        return _day_ms(value)
    return _moment_ms(match, utc_offset_hours)


def format_date(value_ms: int, form: str, *, day_only: bool) -> int | str:
    """A date as a query gives it, in one of the forms of the switch `dates_in_reads`."""
    if form == "epoch_ms":
        return value_ms
    moment = EPOCH + timedelta(milliseconds=value_ms)
    if form == "plain":
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + str(moment.microsecond // 100_000)
    if day_only:
        return moment.strftime("%Y-%m-%d")
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def readable(value_ms: int) -> str:
    """A moment for people, in UTC."""
    return (EPOCH + timedelta(milliseconds=value_ms)).strftime("%Y-%m-%d %H:%M:%S")


def _day_ms(text: str) -> int | None:
    match = DAY.fullmatch(text)
    if match is None:
        return None
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    except ValueError:
        return None
    return _ms(day)


def _moment_ms(match: "re.Match[str]", default_offset_hours: float) -> int | None:
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    milliseconds = int((match[7] or "0").ljust(3, "0"))
    offset = match[8]
    if offset is None:
        minutes = round(default_offset_hours * 60)
    elif offset == "Z":
        minutes = 0
    else:
        digits = offset[1:].replace(":", "")
        minutes = (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if offset[0] == "-" else 1)
        if int(digits[2:]) > 59 or abs(minutes) > MAX_OFFSET_MINUTES:
            return None
    try:
        moment = datetime(year, month, day, hour, minute, second, milliseconds * 1_000, tzinfo=UTC)
    except ValueError:
        return None
    value_ms = _ms(moment) - minutes * 60_000
    return value_ms if FIRST_MS <= value_ms <= LAST_MS else None


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
