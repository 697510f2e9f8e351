"""Which destinations each message goes to, decided before anything is known of users and accounts."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.events.message import Message
from gainsight_destination.records.past_rules import Rules
from gainsight_destination.resolve.filters import (
    FILTERED_BY_ALLOWLIST,
    FILTERED_BY_CONSENT,
    FILTERED_BY_INTEGRATIONS,
    FILTERED_BY_TYPE,
    Allowlist,
    consented,
    enabled_by_integrations,
)

NOT_CONNECTED: Final = "not_connected"
"""The source of a message is not connected to a destination, which therefore never receives it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One decision for all destinations: where to deliver, and why not elsewhere."""

    id: int
    accepted: tuple[Connected, ...]
    filtered: tuple[tuple[Connected, str], ...]


class Router:
    """Decides routes; equal decisions are stored once."""

    def __init__(self, connection: sqlite3.Connection, destinations: Sequence[Connected]) -> None:
        self._connection = connection
        self._destinations = destinations
        self._rules = {connected.id: Rules.of(connected) for connected in destinations}
        self._allowlists = {connected.id: Allowlist(connected.destination.allowlist) for connected in destinations}
        self._asking = [connected for connected in destinations if connected.consent_categories]
        self._plain: dict[tuple[int, str, str | None, tuple[int, ...]], Route] = {}
        self._stored: dict[str, int] = {}

    def route(self, message: Message) -> Route:
        if message.integrations:
            return self._decide(message)
        refused = self._refused(message) if self._asking and message.consent else ()
        key = (message.source_id, message.type, message.event, refused)
        route = self._plain.get(key)
        if route is None:
            if len(self._plain) > 100_000:
                self._plain.clear()
            route = self._plain[key] = self._decide(message)
        return route

    def reason(self, message: Message, connected: Connected) -> str | None:
        """Why a destination does not get a message today; None when it does."""
        if message.source_id not in connected.source_ids:
            return NOT_CONNECTED
        return filter_reason(message, self._rules[connected.id], self._allowlists[connected.id])

    def _refused(self, message: Message) -> tuple[int, ...]:
        """Destinations that the end user did not consent to: few combinations, however consent is written."""
        return tuple(c.id for c in self._asking if not consented(message.consent, c.consent_categories))

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back."""
        self._plain.clear()
        self._stored.clear()

    def _decide(self, message: Message) -> Route:
        accepted, filtered = [], []
        for connected in self._destinations:
            if message.source_id not in connected.source_ids:
                continue
            reason = filter_reason(message, self._rules[connected.id], self._allowlists[connected.id])
            if reason is None:
                accepted.append(connected)
            else:
                filtered.append((connected, reason))
        decisions: dict[str, str | None] = {str(c.id): None for c in accepted}
        decisions |= {str(connected.id): reason for connected, reason in filtered}
        return Route(self._store(json.dumps(decisions, sort_keys=True)), tuple(accepted), tuple(filtered))

    def _store(self, decisions: str) -> int:
        route_id = self._stored.get(decisions)
        if route_id is None:
            self._connection.execute("INSERT OR IGNORE INTO routes (decisions) VALUES (?)", (decisions,))
            (route_id,) = self._connection.execute("SELECT id FROM routes WHERE decisions = ?", (decisions,)).fetchone()
            self._stored[decisions] = route_id
        return route_id


def filter_reason(message: Message, rules: Rules, allowlist: Allowlist) -> str | None:
    """Why a destination of these rules, with the allowlist made of them, does not get a message of a source that is
    connected to it; None when it does. The order is Segment's: type, consent, the rest."""
    if message.type not in rules.types:
        return FILTERED_BY_TYPE
    if not consented(message.consent, rules.consent_categories):
        return FILTERED_BY_CONSENT
    if not enabled_by_integrations(message.integrations, rules.integration_name):
        return FILTERED_BY_INTEGRATIONS
    if message.event is not None and not allowlist.allows(message.event):
        return FILTERED_BY_ALLOWLIST
    return None
