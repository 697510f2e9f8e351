"""Overview: what came, where it stands, and what needs somebody."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page
from gainsight_destination.ingest.levels import read_refused
from gainsight_destination.observe.status import status
from gainsight_destination.observe.words import BOOKS, NOTICES, RECORD_STATES, reason_words, unmapped_trait

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


async def index(request: Request) -> Response:
    """All sources and destinations at a glance."""
    house = house_of(request)
    document = await status_of(house)
    return page(
        request,
        "overview.html",
        document=document,
        shares={name: shares(books) for name, books in document["destinations"].items()},
        remarks={name: list(remarks(books["notices"])) for name, books in document["destinations"].items()},
        unmapped={name: unmapped(books["notices"])[:5] for name, books in document["destinations"].items()},
        record_states=RECORD_STATES,
        reasons=[*house.reasons()],
        notes=[*house.notes()],
    )


PAGES = (Page("/overview", index),)
