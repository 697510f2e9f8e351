"""By which rule track events got their account, summed up by destination, source and UTC day of receipt.

An event that a late fact or a change of trust resolves in another way moves from one rule to the other.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Final

from gainsight_destination.destinations.contract import Delivery
from gainsight_destination.eventlog.contract import DAY_MS

PROPERTIES: Final = "properties"
CONTEXT: Final = "context"
FACT: Final = "fact"
NONE: Final = "none"
RULES: Final = (PROPERTIES, CONTEXT, FACT, NONE)
KEPT_DAYS: Final = 90


class Coverage:
    """What one transaction changes in the sums; `flush` writes them."""

    def __init__(self) -> None:
        self._events: Counter[tuple[int, int, int, str]] = Counter()

    def enter(self, destination_id: int, delivery: Delivery, *, in_properties: bool) -> None:
        """Count a resolved track event. `in_properties`: the account that it names, if any, is in its properties."""
        rule = rule_of(delivery) or (PROPERTIES if in_properties else CONTEXT)
        self._events[delivery.received_at_ms // DAY_MS, destination_id, delivery.source_id, rule] += 1

    def move(
        self, destination_id: int, delivery: Delivery, before: str | None, in_properties: Callable[[], bool]
    ) -> None:
        """An earlier track event was resolved again; `before` is what `rule_of` said of it then."""
        after = rule_of(delivery)
        if before != after:
            said = PROPERTIES if (before is None or after is None) and in_properties() else CONTEXT
            place = (delivery.received_at_ms // DAY_MS, destination_id, delivery.source_id)
            self._events[*place, before or said] -= 1
            self._events[*place, after or said] += 1

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the changes; part of the caller's transaction."""
        connection.executemany(
            "INSERT INTO coverage (day, destination_id, source_id, rule, events) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [(*place, events) for place, events in self._events.items() if events],
        )
        self._events.clear()


def rule_of(delivery: Delivery) -> str | None:
    """FACT or NONE; None for an event that named its account itself and is believed."""
    if delivery.account_id is None:
        return NONE
    return FACT if delivery.said_account is None or delivery.untrusted else None


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Let go of old days; part of the caller's transaction."""
    connection.execute("DELETE FROM coverage WHERE day < ?", (now_ms // DAY_MS - KEPT_DAYS,))
