"""What is known of one account or one user: facts with their evidence, newest messages, and where their records stand.

Everything is found by an index, and all lists are bounded: the newest first.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.gainsight.placement import COMPANY, PERSON, USAGE, UsageKey
from gainsight_destination.events.account_ids import doubt, normalise_account_id
from gainsight_destination.events.emails import normalise_email
from gainsight_destination.observe.names import Names
from gainsight_destination.records.deliveries import OFFSETS
from gainsight_destination.resolve.identities import ANONYMOUS, USER, IdentityGraph
from gainsight_destination.resolve.trust import limited_sources

LISTED: Final = 50
USERS_ASKED: Final = 50
COUNTED: Final = 5_000
ASKED: Final = 500
KINDS: Final = {USER: "userId", ANONYMOUS: "anonymousId"}
_NO_TEXT_IS_LATER: Final = "\U0010ffff"


class Found(msgspec.Struct, frozen=True):
    """Something that a search found. `kind`: account, email, userId or anonymousId."""

    kind: str
    value: str


class AccountFact(msgspec.Struct, frozen=True):
    """A message said that a user belongs to an account: `name` is the trait that said it, or groupId."""

    account: str
    user: str
    name: str
    at_ms: int
    message_id: str
    source: str | None
    """None: not known any more."""


class RecordState(msgspec.Struct, frozen=True):
    """Where a record of a destination stands. `gsid`: its id in Gainsight, once that is known."""

    destination: str
    object: str
    state: str
    presence: str
    reason: str
    gsid: str | None
    dead_letter: int | None
    """The open one."""


class CompanyKnown(msgspec.Struct, frozen=True):
    """Whether a destination's Gainsight has the Company, as of `checked_at_ms`."""

    destination: str
    present: bool
    gsid: str | None
    checked_at_ms: int


class UsageRecord(msgspec.Struct, frozen=True):
    """A daily usage record. `day`: days since 1970-01-01; `user` is None for the grain `account`."""

    destination: str
    day: int
    event: str
    user: str | None
    count: int
    state: str


class Sent(msgspec.Struct, frozen=True):
    """A message at a destination, as far as it is still remembered there."""

    destination: str
    offset: int
    message_id: str
    type: str
    event: str | None
    at_ms: int
    source: str
    user: str
    account: str | None
    state: str
    reason: str


class Account(msgspec.Struct, frozen=True):
    """An account. `users`: identities that ever said they belong to it, up to COUNTED.

    `facts` and `messages` are the newest of the USERS_ASKED identities that came last. `usage` are its newest usage
    records; of more than COUNTED only those are looked at, and `usage_cut` says so.
    """

    id: str
    warning: str | None
    users: int
    facts: list[AccountFact]
    records: list[RecordState]
    companies: list[CompanyKnown]
    usage: list[UsageRecord]
    usage_cut: bool
    messages: list[Sent]


class Linked(msgspec.Struct, frozen=True):
    """An identity that is or was part of a user."""

    kind: str
    value: str


class EmailFact(msgspec.Struct, frozen=True):
    """An e-mail that a user has had from a time on, until the next one."""

    email: str
    at_ms: int
    message_id: str


class User(msgspec.Struct, frozen=True):
    """A user: the identity asked for is part of it now, with the others that are linked to it."""

    id: str
    kind: str
    identities: list[Linked]
    account_facts: list[AccountFact]
    accounts: dict[str, str | None]
    """The account in force now, by destination."""
    emails: list[EmailFact]
    records: list[RecordState]
    messages: list[Sent]


def search(connection: sqlite3.Connection, text: str, limit: int = 20) -> list[Found]:
    """Accounts, e-mails, userIds and anonymousIds that begin with a text; the exact one of each kind first."""
    text = text.strip()
    if not text:
        return []
    asked: list[tuple[str, str, str]] = [
        ("account", "accounts WHERE", normalise_account_id(text)),
        ("account", "accounts WHERE", text),
        ("email", "emails WHERE", text.lower()),
        (KINDS[USER], f"identities WHERE kind = {USER} AND", text),
        (KINDS[ANONYMOUS], f"identities WHERE kind = {ANONYMOUS} AND", text),
    ]
    found: dict[Found, None] = {}
    for kind, where, prefix in asked:
        rows = connection.execute(
            f"SELECT value FROM {where} value >= ? AND value < ? ORDER BY value LIMIT ?",
            (prefix, prefix + _NO_TEXT_IS_LATER, limit),
        )
        found |= dict.fromkeys(Found(kind, value) for (value,) in rows)
    return list(found)[: limit * len(KINDS)]


def account(connection: sqlite3.Connection, account_id: str) -> Account | None:
    """All of one account, by its id in any of its spellings; None when no message ever named it."""
    row = connection.execute(
        "SELECT id, value FROM accounts WHERE value IN (?, ?)", (normalise_account_id(account_id), account_id)
    ).fetchone()
    return None if row is None else _Account(connection).tell(*row)


