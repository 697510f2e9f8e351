"""The live feed: the newest messages of the log with what was decided about each.

It is read backwards from the end of the log, over a bounded stretch, so that polling it twice a second is cheap however
fast messages come. What a message says is read from the log, what became of it from the state; the state is looked at
first, so a message may be shown as not resolved yet, never with decisions that are not its own.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from gainsight_destination.eventlog.contract import EventLog, LoggedEntry
from gainsight_destination.events.message import Discarded, Message, read_entry
from gainsight_destination.observe.names import Names
from gainsight_destination.records.deliveries import OFFSETS, delivery_id
from gainsight_destination.resolve.duplicates import digest_of

LOOK_BACK_MESSAGES: Final = 2_000
CHUNK_MESSAGES: Final = 100
MAX_AGAIN: Final = 200

UNRESOLVED: Final = "unresolved"
RESOLVED: Final = "resolved"
DISCARDED: Final = "discarded"
DUPLICATE: Final = "duplicate"
SETTLED: Final = "settled"
"""Of an outcome: the message reached its end so long ago that no more is remembered of it."""


class Filter(msgspec.Struct, frozen=True):
    """Which messages to show; None: whatever it is. `source` and `destination` are names.

    `user`: a userId or anonymousId, of the message or of the user that it was resolved to. `account`: the one it was
    resolved to. `outcome`: a state at any destination (at `destination`, if that is given) or of the message itself.
    """

    type: str | None = None
    event: str | None = None
    user: str | None = None
    account: str | None = None
    source: str | None = None
    destination: str | None = None
    outcome: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of a message at one destination: filtered, parked, pending, delivered, dead or SETTLED."""

    destination: str
    state: str
    reason: str = ""


class FeedMessage(msgspec.Struct, frozen=True):
    """A message of the log. `state`: UNRESOLVED, RESOLVED, DISCARDED (with the reason) or DUPLICATE.

    A discarded message has neither id nor type. `user` and `account` are those it was resolved to, else its own.
    """

    offset: int
    source: str
    received_at_ms: int
    state: str
    reason: str = ""
    message_id: str | None = None
    type: str | None = None
    event: str | None = None
    at_ms: int | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    user: str | None = None
    account: str | None = None
    outcomes: tuple[Outcome, ...] = ()


class Feed(msgspec.Struct, frozen=True):
    """Messages in log order. `cursor`: where to go on after them. `skipped`: messages since the last cursor that were
    not looked at, because there were too many."""

    messages: list[FeedMessage]
    cursor: int
    skipped: int


def live_after(
    connection: sqlite3.Connection, log: EventLog, cursor: int | None, wanted: Filter, limit: int = 50
) -> Feed:
    """The newest messages after a cursor (None: of all), at most `limit`, from the last LOOK_BACK_MESSAGES.

    `connection` is inside a read transaction.
    """
    teller = _Teller(connection, wanted)
    end = log.end()
    since = cursor if cursor is not None and cursor <= end else None
    oldest = max(log.start(), end - LOOK_BACK_MESSAGES, since or 0)
    messages, looked_from = teller.newest(log, oldest, end, limit)
    return Feed(messages, end, 0 if since is None else max(0, looked_from - since))


def live_before(connection: sqlite3.Connection, log: EventLog, offset: int, wanted: Filter, limit: int = 50) -> Feed:
    """The messages just before an offset, as `live_after`; `cursor` is where to go on before them."""
    oldest = max(log.start(), offset - LOOK_BACK_MESSAGES)
    messages, looked_from = _Teller(connection, wanted).newest(log, oldest, min(offset, log.end()), limit)
    return Feed(messages, looked_from, 0)


def live_again(connection: sqlite3.Connection, log: EventLog, offsets: Collection[int]) -> list[FeedMessage]:
    """The messages at these offsets, the first MAX_AGAIN of them, with what is known of them now."""
    teller, found, wanted = _Teller(connection, Filter()), list[FeedMessage](), sorted(set(offsets))[:MAX_AGAIN]
    end = -1
    for offset in wanted:
        if offset >= end and (logged := log.entry_of(offset)) is not None:
            end = logged.end
            found += [m for m in teller.tell([logged]) if m.offset in wanted]
    return found


