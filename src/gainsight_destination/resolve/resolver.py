"""From log entries to dirty records, one batch of entries in one transaction.

A batch is read, cleared of duplicates and routed; then all its facts are learned; then its messages are resolved and
placed, and earlier messages that a new fact reaches are resolved again. Because facts come before resolution and late
facts reach back, the result depends on the set of messages and not on their order.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from operator import attrgetter
from typing import Final

from gainsight_destination.destinations.contract import Connected, Delivery, Placement
from gainsight_destination.eventlog.contract import DAY_MS, EventLog, LoggedEntry
from gainsight_destination.events.account_ids import doubt, normalise_account_id
from gainsight_destination.events.message import GROUP_ID, Discarded, Message, messages_of, read_entry
from gainsight_destination.records import deliveries, history
from gainsight_destination.records.books import ACCEPTED, DISCARDED, DUPLICATES, FILTERED, Books
from gainsight_destination.records.changes import RecordChanges
from gainsight_destination.records.lanes import REPLAY_LANES
from gainsight_destination.records.notices import note
from gainsight_destination.records.past_rules import PastRules, keep_rules, note_days, note_not_taken_in
from gainsight_destination.records.priorities import Arrivals
from gainsight_destination.resolve import event_days
from gainsight_destination.resolve.coverage import CONTEXT, FACT, NONE, PROPERTIES, Coverage, rule_of
from gainsight_destination.resolve.dictionary import Dictionary, IdentityDictionary
from gainsight_destination.resolve.duplicates import Earlier, drop_duplicates
from gainsight_destination.resolve.entries_read import read_by_minute
from gainsight_destination.resolve.facts import Interval
from gainsight_destination.resolve.identities import ANONYMOUS, USER, IdentityGraph, Names, Scope
from gainsight_destination.resolve.resolution import place, resolve
from gainsight_destination.resolve.routes import Route, Router
from gainsight_destination.resolve.said import Said, SaidReader, best_account
from gainsight_destination.resolve.trust import UNTRUSTED_ACCOUNT_IGNORED, put_in_force, review_after, reviewed

WORKSPACE: Final = 0
INTERNAL_ERROR: Final = "internal_error"
DUPLICATE: Final = "duplicate"
DAY_MINUTES: Final = DAY_MS // history.MINUTE_MS
DEFAULT_ACCOUNT_NAMES: Final = ("accountId", "account_id")


_Learned = tuple[Message, Route, int, int | None, Said]
"""A message, where it goes, its identity, the anonymous id that it links to that, and what it says."""


_event_of = attrgetter("event")


class Resolver:
    """Resolves batches for one version of the workspace. Belongs to the one writer of the store.

    `limited`: the sources of limited trust, in force from now on; so it is made inside a transaction.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        log: EventLog,
        destinations: Sequence[Connected],
        *,
        duplicate_window_ms: int,
        limited: frozenset[int] = frozenset(),
    ) -> None:
        put_in_force(connection, limited)
        keep_rules(connection, destinations)
        self._connection = connection
        self._log = log
        self._destinations = destinations
        self._duplicate_window_ms = duplicate_window_ms
        vocabularies = frozenset(c.destination.account_names for c in destinations)
        self._said = SaidReader({name for names in vocabularies for name in names} | set(DEFAULT_ACCOUNT_NAMES))
        self._past_rules = {connected.id: PastRules(connection, connected.id) for connected in destinations}
        self._reads_all = {c.id for c in destinations if set(self._said.names) <= set(c.destination.account_names)}
        """Destinations for which an account counts under whatever name it is read."""
        self._router = Router(connection, destinations)
        self._graph = IdentityGraph(connection, vocabularies, limited)
        self._users = IdentityDictionary(connection, USER)
        self._visitors = IdentityDictionary(connection, ANONYMOUS)
        self._accounts = Dictionary(connection, "accounts")
        self._emails = Dictionary(connection, "emails")
        self._event_names = Dictionary(connection, "event_names")

    def event_name(self, event_id: int) -> str:
        """The name of a track event."""
        return self._event_names.value_of(event_id)

    def forget(self) -> None:
        """Drop everything remembered: the transaction was rolled back, memory may be ahead of the store."""
        for memory in (
            self._router,
            self._graph,
            self._users,
            self._visitors,
            self._accounts,
            self._emails,
            self._event_names,
        ):
            memory.forget()

    def resolve(self, entries: Sequence[LoggedEntry], now_ms: int) -> None:
        """Take in a batch of log entries; part of the caller's transaction."""
        batch = Batch(self, entries, now_ms)
        batch.run()
        self._graph.trim()

    def set_aside(self, logged: LoggedEntry) -> None:
        """Count the messages of an entry that cannot be resolved, and go on after it. They stay in the log."""
        Batch(self, (logged,), logged.entry.received_at_ms).set_aside()

    def resolve_parked(self, connected: Connected, after_offset: int, now_ms: int, limit: int = 2_000) -> int | None:
        """Resolve a destination's parked messages after an offset again; where to go on, None at the end."""
        return Batch(self, (), now_ms).resolve_parked(connected, after_offset, limit)

    def review(self, connected: Connected, now_ms: int, limit: int = 2_000) -> bool:
        """Resolve some of a destination's messages again, if trust has changed since; whether there were any to see."""
        after_offset = review_after(self._connection, connected.id)
        if after_offset is None or not connected.destination.windows.movable:
            return False
        go_on_after = Batch(self, (), now_ms).review(connected, after_offset, limit)
        reviewed(self._connection, connected.id, go_on_after)
        self._graph.trim()
        return True

    def expire_parked(self, now_ms: int, limit: int = 2_000) -> int:
        """End the waiting of messages parked longer than their destination allows; how many were ended."""
        return Batch(self, (), now_ms).expire(limit)


