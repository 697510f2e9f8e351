"""Figures, times and short messages as people read them."""

import base64
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from starlette.requests import Request

from gainsight_destination.events.emails import normalise_email

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
LONGEST_FLASH = 1_500


def number(value: float | None) -> str:
    """1,234; a dash for what is not known."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(part: float, whole: float) -> str:
    return "–" if not whole else f"{100 * part / whole:.1f} %"


def duration(milliseconds: float | None) -> str:
    """The largest unit that fits: 250 ms, 12 s, 5 min, 3 h, 2 d."""
    if milliseconds is None:
        return "–"
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s")):
        if milliseconds >= unit:
            return f"{milliseconds / unit:.0f} {name}"
    return f"{milliseconds:.0f} ms"


def exact(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(at_ms: int | None, now_ms: int) -> Markup:
    """How long ago, or in how long, with the exact time on hover."""
    if at_ms is None:
        return Markup("–")
    distance = now_ms - at_ms
    if abs(distance) < SECOND_MS:
        text = "now"
    else:
        text = f"{duration(distance)} ago" if distance > 0 else f"in {duration(-distance)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(at_ms), exact(at_ms), text)


def day(days: int) -> str:
    """A day of UTC, from its number since 1970-01-01."""
    return datetime.fromtimestamp(days * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")


def size(count: int) -> str:
    """Bytes, in decimal units."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1_000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:,.1f} TB"


def now_ms(request: Request) -> int:
    return int(request.app.state.house.now_ms())


def packed(kind: str, text: str) -> str:
    """A short message for a cookie."""
    return base64.urlsafe_b64encode(f"{kind}\n{text[:LONGEST_FLASH]}".encode()).decode("ascii")


def unpacked(cookie: str) -> tuple[str, str] | None:
    """Kind and text; None for what nobody packed."""
    try:
        kind, _, text = base64.urlsafe_b64decode(cookie.encode("ascii")).decode().partition("\n")
    except ValueError:
        return None
    return (kind if kind == "bad" else "good", text) if text else None


def masked_email(text: str) -> str:
    """An e-mail address as those see it who may not see personal data: a***@example.com."""
    email = normalise_email(text)
    return f"{text[:1]}***" if email is None else f"{email[:1]}***@{email.rpartition('@')[2]}"


def masked(value: Any, key: str = "") -> Any:
    """JSON with its texts and numbers masked, but for what names an account, an event, or a moment."""
    if isinstance(value, dict):
        return {name: masked(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, key) for inner in value]
    if value is None or isinstance(value, bool) or key.lower().replace("_", "") in PLAIN:
        return value
    email = normalise_email(value) if isinstance(value, str) else None
    return "***" if email is None else masked_email(email)


PLAIN = frozenset(
    {"type", "event", "messageid", "groupid", "accountid", "timestamp", "sentat", "receivedat", "originaltimestamp"}
)
