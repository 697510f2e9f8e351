"""Lists of what a person may want to do something about. Read from kept sums and small indexes."""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gainsight_destination.deliver.forecast import Kind, forecast
from gainsight_destination.deliver.quota import Spent
from gainsight_destination.destinations.contract import Connected, Delivery
from gainsight_destination.destinations.gainsight.placement import COMPANY
from gainsight_destination.eventlog.contract import DAY_MS
from gainsight_destination.events.message import decode_body
from gainsight_destination.observe.names import Names
from gainsight_destination.resolve.coverage import RULES
from gainsight_destination.resolve.event_days import OTHERS
from gainsight_destination.resolve.filters import Allowlist

LISTED: Final = 100
COUNTED: Final = 1_000
SAMPLED_BODIES: Final = 1_000
ID_ENOUGH: Final = 1

TRAIT_UNMAPPED: Final = "trait_unmapped"
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")


# -- accounts


class UnknownAccount(msgspec.Struct, frozen=True):
    """An account that messages name and whose Company Gainsight does not have, as of `checked_at_ms`.

    `records`: delivered without their Company, and due once it is there. `messages`: those that wait for the Company's
    record. Both are counted up to COUNTED.
    """

    destination: str
    account: str
    checked_at_ms: int
    records: int
    messages: int
    reason: str
    """Why the Company's record is parked, if it is."""


def unknown_accounts(connection: sqlite3.Connection, limit: int = LISTED) -> list[UnknownAccount]:
    """Those looked for last come first."""
    names = Names.of(connection)
    rows = connection.execute(
        "SELECT k.destination_id, k.name, k.checked_at_ms, (SELECT count(*) FROM (SELECT 1 FROM references_missing m"
        " WHERE m.destination_id = k.destination_id AND m.object = ?2 AND m.name = k.name LIMIT ?1)),"
        " r.id, iif(r.state = 'parked', r.reason, '')"
        " FROM (SELECT destination_id, references_known.name, checked_at_ms FROM destinations JOIN references_known"
        " ON destination_id = destinations.id AND object = ?2 AND remote_id IS NULL"
        " ORDER BY checked_at_ms DESC, references_known.name LIMIT ?3) k"
        " LEFT JOIN records r ON r.destination_id = k.destination_id AND r.object = ?2 AND r.shared = 1"
        " AND r.key = (SELECT CAST(id AS TEXT) FROM accounts WHERE value = k.name)"
        " ORDER BY k.checked_at_ms DESC, k.name",
        (COUNTED, COMPANY, limit),
    ).fetchall()
    return [
        UnknownAccount(
            names.destination(destination_id),
            name,
            checked_at_ms,
            records,
            _waiting(connection, record_id),
            reason or "",
        )
        for destination_id, name, checked_at_ms, records, record_id, reason in rows
    ]


def count_unknown_accounts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many there are, by destination."""
    names = Names.of(connection)
    return {
        name: connection.execute(
            "SELECT count(*) FROM references_known WHERE destination_id = ? AND object = ? AND remote_id IS NULL",
            (destination_id, COMPANY),
        ).fetchone()[0]
        for destination_id, name in names.destinations.items()
    }


def _waiting(connection: sqlite3.Connection, record_id: int | None) -> int:
    (waiting,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM touches WHERE record_id = ? LIMIT ?)", (record_id, COUNTED)
    ).fetchone()
    return int(waiting)


# -- traits


class UnmappedTrait(msgspec.Struct, frozen=True):
    """A trait that goes nowhere. `times`: records delivered without it; `types`: what its newest values are, by how
    many of them: text, date, number, boolean, list, object or null. Never a value itself."""

    destination: str
    object: str
    trait: str
    times: int
    types: dict[str, int]


def unmapped_traits(connection: sqlite3.Connection) -> list[UnmappedTrait]:
    """The most frequent first."""
    names = Names.of(connection)
    rows = connection.execute(
        "SELECT destination_id, subject, times FROM notices WHERE kind = ? ORDER BY times DESC, subject",
        (TRAIT_UNMAPPED,),
    ).fetchall()
    split = [(destination_id, *_object_and_trait(subject), times) for destination_id, subject, times in rows]
    types = _types_of(connection, {trait for _, _, trait, _ in split})
    return [
        UnmappedTrait(names.destination(destination_id), object_name, trait, times, types.get(trait, {}))
        for destination_id, object_name, trait, times in split
    ]


def _object_and_trait(subject: str) -> tuple[str, str]:
    """Of a notice; all traits beyond the first so many stand together under no object."""
    object_name, dot, trait = subject.partition(".")
    return (object_name, trait) if dot else ("", subject)


def _types_of(connection: sqlite3.Connection, wanted: set[str]) -> dict[str, dict[str, int]]:
    """Types of traits by how often they come in the newest bodies."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (body,) in connection.execute("SELECT body FROM bodies ORDER BY offset DESC LIMIT ?", (SAMPLED_BODIES,)):
        traits = decode_body(body)
        for name in wanted & traits.keys():
            found[name][_type_of(traits[name])] += 1
    return {name: dict(types) for name, types in found.items()}


