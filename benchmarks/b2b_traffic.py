"""A day of B2B traffic, and the least number of calls that could deliver it.

The bound is counted from the messages alone, by what each one changes; no code of the product has a part in it.
"""

import math
import random
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from gainsight_destination.events.timestamps import iso_utc

ACCOUNTS, USERS, NAMES = 200, 2_000, 30
DAY_MS = 86_400_000
BATCH_RECORDS = 50


class Timed(NamedTuple):
    """A message and when it comes."""

    at_ms: int
    message: dict[str, Any]


def day(events: int, start_ms: int, accounts: list[str]) -> list[Timed]:
    """Messages in order of time; one in a hundred comes twice."""
    chance = random.Random(5)
    said: dict[int, int] = {}
    found: list[Timed] = []
    for number in range(events):
        at_ms = start_ms + number * DAY_MS // events
        user = chance.randrange(USERS)
        message: dict[str, Any] = {"userId": f"user-{user}", "messageId": f"b2b-{number}", "timestamp": iso_utc(at_ms)}
        account = accounts[user % len(accounts)]
        kind = chance.random()
        if kind < 0.10:
            if user not in said or chance.random() > 0.7:
                said[user] = said.get(user, 0) + 1
            traits = {"email": f"user{user}@example.com", "accountId": account, "firstName": f"V{said[user]}"}
            message |= {"type": "identify", "traits": traits}
        elif kind < 0.15:
            message |= {"type": "group", "groupId": account, "traits": {"industry": "Software"}}
        elif kind < 0.95:
            event = f"Event {chance.randrange(NAMES)}"
            message |= {"type": "track", "event": event, "properties": {"accountId": account}}
        else:
            message |= {"type": "page", "name": "Home"}
        found.append(Timed(at_ms, message))
        if chance.random() < 0.01:
            found.append(Timed(at_ms, message))
    return found


class Bound(NamedTuple):
    """Least calls: as defined, and with records that are new apart from those that are there, as the API wants."""

    calls_of: dict[str, int]
    calls_apart: int
    records: dict[str, int]

    @property
    def calls(self) -> int:
        return sum(self.calls_of.values())


class Tenant:
    """What Gainsight would hold; `take` gives the records that a message changes, as (object, key)."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.first_names: dict[str, str] = {}
        self.companies: set[str] = set()
        self.rows_of: dict[str, set[tuple[str, str]]] = defaultdict(set)

    def take(self, timed: Timed) -> set[tuple[str, str]]:
        message = timed.message
        if message["messageId"] in self.seen:
            return set()
        self.seen.add(message["messageId"])
        user = message["userId"]
        if message["type"] == "track":
            day = timed.at_ms // DAY_MS
            usage = f"{message['properties']['accountId']}/{user}/{message['event']}/{day}"
            rows = {("event", message["messageId"]), ("usage", usage)}
            self.rows_of[user] |= rows
            return rows
        if message["type"] == "identify":
            return self._identify(user, message["traits"]["firstName"])
        if message["type"] == "group" and message["groupId"] not in self.companies:
            self.companies.add(message["groupId"])
            return {("company", message["groupId"])}
        return set()

    def _identify(self, user: str, first_name: str) -> set[tuple[str, str]]:
        """A repeat changes nothing; the first of a user also gives all earlier rows of that user their Person."""
        before = self.first_names.get(user)
        self.first_names[user] = first_name
        if before == first_name:
            return set()
        return {("person", user)} | (self.rows_of[user] if before is None else set())


def lower_bound(messages: list[Timed], start_ms: int, flush_ms: int) -> Bound:
    """The sum of ceil(distinct changed records / 50) over each object and each flush window from the day's start."""
    tenant = Tenant()
    changed: dict[tuple[int, str], set[str]] = defaultdict(set)
    held: dict[str, set[str]] = defaultdict(set)
    new: dict[tuple[int, str], set[str]] = defaultdict(set)
    for timed in messages:
        window = (timed.at_ms - start_ms) // flush_ms
        for name, key in tenant.take(timed):
            changed[window, name].add(key)
            if key not in held[name]:
                held[name].add(key)
                new[window, name].add(key)

    def calls(records: int) -> int:
        return math.ceil(records / BATCH_RECORDS)

    apart = sum(calls(len(new[place])) + calls(len(keys - new[place])) for place, keys in changed.items())
    calls_of: Counter[str] = Counter()
    for (_, name), keys in changed.items():
        calls_of[name] += calls(len(keys))
    return Bound(dict(calls_of), apart, {name: len(keys) for name, keys in held.items()})
