"""Who is who, and what is known of them.

An *identity* is a userId or an anonymousId. Dated links say that an identity is part of a user; dated account facts
and e-mail facts say what is true of a user. `IdentityGraph` answers from memory and loads what it lacks from the
store. It is exact for any order in which facts arrive: what a new fact changes for earlier messages comes back as
`Scope`s to resolve again.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gainsight_destination.events.message import GROUP_ID
from gainsight_destination.resolve.facts import ALWAYS, Fact, Interval, in_force, intervals_of, learn

USER: Final = 1
ANONYMOUS: Final = 2

Names = tuple[str, ...]
"""The trait names under which a destination reads the account id, best first."""


class Scope(NamedTuple):
    """Messages whose resolution may have changed: those of an identity in an interval."""

    identity_id: int
    interval: Interval


@dataclass(slots=True)
class Identity:
    """One node of the graph: what it is linked to, what is linked to it, what its messages said."""

    links: list[Fact] = field(default_factory=list)
    links_to: dict[int, list[Fact]] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)
    accounts: list[tuple[Fact, str]] = field(default_factory=list)
    emails: list[Fact] = field(default_factory=list)

    def says_anything(self, interval: Interval) -> bool:
        from_ms, until_ms = interval
        return any(from_ms <= fact.at_ms < until_ms for fact, _ in self.accounts) or any(
            from_ms <= fact.at_ms < until_ms for fact in self.emails
        )


class IdentityGraph:
    """Identities, links and facts. Not thread-safe: it belongs to the one writer."""

    CACHED_IDENTITIES: Final = 250_000

    def __init__(self, connection: sqlite3.Connection, vocabularies: frozenset[Names] = frozenset()) -> None:
        self._connection = connection
        self._vocabularies = vocabularies
        self._identities: dict[int, Identity] = {}
        self._accounts: dict[tuple[int, Names], list[Fact]] = {}
        self._emails: dict[int, list[Fact]] = {}
        self._new_links: list[tuple[int, int, str, int]] = []
        self._new_members: list[tuple[int, int]] = []
        self._new_accounts: list[tuple[int, int, str, str, int]] = []
        self._new_emails: list[tuple[int, int, str, int]] = []

    # -- questions

    def user_of(self, identity_id: int, at_ms: int) -> int:
        """The user that an identity was part of at a time: links followed to their end."""
        links = self._identity(identity_id).links
        path: dict[int, Fact] = {}
        while links:
            link = in_force(links, at_ms)
            assert link is not None
            if identity_id in path:
                return _newest_of_cycle(path, identity_id)
            path[identity_id] = link
            identity_id = link.value
            links = self._identity(identity_id).links
        return identity_id

    def link_in_force(self, identity_id: int, at_ms: int) -> Fact | None:
        return in_force(self._identity(identity_id).links, at_ms)

    def account_in_force(self, user_id: int, at_ms: int, names: Names) -> Fact | None:
        """The account fact in force for a user; of identify facts only those said under one of `names` count."""
        return in_force(self._account_timeline(user_id, names), at_ms)

    def email_in_force(self, user_id: int, at_ms: int) -> Fact | None:
        return in_force(self._email_timeline(user_id), at_ms)

    def scopes_of(self, user_id: int, interval: Interval = ALWAYS) -> Iterator[Scope]:
        """Where messages of a user in an interval may stand: its own identity, and those linked to it by then."""
        return self._spans(user_id, interval, frozenset())

    # -- facts

    def add_link(self, identity_id: int, at_ms: int, message_id: str, user_id: int) -> list[Scope]:
        """Learn that an identity is part of a user."""
        identity, fact = self._identity(identity_id), Fact(at_ms, message_id, 0, user_id)
        if identity_id == user_id or fact in identity.links[-1:]:
            return []
        before = in_force(identity.links, at_ms)
        if identity_id not in self._identity(user_id).members:
            self._identity(user_id).members.add(identity_id)
            self._new_members.append((user_id, identity_id))
        self._new_links.append((identity_id, at_ms, message_id, user_id))
        identity.links_to.setdefault(user_id, []).append(fact)
        changed = learn(identity.links, fact)
        if changed is None and self._closes_cycle(identity_id, user_id):
            changed = ALWAYS
        if changed is None:
            return []
        moved = list(self.scopes_of(identity_id, changed))
        if not any(self._identity(scope.identity_id).says_anything(scope.interval) for scope in moved):
            return moved
        affected = {identity_id} | self._downstream(user_id)
        if before is not None:
            affected |= self._downstream(before.value)
        for user in affected:  # facts go from one user to another: both have another history now
            self._forget_timelines(user)
            moved.extend(self.scopes_of(user))
        return moved

    def add_account(self, identity_id: int, at_ms: int, message_id: str, name: str, account_id: int) -> list[Scope]:
        """Learn that an identity belonged to an account: said by a trait called `name`, or by a group call."""
        user_id = self.user_of(identity_id, at_ms)
        timelines = [
            (self._account_timeline(user_id, names), _rank(name, names))
            for names in self._vocabularies
            if name == GROUP_ID or name in names
        ]
        self._identity(identity_id).accounts.append((Fact(at_ms, message_id, 0, account_id), name))
        self._new_accounts.append((identity_id, at_ms, message_id, name, account_id))
        return self._changes(user_id, timelines, at_ms, message_id, account_id)

    def add_email(self, identity_id: int, at_ms: int, message_id: str, email_id: int) -> list[Scope]:
        """Learn that an identity had an e-mail address."""
        user_id = self.user_of(identity_id, at_ms)
        timeline = self._email_timeline(user_id)
        self._identity(identity_id).emails.append(Fact(at_ms, message_id, 0, email_id))
        self._new_emails.append((identity_id, at_ms, message_id, email_id))
        return self._changes(user_id, [(timeline, 0)], at_ms, message_id, email_id)

    def _changes(
        self, user_id: int, timelines: list[tuple[list[Fact], int]], at_ms: int, message_id: str, value: int
    ) -> list[Scope]:
        scopes: list[Scope] = []
        for timeline, rank in timelines:
            changed = learn(timeline, Fact(at_ms, message_id, rank, value))
            if changed is not None:
                scopes.extend(self.scopes_of(user_id, changed))
        return scopes

    # -- memory and store

    def add_new(self, identity_id: int) -> None:
        """Remember an identity just created: the store knows nothing of it."""
        self._identities[identity_id] = Identity()

    def flush(self) -> None:
        """Write what was learned, in key order, which touches each page once; part of the caller's transaction."""
        write = self._connection.executemany
        write(
            "INSERT OR IGNORE INTO links (identity_id, at_ms, message_id, user_id) VALUES (?,?,?,?)",
            sorted(self._new_links),
        )
        write("INSERT OR IGNORE INTO linked (user_id, identity_id) VALUES (?,?)", self._new_members)
        write(
            "INSERT OR IGNORE INTO account_facts (identity_id, at_ms, message_id, name, account_id) VALUES (?,?,?,?,?)",
            self._new_accounts,
        )
        write(
            "INSERT OR IGNORE INTO email_facts (identity_id, at_ms, message_id, email_id) VALUES (?,?,?,?)",
            self._new_emails,
        )
        self._clear_new()

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back, or memory is to be bounded."""
        self._identities.clear()
        self._accounts.clear()
        self._emails.clear()
        self._clear_new()

    def trim(self) -> None:
        """Keep memory bounded; called between transactions."""
        if len(self._identities) > self.CACHED_IDENTITIES:
            self.forget()

    def _clear_new(self) -> None:
        self._new_links, self._new_members, self._new_accounts, self._new_emails = [], [], [], []

    def _identity(self, identity_id: int) -> Identity:
        identity = self._identities.get(identity_id)
        if identity is None:
            identity = self._identities[identity_id] = self._load(identity_id)
        return identity

    def _load(self, identity_id: int) -> Identity:
        read = self._connection.execute
        of_identity = (identity_id,)
        links = [
            Fact(at_ms, message_id, 0, user_id)
            for at_ms, message_id, user_id in read(
                "SELECT at_ms, message_id, user_id FROM links WHERE identity_id = ? ORDER BY at_ms, message_id",
                of_identity,
            )
        ]
        links_to: dict[int, list[Fact]] = {}
        for link in links:
            links_to.setdefault(link.value, []).append(link)
        return Identity(
            links=links,
            links_to=links_to,
            members={row[0] for row in read("SELECT identity_id FROM linked WHERE user_id = ?", of_identity)},
            accounts=[
                (Fact(at_ms, message_id, 0, account_id), name)
                for at_ms, message_id, name, account_id in read(
                    "SELECT at_ms, message_id, name, account_id FROM account_facts WHERE identity_id = ?", of_identity
                )
            ],
            emails=[
                Fact(at_ms, message_id, 0, email_id)
                for at_ms, message_id, email_id in read(
                    "SELECT at_ms, message_id, email_id FROM email_facts WHERE identity_id = ?", of_identity
                )
            ],
        )

    def _account_timeline(self, user_id: int, names: Names) -> list[Fact]:
        timeline = self._accounts.get((user_id, names))
        if timeline is None:
            timeline = sorted(
                Fact(fact.at_ms, fact.message_id, _rank(name, names), fact.value)
                for identity_id in {scope.identity_id for scope in self.scopes_of(user_id)}
                for fact, name in self._identity(identity_id).accounts
                if (name == GROUP_ID or name in names) and self.user_of(identity_id, fact.at_ms) == user_id
            )
            self._accounts[user_id, names] = timeline
        return timeline

    def _email_timeline(self, user_id: int) -> list[Fact]:
        timeline = self._emails.get(user_id)
        if timeline is None:
            timeline = sorted(
                fact
                for identity_id in {scope.identity_id for scope in self.scopes_of(user_id)}
                for fact in self._identity(identity_id).emails
                if self.user_of(identity_id, fact.at_ms) == user_id
            )
            self._emails[user_id] = timeline
        return timeline

    def _forget_timelines(self, user_id: int) -> None:
        self._emails.pop(user_id, None)
        for names in self._vocabularies:
            self._accounts.pop((user_id, names), None)

    def _spans(self, user_id: int, interval: Interval, above: frozenset[int]) -> Iterator[Scope]:
        yield Scope(user_id, interval)
        above |= {user_id}
        for member in self._identity(user_id).members - above:
            links = self._identity(member)
            for linked in intervals_of(links.links, sorted(links.links_to.get(user_id, ()))):
                overlap = linked.overlap(interval)
                if overlap is not None:
                    yield from self._spans(member, overlap, above)

    def _closes_cycle(self, identity_id: int, user_id: int) -> bool:
        """In a cycle even a repeated link matters: the newest one decides."""
        return bool(self._identity(user_id).links) and identity_id in self._downstream(user_id)

    def _downstream(self, identity_id: int) -> set[int]:
        found, waiting = {identity_id}, [identity_id]
        while waiting:
            targets = {link.value for link in self._identity(waiting.pop()).links} - found
            found |= targets
            waiting.extend(targets)
        return found


def _rank(name: str, names: Names) -> int:
    return 0 if name == GROUP_ID else -names.index(name)


def _newest_of_cycle(path: dict[int, Fact], entry_id: int) -> int:
    """Aliases that point at each other name one user: the one that the newest of these links points at."""
    nodes = list(path)
    return max(path[node] for node in nodes[nodes.index(entry_id) :]).value
