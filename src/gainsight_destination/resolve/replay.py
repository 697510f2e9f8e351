"""A replay looks at a chunk of the log once more: chosen messages go to one destination as they would today.

It goes the way of every message, `Batch`: facts are learned, messages are resolved and placed. Where a message stands
in the books decides what is done with it: one that the destination holds already is taken from the records that it
touched to those that it touches today; one that was filtered moves out of filtered; one that the destination never
received is received now. Nothing is counted twice, whatever came before, because where it stands is known: from its
row, or from the past rules once that is gone (records/past_rules.py).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Final, NamedTuple

from msgspec import structs

from gainsight_destination.destinations.contract import Connected, Delivery, Placement, Statement
from gainsight_destination.eventlog.contract import LoggedEntry
from gainsight_destination.events.message import Discarded, Message, read_entry
from gainsight_destination.records import dead_letters, deliveries, replays
from gainsight_destination.records.books import DEAD, DELIVERED, FILTERED, PENDING
from gainsight_destination.records.held_rows import count_change, count_present
from gainsight_destination.records.past_rules import (
    Rules,
    filtered_when_forgotten,
    not_taken_in,
    rules_begin,
)
from gainsight_destination.records.replays import Replay, Selection
from gainsight_destination.resolve.coverage import NONE, rule_of
from gainsight_destination.resolve.filters import Allowlist
from gainsight_destination.resolve.identities import Names
from gainsight_destination.resolve.resolution import resolve
from gainsight_destination.resolve.resolver import INTERNAL_ERROR, Batch, Resolver
from gainsight_destination.resolve.routes import filter_reason
from gainsight_destination.resolve.said import Said, SaidReader, best_account

DISCARDED: Final = "discarded"
NOT_REMEMBERED: Final = "not_remembered"
"""It was resolved by a version that kept too little of it to take it in again without counting it twice."""
ONLY_FIRES: Final = "only_fires"
"""All that a message touches is done once for each message, which a replay never does."""
ALREADY_DELIVERED: Final = "already_delivered"
ON_ITS_WAY: Final = "on_its_way"

CHUNK_MESSAGES: Final = 500
"""Messages looked at in one transaction, so that what comes live never waits long."""
MOST_WAITING_RECORDS: Final = 20_000
MOST_WAITING_MESSAGES: Final = 1_000


class _Stand(NamedTuple):
    """Where a message is counted, and whether it was resolved for the destination: what filters keep out is not."""

    state: str
    reason: str
    resolved: bool = True


def advance(resolver: Resolver, connected: Connected, now_ms: int, max_messages: int = CHUNK_MESSAGES) -> bool:
    """Look at a chunk for the replay of a destination whose turn it is; whether there was one that could go on.

    Part of the caller's transaction. While many records wait because of a replay it does not go on, so that pausing
    and cancelling it soon has an effect, and the store does not grow ahead of what the quota lets through.
    """
    connection = resolver._connection
    replays.finish(connection, connected.id, now_ms)
    replay = replays.to_look_at(connection, connected.id)
    if replay is None or replays.figures(connection, replay.id).waiting >= most_waiting(connected):
        return False
    look_at_chunk(resolver, connected, replay, now_ms, max_messages)
    return True


def look_at_chunk(
    resolver: Resolver, connected: Connected, replay: Replay, now_ms: int, max_messages: int = CHUNK_MESSAGES
) -> None:
    """Look at what the log holds from where a replay stands; part of the caller's transaction."""
    entries = _entries(resolver, replay, max_messages)
    _Chunk(resolver, connected, replay, now_ms).look_at(entries)
    resolver._graph.trim()


def set_aside(resolver: Resolver, connected: Connected, now_ms: int) -> None:
    """Go on after the entry where the replay of a destination stands: a mistake of ours keeps it from being read."""
    connection = resolver._connection
    replay = replays.to_look_at(connection, connected.id)
    if replay is None or not (entries := _entries(resolver, replay, 1)):
        return
    gone, skipped = entries[0].offset - replay.next_offset, entries[0].entry.count
    replays.count(connection, replay.id, {(replays.GONE, ""): gone, (replays.SKIPPED, INTERNAL_ERROR): skipped})
    replays.go_on_at(connection, replay, entries[0].end, now_ms)


def most_waiting(connected: Connected) -> int:
    """How many records may wait because of a replay while it goes on."""
    return MOST_WAITING_MESSAGES if any(s.ordered for s in connected.destination.objects) else MOST_WAITING_RECORDS


def _entries(resolver: Resolver, replay: Replay, max_messages: int) -> list[LoggedEntry]:
    """The next entries of its stretch; none when the log holds nothing of it any more."""
    if replay.next_offset >= replay.end_offset:
        return []
    entries = resolver._log.read(max(replay.next_offset, resolver._log.start()), max_messages=max_messages)
    return [logged for logged in entries if logged.offset < replay.end_offset]


