"""Overview: what came, where it stands, and what needs somebody."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.console.charts import Chart, Line, chart
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page
from gainsight_destination.ingest.levels import read_refused
from gainsight_destination.observe.history import LATENCY_P50_MS, LATENCY_P95_MS, History, history
from gainsight_destination.observe.status import status
from gainsight_destination.observe.words import BOOKS, NOTICES, RECORD_STATES, reason_words, unmapped_trait
from gainsight_destination.records.history import CALLS, RECEIVED, REFUSED_CALLS

TONES: Final = {
    "delivered": "good",
    "pending": "busy",
    "parked": "wait",
    "filtered": "quiet",
    "duplicates": "quiet",
    "discarded": "bad",
    "dead": "bad",
}


class Share(NamedTuple):
    """A part of the books: its name, what it says, how many, what colour, and its reasons."""

    name: str
    words: str
    messages: int
    tone: str
    reasons: tuple[tuple[str, int], ...]


async def status_of(house: House) -> dict[str, Any]:
    """The status document, with what the public port refuses."""
    document = await house.read(lambda connection: status(connection, house.log, house.now_ms()))
    return {**document, "refused": read_refused(house.data_dir)}


def shares(books: Mapping[str, Any]) -> list[Share]:
    """The equation: received is the sum of these."""
    found = []
    for name, words in BOOKS.items():
        value = books[name]
        reasons = value if isinstance(value, dict) else {}
        count = sum(reasons.values()) if isinstance(value, dict) else value
        told = tuple(
            (reason_words(name, reason), times) for reason, times in sorted(reasons.items(), key=lambda item: -item[1])
        )
        found.append(Share(name, words, count, TONES[name], told))
    return found


def remarks(notices: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, int]]:
    """What may want looking at, in words, with how often it was so."""
    for kind, subjects in notices.items():
        if kind == "trait_unmapped":
            continue
        names = ", ".join(subject for subject in sorted(subjects)[:5] if subject)
        more = f" and {len(subjects) - 5} more" if len(subjects) > 5 else ""
        yield f"{NOTICES.get(kind, kind)}{f': {names}{more}' if names else ''}", sum(subjects.values())


def unmapped(notices: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Traits without a field, as sentences."""
    found = sorted(notices.get("trait_unmapped", {}).items(), key=lambda item: -item[1])
    return [unmapped_trait(subject, times) for subject, times in found]


CHART_MS: Final = 24 * 3_600_000
STEP_MS: Final = 15 * 60_000


async def charts_of(house: House, document: Mapping[str, Any]) -> dict[str, list[Chart]]:
    """Charts of the last 24 hours, by destination: delivered, latency, calls."""
    now_ms = house.now_ms()
    found = await house.read(lambda connection: history(connection, now_ms - CHART_MS, now_ms, STEP_MS))
    series = {(each.destination, each.source, each.figure): each.values for each in found.series}
    first, last = "24 h ago", "now"

    def lines(destination: str | None, *figures: tuple[str, str]) -> list[Line]:
        return [Line(name, series.get((destination, None, figure), [])) for name, figure in figures]

    received = received_in_all(found)
    charts: dict[str, list[Chart]] = {}
    for name in document["destinations"]:
        delivered = [*lines(name, ("delivered", "delivered")), Line("received", received)]
        latency = lines(name, ("p50", LATENCY_P50_MS), ("p95", LATENCY_P95_MS))
        calls = lines(name, ("answered", CALLS), ("refused", REFUSED_CALLS))
        charts[name] = [
            chart("Messages in 15 minutes", "", delivered, first, last),
            chart("From receipt to delivery", "s", [seconds(line) for line in latency], first, last),
            chart("Calls in 15 minutes", "", calls, first, last),
        ]
    return charts


def seconds(line: Line) -> Line:
    return Line(line.name, [None if value is None else -(-value // 1000) for value in line.values])


def received_in_all(found: History) -> list[int | None]:
    """Messages received, of all sources together."""
    each = [series.values for series in found.series if series.destination is None and series.figure == RECEIVED]
    return [sum(value or 0 for value in values) for values in zip(*each, strict=True)]


async def index(request: Request) -> Response:
    """All sources and destinations at a glance."""
    house = house_of(request)
    document = await status_of(house)
    return page(
        request,
        "overview.html",
        document=document,
        charts=await charts_of(house, document),
        shares={name: shares(books) for name, books in document["destinations"].items()},
        remarks={name: list(remarks(books["notices"])) for name, books in document["destinations"].items()},
        unmapped={name: unmapped(books["notices"])[:5] for name, books in document["destinations"].items()},
        record_states=RECORD_STATES,
        reasons=[*house.reasons()],
        notes=[*house.notes()],
    )


PAGES = (Page("/overview", index),)
