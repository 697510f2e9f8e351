"""How each destination chose and placed messages, and since when: what a message without a row of its own stands under.

The rows of settled and of filtered messages are not kept. Which messages a destination got, and which records they
touched, follows from the rules in force where they stand in the log, so those are remembered: a row for each change of
the configuration, and one for each of the few messages that stand otherwise.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gainsight_destination.destinations.contract import Connected, Delivery
from gainsight_destination.events.message import TYPES
from gainsight_destination.records.deliveries import OFFSETS, delivery_id, delivery_ids


class Rules(msgspec.Struct, frozen=True):
    """What decides which messages a destination gets, which accounts it reads in them, and which records they touch
    (`placing`). Stored as JSON."""

    source_ids: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    consent_categories: tuple[str, ...] = ()
    integration_name: str = ""
    allowlist: tuple[str, ...] = ()
    account_names: tuple[str, ...] = ()
    placing: Mapping[str, str] = {}
    """As the destination says, see `RecordDestination.placing`."""

    @classmethod
    def of(cls, connected: Connected) -> "Rules":
        destination = connected.destination
        return cls(
            tuple(sorted(connected.source_ids)),
            tuple(sorted(name for name in TYPES if destination.supports(name))),
            tuple(sorted(connected.consent_categories)),
            destination.integration_name,
            tuple(sorted(destination.allowlist)),
            destination.account_names,
            dict(sorted(destination.placing.items())),
        )


NOT_CONNECTED: Final = Rules()


class PastRules:
    """The rules of one destination at all times, in memory: there is one for each change of them."""

    def __init__(self, connection: sqlite3.Connection, destination_id: int) -> None:
        self._connection = connection
        self._destination_id = destination_id
        rows = connection.execute(
            "SELECT from_offset, id, rules FROM destination_rules WHERE destination_id = ? ORDER BY from_offset",
            (destination_id,),
        ).fetchall()
        self._from = [row[0] for row in rows]
        self._ids = [row[1] for row in rows]
        self._rules = {row[1]: msgspec.json.decode(row[2], type=Rules) for row in rows}
        self._never_differed = len({_resolves(rules) for rules in self._rules.values() if rules.placing}) <= 1

    @property
    def now(self) -> Rules:
        """The rules in force."""
        return self._rules[self._ids[-1]] if self._ids else NOT_CONNECTED

    @property
    def now_id(self) -> int:
        return int(self._ids[-1])

    def at(self, offset: int) -> Rules:
        """The rules in force when the message at an offset was resolved first."""
        position = bisect_right(self._from, offset) - 1
        return NOT_CONNECTED if position < 0 else self._rules[self._ids[position]]

    def of(self, offset: int) -> Rules:
        """The rules under which a message stands: a replay or a correction may have placed it anew."""
        row = self._connection.execute(
            "SELECT placed_under FROM stands WHERE id = ?", (delivery_id(self._destination_id, offset),)
        ).fetchone()
        return self.at(offset) if row is None or row[0] is None else self._rules[row[0]]

    def differing(self, offset: int) -> Rules | None:
        """The rules under which a message stands, if it would be resolved or placed otherwise today."""
        if self._never_differed:
            return None
        rules = self.of(offset)
        return None if not rules.placing or _resolves(rules) == _resolves(self.now) else rules

    def placing_of(self, delivery: Delivery) -> Mapping[str, str] | None:
        """How a message is placed if not as today, else None."""
        rules = self.differing(delivery.offset)
        return None if rules is None or rules.placing == self.now.placing else rules.placing

    def place_now(self, offset: int) -> None:
        """A message is placed under the rules in force; part of the caller's transaction."""
        self._connection.execute(
            "INSERT INTO stands (id, placed_under) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET placed_under = excluded.placed_under, filtered = NULL",
            (delivery_id(self._destination_id, offset), self.now_id),
        )


def _resolves(rules: Rules) -> tuple[object, ...]:
    """What of the rules decides which records a message touches."""
    return rules.account_names, tuple(rules.placing.items())