def choose(
    entries: Sequence[LoggedEntry], selection: Selection, until_offset: int
) -> Iterator[tuple[LoggedEntry, Message | Discarded | None]]:
    """Every message of the entries before an offset, with the entry that it came in; None for one not chosen."""
    for logged in entries:
        if logged.offset >= until_offset:
            return
        for item in read_entry(logged) if _has_chosen(selection, logged) else [None] * logged.entry.count:
            yield logged, item if item is not None and _is_chosen(selection, item) else None


def _has_chosen(selection: Selection, logged: LoggedEntry) -> bool:
    received_at_ms = logged.entry.received_at_ms
    return (
        selection.source_id in (None, logged.entry.source_id)
        and (selection.since_ms is None or received_at_ms >= selection.since_ms)
        and (selection.until_ms is None or received_at_ms < selection.until_ms)
    )


def _is_chosen(selection: Selection, item: Message | Discarded) -> bool:
    if isinstance(item, Discarded):
        return not selection.looks_inside
    return (
        (selection.user_id is None or selection.user_id in (item.user_id, item.anonymous_id))
        and selection.event in (None, item.event)
        and selection.type in (None, item.type)
    )


class _Chunk(Batch):
    """The work of one transaction of a replay."""

    def __init__(self, resolver: Resolver, connected: Connected, replay: Replay, now_ms: int) -> None:
        super().__init__(resolver, (), now_ms, replayed=connected.id)
        self._connected = connected
        self._replay = replay
        self._past = resolver._past_rules[connected.id]
        self._figures: Counter[tuple[str, str]] = Counter()
        self._allowlists: dict[tuple[str, ...], Allowlist] = {}
        self._ordered = any(spec.ordered for spec in connected.destination.objects)
        self._fired_objects = {spec.name for spec in connected.destination.objects if spec.of_message}
        self._own_objects = {spec.name for spec in connected.destination.objects if spec.per_message}
        self._recalled: list[Delivery] = []
        """Messages whose own record was forgotten with them, and is made anew."""
        self._elsewhere: set[tuple[str, str]] = set()
        """Records by (object, key) that may be in another place on the other side since they were delivered."""

    def look_at(self, entries: Sequence[LoggedEntry]) -> None:
        replay = self._replay
        until = min(entries[-1].end, replay.end_offset) if entries else replay.end_offset
        chosen = self._chosen(entries, until)
        self._know_identities(chosen)
        read_said = self._r._said.read
        said = {message.offset: read_said(message) for message in chosen}
        self._learn_accounts(chosen, said)
        earlier = deliveries.stretch(self._connection, self._connected.id, replay.next_offset, until)
        for message in chosen:
            reason = self._look_at(message, said[message.offset], earlier.get(message.offset))
            self._figures[(replays.SKIPPED, reason) if reason else (replays.TOUCHED, "")] += 1
        self._seen[self._connected.id] = {message.offset for message in chosen}
        self._resolve_again()
        self._finish()
        self._note_due()
        replays.count(self._connection, replay.id, self._figures)
        replays.go_on_at(self._connection, replay, until, self._now_ms)

    def _chosen(self, entries: Sequence[LoggedEntry], until: int) -> list[Message]:
        """The chosen messages that are neither discarded nor repeats; the others are counted."""
        not_taken = not_taken_in(self._connection, self._replay.next_offset, until)
        chosen: list[Message] = []
        looked_at = 0
        for _, item in choose(entries, self._replay.selection, until):
            looked_at += 1
            if item is None:
                self._figures[replays.PASSED, ""] += 1
            elif isinstance(item, Discarded):
                self._figures[replays.SKIPPED, DISCARDED] += 1
            elif item.offset in not_taken:
                self._figures[replays.SKIPPED, not_taken[item.offset]] += 1
            else:
                chosen.append(item)
        self._figures[replays.GONE, ""] += until - self._replay.next_offset - looked_at
        return chosen

    def _learn_accounts(self, messages: Sequence[Message], said: Mapping[int, Said]) -> None:
        """A destination may read the account from traits that none read when these messages came."""
        for message in messages:
            if message.type == "identify" and said[message.offset].accounts:
                scopes = self._learn_facts(message, self._identity_of(message), said[message.offset])
                self._scopes.setdefault(message.received_at_ms, []).extend(scopes)

    def _identity_of(self, message: Message) -> int:
        if message.user_id is not None:
            return self._users[message.user_id]
        assert message.anonymous_id is not None
        return self._visitors[message.anonymous_id]

    # -- one message

    def _look_at(self, message: Message, said: Said, earlier: Delivery | None) -> str:
        """Take a message to the records that it touches today; why it touches none, else an empty text."""
        filtered = self._r._router.reason(message, self._connected)
        if filtered is not None:
            return filtered
        if earlier is None and message.offset < rules_begin(self._connection):
            return NOT_REMEMBERED
        stand = self._stand(message) if earlier is None else _Stand(earlier.state, earlier.reason)
        if self._ordered and stand is not None and stand.state != FILTERED:
            return self._send_again(message, said, earlier, stand)
        if earlier is not None:
            return self._look_again(message, said, earlier)
        if stand is None:
            return self._receive(message, said)
        return self._let_in(message, said, stand) if stand.state == FILTERED else self._recall(message, said, stand)

    def _stand(self, message: Message) -> _Stand | None:
        """Where a message without a row of its own is counted; None: the destination never received it."""
        filtered = filtered_when_forgotten(self._connection, self._connected.id, message.offset)
        if filtered is not None:
            return _Stand(FILTERED, filtered)
        rules = self._past.of(message.offset)
        if message.source_id not in rules.source_ids:
            return None
        reason = filter_reason(message, rules, self._allowlist(rules))
        return _Stand(DELIVERED, "") if reason is None else _Stand(FILTERED, reason, resolved=False)

    def _allowlist(self, rules: Rules) -> Allowlist:
        if rules.allowlist not in self._allowlists:
            self._allowlists[rules.allowlist] = Allowlist(rules.allowlist)
        return self._allowlists[rules.allowlist]

    def _resolved_now(self, message: Message, said: Said) -> Delivery:
        delivery = self._resolved(message, said, self._connected.destination.account_names)
        if delivery.untrusted:
            self._notice_untrusted(delivery)
        return delivery

    def _resolved_under(self, message: Message, rules: Rules) -> Delivery:
        """As it was resolved when a destination read accounts under other names."""
        return self._resolved(message, SaidReader(rules.account_names).read(message), rules.account_names)

    def _resolved(self, message: Message, said: Said, names: Names) -> Delivery:
        anonymous_id = None
        if message.user_id is not None and message.anonymous_id is not None:
            anonymous_id = self._visitors[message.anonymous_id]
        delivery = self._delivery(message, self._identity_of(message), anonymous_id, said, names)
        resolve(delivery, self._r._graph, names)
        return delivery

    def _receive(self, message: Message, said: Said) -> str:
        """The destination never received it: it is received now."""
        delivery = self._resolved_now(message, said)
        placement = self._placement(delivery, self._connected)
        self._changes[self._connected.id].add(delivery, placement)
        self._past.place_now(message.offset)
        self._keep_body(message)
        self._cover(delivery, said)
        return _why_nothing(placement)

    def _let_in(self, message: Message, said: Said, stand: _Stand) -> str:
        """The destination counted it as filtered, and gets it now."""
        delivery = self._resolved_now(message, said)
        self._insert(delivery, stand)
        self._past.place_now(message.offset)
        self._keep_body(message)
        if not stand.resolved:
            self._cover(delivery, said)
        else:
            placed = self._placement(delivery, self._connected)
            without = self._placement(structs.replace(delivery, account_id=None), self._connected)
            lacked = without.reason == stand.reason != placed.reason
            self._cover_again(delivery, self._connected, NONE if lacked else rule_of(delivery))
        return _why_nothing(self._place_again(delivery, self._connected, Placement()))

    def _cover(self, delivery: Delivery, said: Said) -> None:
        if delivery.type == "track":
            named = best_account(said.accounts, self._connected.destination.account_names) is not None
            self._coverage.enter(self._connected.id, delivery, named)

    def _recall(self, message: Message, said: Said, stand: _Stand) -> str:
        """It arrived and was forgotten. It had an account, or went without one; what it said is written anew."""
        rules = self._past.differing(message.offset)
        delivery = self._resolved_now(message, said)
        then = copy(delivery) if rules is None else self._resolved_under(message, rules)
        then.without_account = self._placed(then, self._connected).state == "parked"
        delivery.without_account = then.without_account
        before = self._placed(then, self._connected)
        if self._placement(delivery, self._connected).reason == ONLY_FIRES:
            return ONLY_FIRES
        self._insert(delivery, stand)
        self._note_elsewhere(delivery)
        if any(contribution.object in self._own_objects for contribution in before.contributions):
            self._recalled.append(delivery)
        self._keep_body(message)
        self._cover_again(delivery, self._connected, rule_of(then))
        return _why_nothing(self._place_again(delivery, self._connected, _stated_otherwise(before)))

    def _look_again(self, message: Message, said: Said, delivery: Delivery) -> str:
        """It has a row: what it says is read with today's settings, and it is resolved again."""
        before, rule = self._placed(delivery, self._connected), rule_of(delivery)
        self._note_elsewhere(delivery)
        now = self._resolved_now(message, said)
        delivery.said_account, delivery.said_email = now.said_account, now.said_email
        delivery.user_id, delivery.account_id, delivery.email_id = now.user_id, now.account_id, now.email_id
        delivery.untrusted = now.untrusted
        if self._placement(delivery, self._connected).reason == ONLY_FIRES:
            return ONLY_FIRES
        self._cover_again(delivery, self._connected, rule)
        return _why_nothing(self._place_again(delivery, self._connected, before))

    def _send_again(self, message: Message, said: Said, earlier: Delivery | None, stand: _Stand) -> str:
        """The destination gets messages as they come: one that it got already is sent a second time only if asked."""
        if stand.state == DEAD:
            assert earlier is not None
            assert earlier.own_record is not None
            dead_letters.revive(self._connection, self._books, earlier.own_record, self._now_ms)
            self._make_due({earlier.own_record: "message"})
            return ""
        if stand.state == PENDING:
            return ON_ITS_WAY
        if not self._replay.again:
            return ALREADY_DELIVERED
        if earlier is None:
            return self._recall(message, said, stand)
        self._connection.execute("DELETE FROM records WHERE id = ?", (earlier.own_record,))
        earlier.own_record = None  # the new one stands at the end of its lane
        return self._look_again(message, said, earlier)

    def _placement(
        self, delivery: Delivery, connected: Connected, placing: Mapping[str, str] | None = None
    ) -> Placement:
        """Without what would be done a second time, or long after: a replay only sets right what records hold."""
        placement = super()._placement(delivery, connected, placing)
        if connected is not self._connected or not self._fired_objects:
            return placement
        kept = tuple(c for c in placement.contributions if c.object not in self._fired_objects)
        if placement.contributions and not kept:
            return Placement(state="filtered", reason=ONLY_FIRES)
        return structs.replace(placement, contributions=kept)

    def _insert(self, delivery: Delivery, stand: _Stand) -> None:
        """Give a message a row again, where it is counted."""
        delivery.state, delivery.reason, _ = stand
        deliveries.insert(self._connection, self._connected.id, [delivery])

    def _keep_body(self, message: Message) -> None:
        if message.type in ("identify", "group"):
            self._bodies.append((message.offset, message.body))

    def _note_elsewhere(self, delivery: Delivery) -> None:
        placing, today = self._past.placing_of(delivery), self._past.now.placing
        if placing is not None:
            moved = {name for name, text in placing.items() if today.get(name, text) != text}
            for contribution in self._placement(delivery, self._connected).contributions:
                if contribution.object in moved:
                    self._elsewhere.add((contribution.object, contribution.key))

    # -- records

    def _note_due(self) -> None:
        """Count the records that became due, and forget what was delivered last where a call is to be made anyway."""
        touched = self._changes[self._connected.id].touched()
        new = self._make_due({record_id: name for record_id, (name, _) in touched.items()})
        fired_once = {spec.name for spec in self._connected.destination.objects if spec.of_message}
        unsure = {
            record_id
            for record_id in new
            if touched[record_id][0] not in fired_once and (self._replay.again or touched[record_id] in self._elsewhere)
        }
        if unsure and not self._ordered:
            self._doubt(unsure)
        if not self._ordered:
            self._connection.executemany(
                "UPDATE records SET presence = 'uncertain' WHERE id = ? AND presence = 'absent'",
                [(delivery.own_record,) for delivery in self._recalled],
            )
        self._connection.executemany(
            "UPDATE records SET due_at_ms = ? WHERE id = ? AND state = 'parked'",
            [(self._now_ms, record_id) for record_id in sorted(new)],
        )

    def _make_due(self, objects: Mapping[int, str]) -> set[int]:
        new = replays.make_due(self._connection, self._replay.id, objects.keys())
        self._figures.update((replays.DUE, objects[record_id]) for record_id in new)
        return new

    def _doubt(self, record_ids: set[int]) -> None:
        """Nobody knows what the other side holds of these: they are looked up, and written whatever was equal."""
        before = count_present(self._connection, record_ids)
        upserted = json.dumps([spec.name for spec in self._connected.destination.objects if spec.upserted])
        self._connection.executemany(  # a call that upserts needs no look before it
            "UPDATE records SET delivered_digest = NULL, presence = iif(presence = 'present'"
            " AND object NOT IN (SELECT value FROM json_each(?)), 'uncertain', presence) WHERE id = ?",
            [(upserted, record_id) for record_id in sorted(record_ids)],
        )
        count_change(self._connection, self._connected.id, before, count_present(self._connection, record_ids))


def _stated_otherwise(before: Placement) -> Placement:
    """A placement whose statements differ from any, so that today's take their place."""
    contributions = tuple(
        c if c.statement is None else structs.replace(c, statement=Statement(account_id=-1))
        for c in before.contributions
    )
    return structs.replace(before, contributions=contributions)


def _why_nothing(placement: Placement) -> str:
    return "" if placement.contributions else placement.reason
