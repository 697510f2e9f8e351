"""By which rule track events got their account, summed up by destination, source and UTC day of receipt.

An event that a late fact or a change of trust resolves in another way moves from one rule to the other.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from gainsight_destination.destinations.contract import Delivery
from gainsight_destination.eventlog.contract import DAY_MS

PROPERTIES: Final = 0
CONTEXT: Final = 1
FACT: Final = 2
NONE: Final = 3
RULES: Final = ("properties", "context", "fact", "none")
"""As they are stored, by the numbers above."""
KEPT_DAYS: Final = 90


class Coverage:
    """What one transaction changes in the sums; `flush` writes them."""

    def __init__(self) -> None:
        self._events: dict[tuple[int, int], defaultdict[int, list[int]]] = {}

    def of(self, source_id: int, day: int) -> Mapping[int, list[int]]:
        """Events by destination and rule, to be counted up by who resolves those of a source and a day."""
        events = self._events.get((source_id, day))
        if events is None:
            events = self._events[source_id, day] = defaultdict(lambda: [0] * len(RULES))
        return events

    def enter(self, destination_id: int, delivery: Delivery, in_properties: bool) -> None:
        """A track event that a destination did not get before has its account."""
        rule = rule_of(delivery)
        said = PROPERTIES if in_properties else CONTEXT
        events = self.of(delivery.source_id, delivery.received_at_ms // DAY_MS)[destination_id]
        events[said if rule is None else rule] += 1

    def move(
        self, destination_id: int, delivery: Delivery, before: int | None, in_properties: Callable[[], bool]
    ) -> None:
        """An earlier track event was resolved again; `before` is what `rule_of` said of it then."""
        after = rule_of(delivery)
        if before != after:
            said = PROPERTIES if (before is None or after is None) and in_properties() else CONTEXT
            events = self.of(delivery.source_id, delivery.received_at_ms // DAY_MS)[destination_id]
            events[said if before is None else before] -= 1
            events[said if after is None else after] += 1

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the changes; part of the caller's transaction."""
        connection.executemany(
            "INSERT INTO coverage (day, destination_id, source_id, rule, events) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [
                (day, destination_id, source_id, rule, count)
                for (source_id, day), events in self._events.items()
                for destination_id, counts in events.items()
                for rule, count in zip(RULES, counts, strict=True)
                if count
            ],
        )
        self._events.clear()


def rule_of(delivery: Delivery) -> int | None:
    """FACT or NONE; None for an event that named its account itself and is believed."""
    if delivery.account_id is None:
        return NONE
    return FACT if delivery.said_account is None or delivery.untrusted else None


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Let go of old days; part of the caller's transaction."""
    connection.execute("DELETE FROM coverage WHERE day < ?", (now_ms // DAY_MS - KEPT_DAYS,))