def _type_of(value: Any) -> str:
    if isinstance(value, str):
        return "date" if _DATE.fullmatch(value) else "text"
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "list" if isinstance(value, list) else "object"


# -- events


class EventVolume(msgspec.Struct, frozen=True):
    """A track event and how often it came on each day asked for, oldest first.

    `allowed`: by destination, whether its allowlist lets it through today. `calls_per_day`: by destination, the calls
    that delivering it takes on an average day, at most: each event might be the only one of its usage record.
    """

    event: str
    days: list[int]
    allowed: dict[str, bool]
    calls_per_day: dict[str, int]


class EventVolumes(msgspec.Struct, frozen=True):
    """Names of track events, the most frequent first. `others`: events of names beyond the first of a day, by day."""

    first_day: int
    """Days since 1970-01-01."""
    events: list[EventVolume]
    others: list[int]


def event_volumes(
    connection: sqlite3.Connection, destinations: Sequence[Connected], now_ms: int, days: int = 7, limit: int = 500
) -> EventVolumes:
    """What came on the last `days` days of UTC, today among them."""
    first_day = now_ms // DAY_MS - days + 1
    volumes: dict[str, list[int]] = {}
    for day, event, messages in connection.execute(
        "SELECT day, event, messages FROM event_days WHERE day >= ? AND day < ?", (first_day, first_day + days)
    ):
        volumes.setdefault(event, [0] * days)[day - first_day] = messages
    others = volumes.pop(OTHERS, [0] * days)
    most = sorted(volumes.items(), key=lambda item: (-sum(item[1]), item[0]))[:limit]
    allowlists = {connected.name: Allowlist(connected.destination.allowlist) for connected in destinations}
    return EventVolumes(
        first_day,
        [
            EventVolume(
                event,
                counts,
                {name: allowlist.allows(event) for name, allowlist in allowlists.items()},
                {c.name: calls_per_day(c, event, -(-sum(counts) // days)) for c in destinations},
            )
            for event, counts in most
        ],
        others,
    )


def calls_per_day(connected: Connected, event: str, events: int) -> int:
    """The calls that so many track events a day take, at most."""
    destination = connected.destination
    if not events or not destination.supports("track"):
        return 0
    example = Delivery(0, 0, "track", "", ID_ENOUGH, None, 0, 0, event_id=ID_ENOUGH, account_id=ID_ENOUGH, user_id=1)
    objects = [contribution.object for contribution in destination.place(example, lambda _: event).contributions]
    waiting = {Kind(name, "absent", None): events for name in objects}
    return forecast(destination.objects, waiting, destination.limits, Spent(0, 0, 0), 0).calls


# -- coverage


class Coverage(msgspec.Struct, frozen=True):
    """Track events of a source for a destination on a UTC day of receipt, by the rule that gave them their account:
    `properties`, `context` (its groupId), `fact` (the user's account in force) or `none`."""

    day: int
    destination: str
    source: str
    events: dict[str, int]

    @property
    def share(self) -> float:
        """The part of the events that have an account."""
        total = sum(self.events.values())
        return 1 - self.events["none"] / total if total else 0.0


def coverage(connection: sqlite3.Connection, now_ms: int, days: int = 7) -> list[Coverage]:
    """The last `days` days of UTC, today among them, newest first."""
    names = Names.of(connection)
    found: dict[tuple[int, int, int], dict[str, int]] = defaultdict(lambda: dict.fromkeys(RULES, 0))
    for day, destination_id, source_id, rule, events in connection.execute(
        "SELECT day, destination_id, source_id, rule, events FROM coverage WHERE day > ?",
        (now_ms // DAY_MS - days,),
    ):
        found[day, destination_id, source_id][rule] = events
    return [
        Coverage(day, names.destination(destination_id), names.source(source_id), events)
        for (day, destination_id, source_id), events in sorted(found.items(), key=lambda item: (-item[0][0], item[0]))
        if any(events.values())
    ]
