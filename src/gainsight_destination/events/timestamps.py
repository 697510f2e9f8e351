"""Reads the timestamps SDKs really send, and corrects a client's clock."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DAY_MS = 86_400_000

SECONDS_BELOW = 31_557_600_000
"""A number below this is seconds, else milliseconds: the threshold of Segment's own date parser (new-date)."""

DIGITS_OF_A_DATE = (4, 8)
"""A text of so many digits is YYYY or YYYYMMDD, any other is an epoch number."""

EARLIEST_MS = -62_135_596_800_000
LATEST_MS = 253_402_300_799_999

_LOOSE = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?"
    r"(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?)?"
    r"\s*(Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)


def parse_timestamp_ms(value: object) -> int | None:
    """Unix milliseconds of an ISO-8601 text (any number of fractional digits; no zone means UTC) or an epoch number.

    None when it is absent or no date can be made of it.
    """
    if isinstance(value, str):
        if value.isdecimal() and len(value) not in DIGITS_OF_A_DATE:  # Python would read 13 digits as a day and a time
            return _parse_loosely_ms(value)
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return _parse_loosely_ms(value.strip())
        return _in_utc_ms(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch_ms(value)
    return None


def _parse_loosely_ms(text: str) -> int | None:
    if text.isdecimal() and text.isascii() and len(text) <= 16 and len(text) not in DIGITS_OF_A_DATE:
        return _from_epoch_ms(int(text))
    match = _LOOSE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        parsed = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        ) + timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
        if zone and zone not in "Zz":
            digits = zone[1:].replace(":", "").ljust(4, "0")
            shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
            parsed = parsed - shift if zone[0] == "+" else parsed + shift
    except (ValueError, OverflowError):
        return None
    return _in_utc_ms(parsed)


def _in_utc_ms(moment: datetime) -> int | None:
    since = moment - EPOCH
    return _in_range(since.days * DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000)


def _in_range(milliseconds: int) -> int | None:
    """A time that can be written in UTC: years 1 to 9999; an offset can push a legal text out of them."""
    return milliseconds if EARLIEST_MS <= milliseconds <= LATEST_MS else None


def _from_epoch_ms(number: float) -> int | None:
    if number != number or abs(number) > LATEST_MS:
        return None
    milliseconds = int(number * 1000) if number < SECONDS_BELOW else int(number)
    return _in_range(milliseconds)


def correct_ms(original_ms: int | None, sent_at_ms: int | None, received_at_ms: int) -> int:
    """When it happened by our clock: `received - (sent - original)`, Segment's published formula.

    Without an original time it happened when it was received; without a sent time no clock skew is known.
    """
    if original_ms is None:
        return received_at_ms
    if sent_at_ms is None:
        return original_ms
    corrected = received_at_ms - (sent_at_ms - original_ms)
    return min(max(corrected, EARLIEST_MS), LATEST_MS)


def iso_utc(milliseconds: int) -> str:
    """`2026-03-01T10:00:00.000Z`."""
    moment = EPOCH + milliseconds * MILLISECOND
    if moment.year < 1000:  # whose zeros strftime leaves out
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def utc_day(milliseconds: int) -> int:
    """Days since 1970-01-01, UTC."""
    return milliseconds // DAY_MS


def iso_day(day: int) -> str:
    """`2026-03-01`."""
    return (EPOCH + timedelta(days=day)).date().isoformat()