def user(connection: sqlite3.Connection, destinations: Sequence[Connected], identity: str, now_ms: int) -> User | None:
    """The user that a userId, else an anonymousId, else an e-mail is of now; None when nothing is known of it.

    An e-mail is taken for that of whoever said it last.
    """
    row = connection.execute("SELECT id FROM identities WHERE value = ? ORDER BY kind LIMIT 1", (identity,)).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT identity_id FROM (SELECT h.identity_id, h.email_id FROM emails JOIN email_holders h"
            " ON h.email_id = emails.id WHERE value = ? LIMIT ?) h ORDER BY (SELECT max(at_ms) FROM"
            " (SELECT at_ms, email_id FROM email_facts WHERE identity_id = h.identity_id ORDER BY at_ms DESC LIMIT ?) f"
            " WHERE f.email_id = h.email_id) DESC LIMIT 1",
            (normalise_email(identity), LISTED, ASKED),
        ).fetchone()
    return None if row is None else _User(connection, destinations, row[0], now_ms).tell()


class _Reader:
    """What accounts and users have in common."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._names = Names.of(connection)

    def _records(self, object_name: str, key: str) -> list[RecordState]:
        return [
            RecordState(name, object_name, *row)
            for destination_id, name in self._names.destinations.items()
            for row in self._query(
                "SELECT state, presence, reason, remote_id, (SELECT id FROM dead_letters WHERE record_id = records.id"
                " AND state = 'open') FROM records WHERE destination_id = ? AND object = ? AND key = ? AND shared = 1",
                destination_id,
                object_name,
                key,
            )
        ]

    def _messages(self, identity_ids: Iterable[int], column: str, value: int) -> list[Sent]:
        """The newest messages that identities sent and that were resolved to one user or account."""
        rows = [
            row
            for identity_id in identity_ids
            for row in self._query(
                "SELECT id, message_id, type, event_id, at_ms, source_id, user_id, account_id, state, reason FROM"
                " (SELECT * FROM deliveries WHERE identity_id = ? ORDER BY at_ms DESC LIMIT ?)"
                f" WHERE {column} = ? LIMIT ?",
                identity_id,
                ASKED,
                value,
                LISTED,
            )
        ]
        rows.sort(key=lambda row: (row[4], row[0]), reverse=True)
        return [self._sent(*row) for row in rows[:LISTED]]

    def _sent(
        self,
        row_id: int,
        message_id: str,
        kind: str,
        event_id: int | None,
        at_ms: int,
        source_id: int,
        user_id: int,
        account_id: int | None,
        state: str,
        reason: str,
    ) -> Sent:
        return Sent(
            self._names.destination(row_id // OFFSETS),
            row_id % OFFSETS,
            message_id,
            kind,
            None if event_id is None else self._text("event_names", event_id),
            at_ms,
            self._names.source(source_id),
            self._text("identities", user_id),
            None if account_id is None else self._text("accounts", account_id),
            state,
            reason,
        )

    def _fact(self, account: str, who: str, name: str, at_ms: int, message_id: str, source_id: int) -> AccountFact:
        source = self._names.source(source_id) if source_id else None
        return AccountFact(account, who, name, at_ms, message_id, source)

    def _kind(self, identity_id: int) -> str:
        ((kind,),) = self._query("SELECT kind FROM identities WHERE id = ?", identity_id)
        return KINDS[kind]

    def _text(self, table: str, row_id: int) -> str:
        ((value,),) = self._query(f"SELECT value FROM {table} WHERE id = ?", row_id)
        return str(value)

    def _query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _members(self, user_ids: Iterable[int]) -> set[int]:
        """The identities that were ever linked to users, at any distance; a bounded number of them."""
        found, waiting = set(user_ids), list(user_ids)
        while waiting and len(found) < COUNTED:
            rows = self._query("SELECT identity_id FROM linked WHERE user_id = ? LIMIT ?", waiting.pop(), LISTED)
            new = {identity_id for (identity_id,) in rows} - found
            found |= new
            waiting.extend(new)
        return found


class _Account(_Reader):
    """Tells of an account."""

    def tell(self, number: int, account_id: str) -> Account:
        ((users,),) = self._query(
            "SELECT count(*) FROM (SELECT 1 FROM account_members WHERE account_id = ? LIMIT ?)", number, COUNTED
        )
        rows = self._query(
            "SELECT identity_id FROM account_members WHERE account_id = ? ORDER BY identity_id DESC LIMIT ?",
            number,
            USERS_ASKED,
        )
        speakers = {identity_id for (identity_id,) in rows}
        return Account(
            account_id,
            doubt(account_id),
            users,
            self._facts(number, account_id, speakers),
            self._records(COMPANY, str(number)),
            self._companies(account_id),
            *self._usage(number),
            self._messages(speakers | self._members(speakers), "account_id", number),
        )

    def _facts(self, number: int, account_id: str, speakers: Iterable[int]) -> list[AccountFact]:
        """What these identities said of belonging to the account, newest first."""
        rows = [
            row
            for speaker in speakers
            for row in self._query(
                "SELECT value, name, at_ms, message_id, source_id FROM (SELECT * FROM account_facts"
                " WHERE identity_id = ? ORDER BY at_ms DESC LIMIT ?) JOIN identities ON id = identity_id"
                " WHERE account_id = ? ORDER BY at_ms DESC LIMIT ?",
                speaker,
                ASKED,
                number,
                LISTED,
            )
        ]
        rows.sort(key=lambda row: row[2:4], reverse=True)
        return [self._fact(account_id, *row) for row in rows[:LISTED]]

    def _companies(self, account_id: str) -> list[CompanyKnown]:
        found = []
        for destination_id, name in self._names.destinations.items():
            for remote_id, checked_at_ms in self._query(
                "SELECT remote_id, checked_at_ms FROM references_known"
                " WHERE destination_id = ? AND object = ? AND name = ?",
                destination_id,
                COMPANY,
                account_id,
            ):
                found.append(CompanyKnown(name, remote_id is not None, remote_id or None, checked_at_ms))
        return found

    def _usage(self, number: int) -> tuple[list[UsageRecord], bool]:
        """(the newest usage records of an account in each destination, whether some were not looked at)."""
        found, cut = [], False
        for destination_id, name in self._names.destinations.items():
            rows = self._query(
                "SELECT id, key, state FROM records WHERE destination_id = ? AND object = ? AND shared = 1"
                " AND key >= ? AND key < ? ORDER BY key LIMIT ?",
                destination_id,
                USAGE,
                f"{number}/",
                f"{number}0",  # 0 comes after /
                COUNTED,
            )
            cut = cut or len(rows) == COUNTED
            newest = sorted(((UsageKey.parse(key), record_id, state) for record_id, key, state in rows), key=_day_of)
            found += [self._usage_record(name, *row) for row in newest[:LISTED]]
        return found, cut

    def _usage_record(self, destination: str, key: UsageKey, record_id: int, state: str) -> UsageRecord:
        ((count,),) = self._query("SELECT coalesce(sum(count), 0) FROM tallies WHERE record_id = ?", record_id)
        event = self._text("event_names", key.event_id)
        who = None if key.user_id is None else self._text("identities", key.user_id)
        return UsageRecord(destination, key.day, event, who, count, state)


class _User(_Reader):
    """Tells of the user that an identity is part of now."""

    def __init__(
        self, connection: sqlite3.Connection, destinations: Sequence[Connected], identity_id: int, now_ms: int
    ) -> None:
        super().__init__(connection)
        names = {connected.destination.account_names for connected in destinations}
        self._graph = IdentityGraph(connection, frozenset(names), limited_sources(connection))
        self._destinations = destinations
        self._now_ms = now_ms
        self._user_id = self._graph.user_of(identity_id, now_ms)

    def tell(self) -> User:
        user_id = self._user_id
        members = [user_id, *sorted(self._members({user_id}) - {user_id})][:LISTED]
        emails = self._emails(members)
        numbers = dict.fromkeys(str(number) for number, *_ in emails)
        return User(
            self._text("identities", user_id),
            self._kind(user_id),
            [Linked(self._kind(member), self._text("identities", member)) for member in members],
            self._facts_of(members),
            {connected.name: self._account_now(connected) for connected in self._destinations},
            [EmailFact(email, at_ms, message_id) for _, email, at_ms, message_id, _ in emails],
            [state for number in numbers for state in self._records(PERSON, number)],
            self._messages(members, "user_id", user_id),
        )

    def _account_now(self, connected: Connected) -> str | None:
        fact = self._graph.account_in_force(self._user_id, self._now_ms, connected.destination.account_names)
        return None if fact is None else self._text("accounts", fact.value)

    def _facts_of(self, members: Sequence[int]) -> list[AccountFact]:
        """Account facts of the user, newest first."""
        rows = self._said(
            members,
            "SELECT a.value, i.value, f.name, f.at_ms, f.message_id, f.source_id, f.identity_id FROM account_facts f"
            " JOIN accounts a ON a.id = f.account_id JOIN identities i ON i.id = f.identity_id",
            at=3,
        )
        return [self._fact(*row[:-1]) for row in rows]

    def _emails(self, members: Sequence[int]) -> list[tuple[Any, ...]]:
        """(number, e-mail, at_ms, message id, identity) of the user, newest first."""
        return self._said(
            members,
            "SELECT e.id, e.value, f.at_ms, f.message_id, f.identity_id FROM email_facts f"
            " JOIN emails e ON e.id = f.email_id",
            at=2,
        )

    def _said(self, members: Sequence[int], select: str, at: int) -> list[tuple[Any, ...]]:
        """Facts, newest first, that identities said while they were part of the user. `at`: the column of their time;
        the message id comes next, the identity last."""
        newest = " WHERE f.identity_id = ? ORDER BY f.at_ms DESC, f.message_id DESC LIMIT ?"
        rows = [row for member in members for row in self._query(select + newest, member, LISTED)]
        own = [row for row in rows if self._graph.user_of(row[-1], row[at]) == self._user_id]
        return sorted(own, key=lambda row: row[at : at + 2], reverse=True)[:LISTED]


def _day_of(usage: tuple[UsageKey, int, str]) -> tuple[int, int]:
    """Newest first."""
    key, record_id, _ = usage
    return -key.day, -record_id