class Batch:
    """The work of one transaction. `replayed`: the destination for which earlier messages are looked at once more."""

    def __init__(
        self, resolver: Resolver, entries: Sequence[LoggedEntry], now_ms: int, replayed: int | None = None
    ) -> None:
        self._r = resolver
        self._connection = resolver._connection
        self._entries = entries
        self._now_ms = now_ms
        self._books = Books(now_ms)
        self._coverage = Coverage()
        self._days: Set[int] = frozenset()
        self._notices: Counter[tuple[str, str]] = Counter()
        self._notice_offsets: dict[tuple[str, str], int] = {}
        self._scopes: dict[int, list[Scope]] = {}
        self._bodies: list[tuple[int, bytes]] = []
        self._accounts: dict[str, tuple[int, str, bool]] = {}
        self._untrusted: set[int] = set()
        self._originals = _Originals(resolver._log)
        self._users: Mapping[str, int] = {}
        self._visitors: Mapping[str, int] = {}
        self._created: Set[int] = frozenset()
        (self._revision,) = self._connection.execute(
            "UPDATE reader SET revision = revision + 1 RETURNING revision"
        ).fetchone()
        self._seen: dict[int, set[int]] = {}
        """Earlier messages that this transaction resolved already, by destination."""
        arrivals, again = Arrivals(entries), Arrivals((), replayed=True)
        self._changes = {
            connected.id: RecordChanges(
                self._connection,
                self._books,
                destination_id=connected.id,
                own_objects={spec.name for spec in connected.destination.objects if spec.per_message},
                ordered=any(spec.ordered for spec in connected.destination.objects),
                revision=self._revision,
                now_ms=now_ms,
                bounds=_Bounds(resolver, connected),
                arrivals=again if connected.id == replayed else arrivals,
                lanes_from=REPLAY_LANES if connected.id == replayed else 0,
            )
            for connected in resolver._destinations
        }

    def run(self) -> None:
        messages = self._read()
        routes = {message.offset: self._r._router.route(message) for message in messages}
        fresh, duplicates = drop_duplicates(
            self._connection,
            messages,
            [route.id for route in routes.values()],
            self._r._duplicate_window_ms,
            self._originals,
        )
        self._count_duplicates(duplicates)
        self._count_events(fresh)
        self._know_identities(fresh)
        learned = self._learn(fresh, routes)
        self._place(learned)
        self._count_routes(learned)
        self._resolve_again()
        self._finish()

    def set_aside(self) -> None:
        (logged,) = self._entries
        source_id, count = logged.entry.source_id, logged.entry.count
        self._count_read()
        self._enter(source_id, DISCARDED, INTERNAL_ERROR, count)
        note_not_taken_in(self._connection, range(logged.offset, logged.end), INTERNAL_ERROR)
        self._notice(INTERNAL_ERROR, "", logged.offset)
        self._finish()

    # -- reading

    def _read(self) -> list[Message]:
        messages: list[Message] = []
        discarded: Counter[tuple[int, str]] = Counter()
        for logged in self._entries:
            for item in read_entry(logged):
                if isinstance(item, Discarded):
                    discarded[item.source_id, item.reason] += 1
                else:
                    messages.append(item)
        for (source_id, reason), count in discarded.items():
            self._enter(source_id, DISCARDED, reason, count)
        self._count_read()
        return messages

    def _count_read(self) -> None:
        read = read_by_minute(self._entries)
        self._days = {minute // DAY_MINUTES for _, minute in read}
        self._connection.executemany(
            "INSERT INTO read_messages (source_id, messages, body_bytes, first_at_ms, last_at_ms) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET messages = messages + excluded.messages,"
            " body_bytes = body_bytes + excluded.body_bytes, last_at_ms = excluded.last_at_ms",
            [(source_id, r.messages, r.body_bytes, r.first_at_ms, r.last_at_ms) for (source_id, _), r in read.items()],
        )
        sums = {(minute, WORKSPACE, source_id, history.RECEIVED): r.messages for (source_id, minute), r in read.items()}
        if self._entries:
            lag_at = (self._now_ms // history.MINUTE_MS, WORKSPACE, history.NO_SOURCE, history.LAG_MS)
            sums[lag_at] = max(0, self._now_ms - self._entries[0].entry.received_at_ms)
        history.add(self._connection, sums)

    def _enter(self, source_id: int, state: str, reason: str, count: int) -> None:
        """Count messages that no destination gets."""
        self._books.enter(WORKSPACE, source_id, state, reason, count)
        for connected in self._r._destinations:
            if source_id in connected.source_ids:
                self._books.enter(connected.id, source_id, state, reason, count)

    def _count_duplicates(self, duplicates: Sequence[Earlier]) -> None:
        counted: Counter[int] = Counter(message.source_id for message, _ in duplicates)
        for source_id, count in counted.items():
            self._enter(source_id, DUPLICATES, "", count)
        if duplicates:
            note_not_taken_in(self._connection, [message.offset for message, _ in duplicates], DUPLICATE)
        for message, original in duplicates:
            if original is not None and _content(original) != _content(message):
                self._notice("message_id_conflict", "", message.offset)

    # -- learning

    def _know_identities(self, messages: Sequence[Message]) -> None:
        """Numbers for all ids of the batch, and what is known of them in memory."""
        users = {message.user_id for message in messages if message.user_id is not None}
        visitors = {message.anonymous_id for message in messages if message.anonymous_id is not None}
        previous = {message.previous_id for message in messages if message.previous_id is not None}
        self._users, new_users = self._r._users.ids_of(users | previous)
        self._visitors, new_visitors = self._r._visitors.ids_of(visitors | previous)
        self._created = {*new_users, *new_visitors}
        self._r._graph.add_new(self._created)
        self._r._graph.load(
            [*(self._users[value] for value in users | previous), *(self._visitors[v] for v in visitors | previous)]
        )

    def _learn(self, messages: Sequence[Message], routes: Mapping[int, Route]) -> list[_Learned]:
        """Take in the links and facts of all messages, before any of them is placed."""
        graph, read_said = self._r._graph, self._r._said.read
        users, visitors = self._users, self._visitors
        learned: list[_Learned] = []
        for message in messages:
            route, said, scopes = routes[message.offset], read_said(message), []
            for remark in message.remarks:
                self._notice(remark, "", message.offset)
            user_id = None if message.user_id is None else users[message.user_id]
            anonymous_id = None if message.anonymous_id is None else visitors[message.anonymous_id]
            if user_id is None:
                assert anonymous_id is not None
                identity_id, anonymous_id = anonymous_id, None
            else:
                identity_id = user_id
                if anonymous_id is not None:
                    scopes = graph.add_link(
                        anonymous_id, message.at_ms, message.message_id, user_id, delivered=bool(route.accepted)
                    )
                if message.previous_id is not None:
                    previous_ids = [visitors[message.previous_id]]
                    if message.source_id not in graph.limited:  # else anybody could merge a known user into another
                        previous_ids.append(users[message.previous_id])
                    for previous_id in previous_ids:
                        scopes = scopes + graph.add_link(previous_id, message.at_ms, message.message_id, user_id)
            if message.type == "identify" or message.type == "group":
                scopes = scopes + self._learn_facts(message, identity_id, said)
            if scopes:
                self._scopes.setdefault(message.received_at_ms, []).extend(scopes)
            learned.append((message, route, identity_id, anonymous_id, said))
        return learned

    def _learn_facts(self, message: Message, identity_id: int, said: Said) -> list[Scope]:
        graph, at_ms, message_id, source_id = self._r._graph, message.at_ms, message.message_id, message.source_id
        if message.group_id is not None:
            account_id = self._account(message.group_id, message.offset)
            return graph.add_account(identity_id, at_ms, message_id, GROUP_ID, account_id, source_id)
        scopes: list[Scope] = []
        for name, account in said.accounts.items():
            account_id = self._account(account, message.offset)
            scopes += graph.add_account(identity_id, at_ms, message_id, name, account_id, source_id)
        if said.email is not None:
            scopes += graph.add_email(identity_id, at_ms, message_id, self._r._emails.id_of(said.email))
        if said.odd_email:
            self._notice("odd_email", "", message.offset)
        return scopes

    def _account(self, sent: str, offset: int) -> int:
        """The number of an account id as it was sent."""
        known = self._accounts.get(sent)
        if known is None:
            account = normalise_account_id(sent)
            known = self._accounts[sent] = (self._r._accounts.id_of(account), account, doubt(account) is not None)
        account_id, account, is_doubtful = known
        if is_doubtful:
            self._notice("doubtful_account_id", account, offset)
        return account_id

    def _notice(self, kind: str, subject: str, offset: int) -> None:
        self._notices[kind, subject] += 1
        self._notice_offsets[kind, subject] = offset

    def _notice_untrusted(self, delivery: Delivery) -> None:
        """Once for each message, for however many destinations."""
        if delivery.offset not in self._untrusted:
            self._untrusted.add(delivery.offset)
            (account,) = self._connection.execute(
                "SELECT value FROM accounts WHERE id = ?", (delivery.said_account,)
            ).fetchone()
            self._notice(UNTRUSTED_ACCOUNT_IGNORED, account, delivery.offset)

    # -- placing

    def _place(self, learned: Sequence[_Learned]) -> None:
        """Resolve the messages for the destinations that get them, and see which records they touch."""
        graph, reads_all, event_name = self._r._graph, self._r._reads_all, self._r.event_name
        source_id, from_ms, until_ms = -1, 0, 0
        events: Mapping[int, list[int]] = {}
        for message, route, identity_id, anonymous_id, said in learned:
            if message.source_id != source_id or not from_ms <= message.received_at_ms < until_ms:
                source_id, day = message.source_id, message.received_at_ms // DAY_MS
                from_ms, until_ms = day * DAY_MS, (day + 1) * DAY_MS
                events = self._coverage.of(source_id, day)
            for connected in route.accepted:
                destination = connected.destination
                delivery = self._delivery(message, identity_id, anonymous_id, said, destination.account_names)
                resolve(delivery, graph, destination.account_names)
                if not delivery.untrusted:
                    self._changes[connected.id].add(delivery, destination.place(delivery, event_name))
                else:
                    self._notice_untrusted(delivery)
                    self._changes[connected.id].add(delivery, place(delivery, destination, event_name))
                if message.event is None:
                    continue
                if delivery.account_id is None:
                    events[connected.id][NONE] += 1
                elif delivery.said_account is None or delivery.untrusted:
                    events[connected.id][FACT] += 1
                elif said.accounts and (
                    connected.id in reads_all or best_account(said.accounts, destination.account_names)
                ):
                    events[connected.id][PROPERTIES] += 1
                else:
                    events[connected.id][CONTEXT] += 1
            if route.accepted and (message.type == "identify" or message.type == "group"):
                self._bodies.append((message.offset, message.body))

    def _count_routes(self, learned: Sequence[_Learned]) -> None:
        """Enter the messages in the books of the workspace, and in those of destinations that do not get them."""
        routes = {item[1].id: item[1] for item in learned}
        counted = Counter((item[0].source_id, item[1].id) for item in learned)
        for (source_id, route_id), count in counted.items():
            route = routes[route_id]
            self._books.enter(WORKSPACE, source_id, ACCEPTED, "", count)
            for connected, reason in route.filtered:
                self._books.enter(connected.id, source_id, FILTERED, reason, count)

    def _count_events(self, messages: Sequence[Message]) -> None:
        """Count the names of track events, by day: nearly always one day for all."""
        if len(self._days) == 1:
            (day,) = self._days
            events = {(day, event): count for event, count in Counter(map(_event_of, messages)).items() if event}
        else:
            events = Counter((m.received_at_ms // DAY_MS, m.event) for m in messages if m.event)
        event_days.count(self._connection, events)

    def _delivery(
        self, message: Message, identity_id: int, anonymous_id: int | None, said: Said, names: Names
    ) -> Delivery:
        account = message.group_id
        if account is None and said.accounts:
            account = best_account(said.accounts, names)
        if account is None and message.type == "track":
            account = message.context_group_id
        return Delivery(
            message.offset,
            message.source_id,
            message.type,
            message.message_id,
            identity_id,
            anonymous_id,
            message.at_ms,
            message.received_at_ms,
            None if message.event is None else self._r._event_names.id_of(message.event),
            None if account is None else self._account(account, message.offset),
            None if said.email is None else self._r._emails.id_of(said.email),
        )

    def _resolve_again(self) -> None:
        """Earlier messages that a new link or fact reaches, while it may still move them."""
        for connected in self._r._destinations:
            if not connected.destination.windows.movable:
                continue
            seen = self._seen.setdefault(connected.id, set())
            for received_at_ms, scopes in self._scopes.items():
                for scope in _merged(scopes):
                    self._resolve_scope(connected, scope, received_at_ms, seen)

    def _resolve_scope(self, connected: Connected, scope: Scope, received_at_ms: int, seen: set[int]) -> None:
        """`received_at_ms` is when the fact came: what was received long before it stays where it is."""
        if scope.identity_id in self._created:
            return  # nothing of it came before this batch
        windows = connected.destination.windows
        since_ms = received_at_ms - max(windows.park_ms, windows.correction_ms)
        for delivery in deliveries.of_identity(
            self._connection, connected.id, scope.identity_id, *scope.interval, since_ms
        ):
            movable_since_ms = received_at_ms - _movable_ms(delivery, connected)
            is_new = bool(self._entries) and delivery.offset >= self._entries[0].offset
            if is_new or delivery.offset in seen or delivery.received_at_ms < movable_since_ms:
                continue
            seen.add(delivery.offset)
            self._correct(delivery, connected)

    def _correct(self, delivery: Delivery, connected: Connected) -> bool:
        """Resolve a message again; whether that changed anything."""
        destination = connected.destination
        resolved, was_untrusted, rule = _resolved(delivery), delivery.untrusted, rule_of(delivery)
        before = self._placed(delivery, connected)
        resolve(delivery, self._r._graph, destination.account_names)
        if resolved == _resolved(delivery):
            return False
        if delivery.untrusted and not was_untrusted:
            self._notice_untrusted(delivery)
        self._place_again(delivery, connected, before)
        self._cover_again(delivery, connected, rule)
        return True

    def _placed(self, delivery: Delivery, connected: Connected) -> Placement:
        """Which records an earlier message touches, under the settings under which it was placed last."""
        return self._placement(delivery, connected, self._r._past_rules[connected.id].placing_of(delivery))

    def _placement(
        self, delivery: Delivery, connected: Connected, placing: Mapping[str, str] | None = None
    ) -> Placement:
        return place(delivery, connected.destination, self._r.event_name, placing)

    def _place_again(self, delivery: Delivery, connected: Connected, before: Placement) -> Placement:
        """Move an earlier message from the records that it touched to those that it touches today."""
        after = self._placement(delivery, connected)
        self._changes[connected.id].replace(delivery, before, after)
        past = self._r._past_rules[connected.id]
        if past.differing(delivery.offset) is not None:
            past.place_now(delivery.offset)
        return after

    def _cover_again(self, delivery: Delivery, connected: Connected, rule: int | None) -> None:
        """A track event may have its account by another rule than before."""
        if delivery.type == "track":
            named = partial(self._names_account, delivery.offset, connected.destination.account_names)
            self._coverage.move(connected.id, delivery, rule, named)

    def _names_account(self, offset: int, names: Names) -> bool:
        """Whether the properties of an earlier track event name an account, as far as the log still tells."""
        message = self._originals(offset)
        return message is None or best_account(self._r._said.read(message).accounts, names) is not None

    def review(self, connected: Connected, after_offset: int, limit: int) -> int | None:
        """Resolve what may still move again, in log order after an offset; where to go on, None at the end."""
        chunk = deliveries.page(self._connection, connected.id, after_offset, limit)
        movable = [d for d in chunk if d.received_at_ms >= self._now_ms - _movable_ms(d, connected)]
        self._r._graph.load({delivery.identity_id for delivery in movable})
        for delivery in movable:
            self._correct(delivery, connected)
        self._finish()
        return chunk[-1].offset if len(chunk) == limit else None

    def resolve_parked(self, connected: Connected, after_offset: int, limit: int) -> int | None:
        parked = deliveries.parked(self._connection, connected.id, after_offset, limit)
        for delivery in parked:
            self._correct(delivery, connected)
        self._finish()
        return parked[-1].offset if len(parked) == limit else None

    def expire(self, limit: int) -> int:
        ended = 0
        for connected in self._r._destinations:
            windows, changes = connected.destination.windows, self._changes[connected.id]
            overdue = deliveries.parked_before(self._connection, connected.id, self._now_ms - windows.park_ms, limit)
            for delivery in overdue:
                if self._correct(delivery, connected):
                    continue
                if delivery.open_records or not windows.parked_then_deliver:
                    changes.drop(delivery, self._placed(delivery, connected))
                else:
                    before = self._placed(delivery, connected)
                    delivery.without_account = True
                    self._place_again(delivery, connected, before)
            ended += len(overdue)
        self._finish()
        return ended

    def _finish(self) -> None:
        for changes in self._changes.values():
            changes.flush()
        self._r._graph.flush()
        self._connection.executemany("INSERT OR IGNORE INTO bodies (offset, body) VALUES (?,?)", self._bodies)
        self._books.flush(self._connection)
        self._coverage.flush(self._connection)
        note(self._connection, WORKSPACE, self._notices, self._notice_offsets)
        if self._entries:
            note_days(self._connection, _days(self._entries))
            self._connection.execute("UPDATE reader SET next_offset = ?", (self._entries[-1].end,))


def _days(entries: Sequence[LoggedEntry]) -> dict[int, int]:
    """The UTC days of some entries, nearly always one, and the first offset of each."""
    first, last = entries[0], entries[-1]
    if first.entry.received_at_ms // DAY_MS == last.entry.received_at_ms // DAY_MS:
        return {first.entry.received_at_ms // DAY_MS: first.offset}
    return {logged.entry.received_at_ms // DAY_MS: logged.offset for logged in reversed(entries)}


class _Bounds:
    """First and last time of the messages that a record counts under a user."""

    def __init__(self, resolver: Resolver, connected: Connected) -> None:
        self._resolver = resolver
        self._connected = connected

    def __call__(self, object_name: str, key: str, user_id: int, from_ms: int, until_ms: int) -> tuple[int, int] | None:
        destination = self._connected.destination
        past, event_name = self._resolver._past_rules[self._connected.id], self._resolver.event_name
        times = [
            delivery.at_ms
            for scope in self._resolver._graph.scopes_of(user_id, Interval(from_ms, until_ms))
            for delivery in deliveries.of_identity(
                self._resolver._connection, self._connected.id, scope.identity_id, *scope.interval, since_ms=0
            )
            if delivery.user_id == user_id and delivery.state not in ("filtered", "parked")
            for contribution in place(delivery, destination, event_name, past.placing_of(delivery)).contributions
            if contribution.tally_user == user_id and (contribution.object, contribution.key) == (object_name, key)
        ]
        return (min(times), max(times)) if times else None


def _resolved(delivery: Delivery) -> tuple[object, ...]:
    return delivery.user_id, delivery.account_id, delivery.email_id, delivery.untrusted


def _movable_ms(delivery: Delivery, connected: Connected) -> int:
    """How long after its receipt a message may still be resolved in another way."""
    windows = connected.destination.windows
    return windows.park_ms if delivery.state in ("parked", "filtered") else windows.correction_ms


def _merged(scopes: Iterable[Scope]) -> list[Scope]:
    """The same stretch of messages only once: the hull per identity."""
    hulls: dict[int, Interval] = {}
    for identity_id, interval in scopes:
        hull = hulls.get(identity_id, interval)
        hulls[identity_id] = Interval(min(hull.from_ms, interval.from_ms), max(hull.until_ms, interval.until_ms))
    return [Scope(identity_id, interval) for identity_id, interval in hulls.items()]


class _Originals:
    """Messages read again from the log, each entry once however many of its messages are wanted."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._messages: dict[int, Message | None] = {}

    def fetch(self, offsets: Iterable[int]) -> None:
        """Read the messages at these offsets; None stands for one that the log no longer holds."""
        end, entry = -1, dict[int, Message]()
        for offset in sorted(set(offsets) - self._messages.keys()):
            if offset >= end:
                logged = self._log.entry_of(offset)
                end, entry = (offset + 1, {}) if logged is None else (logged.end, messages_of(logged))
            self._messages[offset] = entry.get(offset)

    def __call__(self, offset: int) -> Message | None:
        if offset not in self._messages:
            self.fetch((offset,))
        return self._messages[offset]


def _content(message: Message) -> tuple[object, ...]:
    return (
        message.type,
        message.user_id,
        message.anonymous_id,
        message.event,
        message.group_id,
        message.previous_id,
        message.context_group_id,
        message.body,
    )