class _Decision(NamedTuple):
    """A row of `deliveries`, in words."""

    state: str
    reason: str
    user: str
    account: str | None


class _Teller:
    """Tells of log entries what passes the filter."""

    def __init__(self, connection: sqlite3.Connection, wanted: Filter) -> None:
        self._connection = connection
        self._wanted = wanted
        (self._read_until,) = connection.execute("SELECT next_offset FROM reader").fetchone()
        self._names = Names.of(connection)
        self._routes: dict[int, dict[int, str | None]] = {}

    def newest(self, log: EventLog, oldest: int, until: int, limit: int) -> tuple[list[FeedMessage], int]:
        """(the newest messages in [oldest, until), in log order; the offset from which on all were looked at)."""
        found: list[FeedMessage] = []
        looked_from = until
        for entries in _backwards(log, oldest, until):
            some = [m for m in self.tell(entries) if oldest <= m.offset < until]
            found = some + found
            looked_from = max(oldest, entries[0].offset)
            if len(found) >= limit:
                found = found[-limit:]
                return found, found[0].offset if found else looked_from
        return found, looked_from

    def tell(self, entries: Sequence[LoggedEntry]) -> list[FeedMessage]:
        received = {logged.offset: logged.entry.received_at_ms for logged in entries}
        items = [(received[logged.offset], item) for logged in entries for item in read_entry(logged)]
        items = [(at_ms, item) for at_ms, item in items if self._may_pass(item)]
        messages = [item for _, item in items if isinstance(item, Message) and item.offset < self._read_until]
        decisions = self._decisions(messages)
        if self._wanted.user is not None or self._wanted.account is not None:
            items = [(at_ms, item) for at_ms, item in items if self._may_be_of(item, decisions)]
            kept = {item.offset for _, item in items}
            messages = [message for message in messages if message.offset in kept]
        seen = self._seen(messages)
        told = (
            self._message(item, seen, decisions) if isinstance(item, Message) else self._discarded(item, at_ms)
            for at_ms, item in items
        )
        return [message for message in told if self._passes(message)]

    def _discarded(self, item: Discarded, received_at_ms: int) -> FeedMessage:
        return FeedMessage(item.offset, self._names.source(item.source_id), received_at_ms, DISCARDED, item.reason)

    def _message(
        self, message: Message, seen: dict[int, tuple[int, int]], decisions: dict[int, list[tuple[int, _Decision]]]
    ) -> FeedMessage:
        state, route = UNRESOLVED, dict[int, str | None]()
        decided = dict(decisions.get(message.offset, ()))
        if message.offset < self._read_until:
            state = RESOLVED
            offset, route_id = seen.get(message.offset, (-1, 0))
            if offset == message.offset:
                route = self._route(route_id)
            elif 0 <= offset < message.offset and not decided:
                state = DUPLICATE
        first = next(iter(decided.values()), None)
        return FeedMessage(
            message.offset,
            self._names.source(message.source_id),
            message.received_at_ms,
            state,
            "",
            message.message_id,
            message.type,
            message.event,
            message.at_ms,
            message.user_id,
            message.anonymous_id,
            first.user if first else message.user_id or message.anonymous_id,
            first.account if first else message.group_id,
            self._outcomes(route, decided),
        )

    def _outcomes(self, route: dict[int, str | None], decided: dict[int, _Decision]) -> tuple[Outcome, ...]:
        found = []
        for destination_id in sorted(route.keys() | decided.keys()):
            name = self._names.destination(destination_id)
            if destination_id in decided:
                decision = decided[destination_id]
                found.append(Outcome(name, decision.state, decision.reason))
            elif (reason := route[destination_id]) is not None:
                found.append(Outcome(name, "filtered", reason))
            else:
                found.append(Outcome(name, SETTLED))
        return tuple(found)

    def _seen(self, messages: Sequence[Message]) -> dict[int, tuple[int, int]]:
        """Of each message: (offset of the first of its id, its route)."""
        digests = {message.offset: digest_of(message.message_id) for message in messages}
        by_digest = {
            digest: (offset, route)
            for digest, offset, route in self._connection.execute(
                "SELECT digest, offset, route FROM seen WHERE digest IN (SELECT value FROM json_each(?))",
                (json.dumps(list(digests.values())),),
            )
        }
        return {offset: by_digest[digest] for offset, digest in digests.items() if digest in by_digest}

    def _decisions(self, messages: Sequence[Message]) -> dict[int, list[tuple[int, _Decision]]]:
        """By offset, the destinations that a message is or was on its way to."""
        ids = [delivery_id(d, message.offset) for d in self._names.destinations for message in messages]
        rows = self._connection.execute(
            "SELECT d.id, d.state, d.reason, i.value, a.value FROM deliveries d JOIN identities i ON i.id = d.user_id"
            " LEFT JOIN accounts a ON a.id = d.account_id WHERE d.id IN (SELECT value FROM json_each(?))",
            (json.dumps(ids),),
        )
        found: dict[int, list[tuple[int, _Decision]]] = {}
        for row_id, state, reason, user, account in rows:
            found.setdefault(row_id % OFFSETS, []).append((row_id // OFFSETS, _Decision(state, reason, user, account)))
        return found

    def _route(self, route_id: int) -> dict[int, str | None]:
        if route_id not in self._routes:
            (text,) = self._connection.execute("SELECT decisions FROM routes WHERE id = ?", (route_id,)).fetchone()
            self._routes[route_id] = {
                int(destination_id): reason for destination_id, reason in json.loads(text).items()
            }
        return self._routes[route_id]

    def _may_pass(self, item: Message | Discarded) -> bool:
        """Whether an item may be wanted as far as itself tells."""
        wanted = self._wanted
        if wanted.source is not None and self._names.source(item.source_id) != wanted.source:
            return False
        if isinstance(item, Discarded):
            return not (wanted.type or wanted.event or wanted.user or wanted.account or wanted.destination)
        return wanted.type in (None, item.type) and wanted.event in (None, item.event)

    def _may_be_of(self, item: Message | Discarded, decisions: dict[int, list[tuple[int, _Decision]]]) -> bool:
        """Whether an item may be of the wanted user and account: what it says, and what was decided."""
        if isinstance(item, Discarded):
            return False
        decided = [decision for _, decision in decisions.get(item.offset, ())]
        users = {item.user_id, item.anonymous_id, *(decision.user for decision in decided)}
        accounts = {item.group_id, *(decision.account for decision in decided)}
        return self._wanted.user in (None, *users) and self._wanted.account in (None, *accounts)

    def _passes(self, message: FeedMessage) -> bool:
        wanted = self._wanted
        if wanted.user is not None and wanted.user not in (message.user, message.user_id, message.anonymous_id):
            return False
        if wanted.account is not None and wanted.account != message.account:
            return False
        outcomes = [o for o in message.outcomes if wanted.destination in (None, o.destination)]
        if wanted.destination is not None and not outcomes:
            return False
        return wanted.outcome is None or wanted.outcome in {message.state, *(outcome.state for outcome in outcomes)}


def _backwards(log: EventLog, oldest: int, until: int) -> Iterator[list[LoggedEntry]]:
    """Stretches of entries that reach into [oldest, until), the newest first; each is in log order."""
    last = log.entry_of(until - 1) if until > oldest else None
    until = until if last is None else last.end
    while until > oldest:
        logged = log.entry_of(max(oldest, until - CHUNK_MESSAGES))
        begin = max(oldest, log.start()) if logged is None else logged.offset
        if begin >= until:
            return
        yield log.read(begin, max_messages=until - begin)
        until = begin