def keep_rules(connection: sqlite3.Connection, destinations: Sequence[Connected]) -> None:
    """From what is read next on, these destinations choose and place as they do now; the others get nothing."""
    (next_offset,) = connection.execute("SELECT next_offset FROM reader").fetchone()
    wanted = {connected.id: Rules.of(connected) for connected in destinations}
    known = connection.execute("SELECT DISTINCT destination_id FROM destination_rules")
    wanted = {destination_id: NOT_CONNECTED for (destination_id,) in known} | wanted
    for destination_id, rules in sorted(wanted.items()):
        if PastRules(connection, destination_id).now != rules:
            connection.execute(
                "INSERT INTO destination_rules (destination_id, from_offset, rules) VALUES (?,?,?)"
                " ON CONFLICT DO UPDATE SET rules = excluded.rules",
                (destination_id, next_offset, msgspec.json.encode(rules).decode()),
            )


def rules_begin(connection: sqlite3.Connection) -> int:
    """The offset before which nothing of this is known."""
    (offset,) = connection.execute('SELECT "offset" FROM rules_begin').fetchone()
    return int(offset)


def placed_anew(connection: sqlite3.Connection, offset: int) -> set[int]:
    """Destinations that got a message since it was resolved first, whatever was decided then."""
    ids = [
        delivery_id(destination_id, offset) for (destination_id,) in connection.execute("SELECT id FROM destinations")
    ]
    rows = connection.execute(
        "SELECT id FROM stands WHERE placed_under IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
        (str(ids),),
    )
    return {row_id // OFFSETS for (row_id,) in rows}


def forgotten_as_filtered(connection: sqlite3.Connection, destination_id: int, filtered: Iterable[Delivery]) -> None:
    """Remember of messages whose rows go why they were filtered."""
    connection.executemany(
        "INSERT INTO stands (id, filtered) VALUES (?, ?) ON CONFLICT DO UPDATE SET filtered = excluded.filtered",
        [(delivery_id(destination_id, delivery.offset), delivery.reason) for delivery in filtered],
    )


def filtered_when_forgotten(connection: sqlite3.Connection, destination_id: int, offset: int) -> str | None:
    """Why a message was filtered whose row is gone; None if it was not, or had none."""
    row = connection.execute(
        "SELECT filtered FROM stands WHERE id = ?", (delivery_id(destination_id, offset),)
    ).fetchone()
    return None if row is None else row[0]


def note_not_taken_in(connection: sqlite3.Connection, offsets: Sequence[int], reason: str) -> None:
    """Remember messages, in log order, that no destination gets, in as few rows as there are stretches."""
    stretches: list[list[int]] = []
    for offset in offsets:
        if stretches and offset == stretches[-1][0] + stretches[-1][1]:
            stretches[-1][1] += 1
        else:
            stretches.append([offset, 1])
    connection.executemany(
        "INSERT OR REPLACE INTO not_taken_in (first_offset, messages, reason) VALUES (?,?,?)",
        [(first, messages, reason) for first, messages in stretches],
    )


def not_taken_in(connection: sqlite3.Connection, from_offset: int, until_offset: int) -> dict[int, str]:
    """Why no destination got a message, by offset, for those in a stretch of the log."""
    rows = connection.execute(
        "SELECT first_offset, messages, reason FROM not_taken_in WHERE first_offset < ?2 AND first_offset >="
        " coalesce((SELECT max(first_offset) FROM not_taken_in WHERE first_offset <= ?1), ?1)",
        (from_offset, until_offset),
    )
    return {
        offset: reason
        for first, messages, reason in rows
        for offset in range(max(first, from_offset), min(first + messages, until_offset))
    }


def forget_before(connection: sqlite3.Connection, offset: int) -> None:
    """Forget what was kept of messages that the log no longer holds."""
    connection.execute("DELETE FROM not_taken_in WHERE first_offset + messages <= ?1 AND first_offset < ?1", (offset,))
    for (destination_id,) in connection.execute("SELECT id FROM destinations").fetchall():
        connection.execute(
            "DELETE FROM stands WHERE id >= ? AND id < ?",
            (delivery_ids(destination_id)[0], destination_id * OFFSETS + offset),
        )


def note_days(connection: sqlite3.Connection, first_offsets: Mapping[int, int]) -> None:
    """Remember where in the log UTC days began."""
    connection.executemany("INSERT OR IGNORE INTO log_days (day, first_offset) VALUES (?,?)", first_offsets.items())


def first_offset_of_day(connection: sqlite3.Connection, day: int) -> int:
    """Where a UTC day began in the log, which may not hold it any more; 0 for a time before all that is known."""
    (offset,) = connection.execute(
        "SELECT coalesce(max(first_offset), 0) FROM log_days WHERE day <= ?", (day,)
    ).fetchone()
    return int(offset)
