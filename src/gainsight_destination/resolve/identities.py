"""Who is who, and what is known of them.

An *identity* is a userId or an anonymousId. Dated links say that an identity is part of a user; dated account facts
and e-mail facts say what is true of a user. `IdentityGraph` answers from memory and loads what it lacks from the
store. It is exact for any order in which facts arrive: what a new fact changes for earlier messages comes back as
`Scope`s to resolve again.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from gainsight_destination.events.message import GROUP_ID
from gainsight_destination.resolve.facts import ALWAYS, NEVER_MS, Fact, Interval, in_force, intervals_of, learn

USER: Final = 1
ANONYMOUS: Final = 2

MEMBERS_READ_BACK: Final = 32
"""Links to a user with more identities than this are always written."""

FACTS_READ: Final = 8
"""So many of the newest facts of an identity are read, nearly always those in force; all of them when a time needs it.
A timeline that has grown as long is shortened between transactions."""
FACTS_KEPT: Final = 2
"""To so many."""

Names = tuple[str, ...]
"""The trait names under which a destination reads the account id, best first."""

AccountFact = tuple[int, str, str, int, int]
"""(at_ms, message id, the trait name that said it or GROUP_ID, account, source)."""
EmailFact = tuple[int, str, int]
"""(at_ms, message id, e-mail)."""

_LISTED: Final = "IN (SELECT value FROM json_each(?))"


class Scope(NamedTuple):
    """Messages whose resolution may have changed: those of an identity in an interval."""

    identity_id: int
    interval: Interval


class Identity:
    """One node of the graph: what it is linked to, what is linked to it, and whether its messages ever said a fact.

    Most identities are only ever linked to one user. Then `sole` is that user, at any time, and the links themselves
    are not read; `links` holds all of them, sorted, once there are links to different users.
    """

    __slots__ = ("links", "links_to", "members", "says", "sole")

    def __init__(self) -> None:
        self.sole: int | None = None
        self.links: list[Fact] = _NO_FACTS
        self.links_to: dict[int, list[Fact]] = _NO_LINKS
        self.members: set[int] = _NOBODY
        self.says = False

    def hold(self, links: list[Fact]) -> None:
        """Have these links, sorted."""
        self.links, self.links_to = links, {}
        for link in links:
            self.links_to.setdefault(link.value, []).append(link)

    def targets(self) -> set[int]:
        """The users it was ever linked to."""
        return set(self.links_to) if self.sole is None else {self.sole}


class Timeline:
    """Dated facts of one user, sorted: all of them (`whole`), or the newest."""

    __slots__ = ("facts", "whole")

    def __init__(self, facts: list[Fact], whole: bool) -> None:
        self.facts = facts
        self.whole = whole

    def reaches(self, at_ms: int) -> bool:
        """Whether it tells what is in force at a time, and what a fact of that time changes."""
        return self.whole or (bool(self.facts) and self.facts[0].at_ms < at_ms)

    def shorten(self) -> None:
        """Keep the newest facts."""
        del self.facts[:-FACTS_KEPT]
        self.whole = False


# What most identities have none of; replaced, never changed.
_NO_FACTS: Final[list[Fact]] = []
_NO_LINKS: Final[dict[int, list[Fact]]] = {}
_NOBODY: Final[set[int]] = set()
_NO_SCOPES: Final[list[Scope]] = []


class IdentityGraph:
    """Identities, links and facts. Not thread-safe: it belongs to the one writer.

    A link that a delivered message says again is not written a second time: the message's own row has its user, its
    anonymous id and its time, so the link is read from there when it matters, which is when its identity is linked to
    a second user. From then on all links of that identity are written, and so are all links to a user with many
    identities, whose messages would be read again and again.

    A user is *placed* once a source of full trust has said an account fact of it, at whatever time; then account facts
    of the sources of limited trust (`limited`) do not count for it.
    """

    CACHED_IDENTITIES: Final = 250_000

    def __init__(
        self,
        connection: sqlite3.Connection,
        vocabularies: frozenset[Names] = frozenset(),
        limited: frozenset[int] = frozenset(),
    ) -> None:
        self.limited = limited
        self._connection = connection
        self._vocabularies = vocabularies
        self._identities: dict[int, Identity] = {}
        self._accounts: dict[tuple[int, Names], Timeline] = {}
        self._placed: set[tuple[int, Names]] = set()
        """Of the users in `_accounts`; empty while no source has limited trust."""
        self._emails: dict[int, Timeline] = {}
        self._grown: list[Timeline] = []
        """Timelines that are to be shortened between transactions."""
        self._new_links: list[tuple[int, int, str, int]] = []
        self._delivered_links: list[tuple[int, int, str, int]] = []
        self._new_members: list[tuple[int, int]] = []
        self._new_accounts: dict[int, list[AccountFact]] = {}
        self._new_emails: dict[int, list[EmailFact]] = {}
        """What each identity said, not written yet."""

    # -- questions

    def user_of(self, identity_id: int, at_ms: int) -> int:
        """The user that an identity was part of at a time: links followed to their end."""
        identity = self._identity(identity_id)
        path: list[int] = []
        while identity.sole is not None or identity.links:
            if identity_id in path:
                return self._newest_of_cycle(identity_id, at_ms)
            path.append(identity_id)
            if identity.sole is not None:
                identity_id = identity.sole
            else:
                link = in_force(identity.links, at_ms)
                assert link is not None
                identity_id = link.value
            identity = self._identity(identity_id)
        return identity_id

    def _newest_of_cycle(self, identity_id: int, at_ms: int) -> int:
        """Aliases that point at each other name one user: the one that the newest of these links points at."""
        links: dict[int, Fact] = {}
        while identity_id not in links:
            link = self.link_in_force(identity_id, at_ms)
            assert link is not None
            links[identity_id] = link
            identity_id = link.value
        return max(links.values()).value

    def link_in_force(self, identity_id: int, at_ms: int) -> Fact | None:
        identity = self._identity(identity_id)
        self._tell_links_apart(identity_id, identity)
        return in_force(identity.links, at_ms)

    def account_in_force(self, user_id: int, at_ms: int, names: Names) -> Fact | None:
        """The account fact in force for a user; of identify facts only those said under one of `names` count."""
        return in_force(self._account_timeline(user_id, names, at_ms).facts, at_ms)

    def placed_account_in_force(self, user_id: int, at_ms: int, names: Names) -> Fact | None:
        """The account fact in force for a user who is placed; None for one who is not."""
        timeline = self._account_timeline(user_id, names, at_ms)
        return in_force(timeline.facts, at_ms) if (user_id, names) in self._placed else None

    def email_in_force(self, user_id: int, at_ms: int) -> Fact | None:
        return in_force(self._email_timeline(user_id, at_ms).facts, at_ms)

    def scopes_of(self, user_id: int, interval: Interval = ALWAYS) -> Iterator[Scope]:
        """Where messages of a user in an interval may stand: its own identity, and those linked to it by then."""
        return self._spans(user_id, interval, frozenset())

    # -- facts

    def add_link(
        self, identity_id: int, at_ms: int, message_id: str, user_id: int, *, delivered: bool = False
    ) -> list[Scope]:
        """Learn that an identity is part of a user.

        `delivered`: the message is on its way to a destination, with the identity as its anonymous id.
        """
        if identity_id == user_id:
            return _NO_SCOPES
        identity = self._identity(identity_id)
        if identity.sole == user_id and not self._closes_cycle(identity_id, user_id):
            self._note_link(identity_id, at_ms, message_id, user_id, delivered)
            return _NO_SCOPES
        if identity.sole is None and not identity.links:
            identity.sole = user_id
            self._add_member(user_id, identity_id)
            self._note_link(identity_id, at_ms, message_id, user_id, delivered)
            return self._moved(identity_id, user_id, None, ALWAYS)
        self._tell_links_apart(identity_id, identity)
        fact = Fact(at_ms, message_id, 0, user_id)
        if fact in identity.links_to.get(user_id, ()):
            return []
        before = in_force(identity.links, at_ms)
        self._add_member(user_id, identity_id)
        if user_id not in identity.links_to and len(identity.links_to) == 1:
            self._new_links.extend((identity_id, link.at_ms, link.message_id, link.value) for link in identity.links)
        self._note_link(identity_id, at_ms, message_id, user_id, delivered and not identity.links_to.keys() - {user_id})
        identity.links_to.setdefault(user_id, []).append(fact)
        changed = learn(identity.links, fact)
        if changed is None and self._closes_cycle(identity_id, user_id):
            changed = ALWAYS
        return [] if changed is None else self._moved(identity_id, user_id, before, changed)

    def _note_link(self, identity_id: int, at_ms: int, message_id: str, user_id: int, delivered: bool) -> None:
        held = delivered and len(self._identity(user_id).members) <= MEMBERS_READ_BACK
        (self._delivered_links if held else self._new_links).append((identity_id, at_ms, message_id, user_id))

    def _add_member(self, user_id: int, identity_id: int) -> None:
        user = self._identity(user_id)
        if identity_id not in user.members:
            user.members = user.members or set()
            user.members.add(identity_id)
            self._new_members.append((user_id, identity_id))
            if len(user.members) == MEMBERS_READ_BACK + 1:
                self._new_links += self._links_held_of(user_id)

    def _links_held_of(self, user_id: int) -> list[tuple[int, int, str, int]]:
        """The links to a user that only its delivered messages hold."""
        rows = self._connection.execute(
            "SELECT anonymous_id, at_ms, message_id, identity_id FROM deliveries"
            " WHERE identity_id = ? AND anonymous_id IS NOT NULL",
            (user_id,),
        )
        return [*rows, *(link for link in self._delivered_links if link[3] == user_id)]

    def _moved(self, identity_id: int, user_id: int, before: Fact | None, changed: Interval) -> list[Scope]:
        """What a link moves to another user: messages, and the facts that they said."""
        moved = list(self.scopes_of(identity_id, changed))
        if not any(self._says_anything(scope) for scope in moved):
            return moved
        affected = {identity_id} | self._downstream(user_id)
        if before is not None:
            affected |= self._downstream(before.value)
        for user in affected:  # facts go from one user to another: both have another history now
            self._forget_timelines(user)
            moved.extend(self.scopes_of(user))
        return moved

    def add_account(
        self, identity_id: int, at_ms: int, message_id: str, name: str, account_id: int, source_id: int
    ) -> list[Scope]:
        """Learn that an identity belonged to an account: said by a trait called `name`, or by a group call."""
        user_id = self.user_of(identity_id, at_ms)
        timelines = [
            (self._account_timeline(user_id, names, at_ms), _rank(name, names))
            for names in self._vocabularies
            if (name == GROUP_ID or name in names) and self._counts(user_id, names, source_id)
        ]
        self._identity(identity_id).says = True
        self._new_accounts.setdefault(identity_id, []).append((at_ms, message_id, name, account_id, source_id))
        return self._changes(user_id, timelines, at_ms, message_id, account_id)

    def _counts(self, user_id: int, names: Names, source_id: int) -> bool:
        """Whether what a source says of a user's account counts. The first of full trust places the user: what others
        said before it, of any date, no longer does."""
        if not self.limited:
            return True
        timeline, user = self._account_timeline(user_id, names, NEVER_MS), (user_id, names)
        if source_id in self.limited:
            return user not in self._placed
        if user not in self._placed:
            self._placed.add(user)
            timeline.facts.clear()
            timeline.whole = True
        return True

    def add_email(self, identity_id: int, at_ms: int, message_id: str, email_id: int) -> list[Scope]:
        """Learn that an identity had an e-mail address."""
        user_id = self.user_of(identity_id, at_ms)
        timeline = self._email_timeline(user_id, at_ms)
        self._identity(identity_id).says = True
        self._new_emails.setdefault(identity_id, []).append((at_ms, message_id, email_id))
        return self._changes(user_id, [(timeline, 0)], at_ms, message_id, email_id)

    def _changes(
        self, user_id: int, timelines: list[tuple[Timeline, int]], at_ms: int, message_id: str, value: int
    ) -> list[Scope]:
        scopes: list[Scope] = []
        for timeline, rank in timelines:
            changed = learn(timeline.facts, Fact(at_ms, message_id, rank, value))
            self._note_growth(timeline)
            if changed is not None:
                scopes.extend(self.scopes_of(user_id, changed))
        return scopes

    # -- memory and store

    def add_new(self, identity_ids: Iterable[int]) -> None:
        """Remember identities just created: the store knows nothing of them."""
        for identity_id in identity_ids:
            self._identities[identity_id] = Identity()

    def flush(self) -> None:
        """Write what was learned, in key order, which touches each page once; part of the caller's transaction."""
        write = self._connection.executemany
        write(
            "INSERT OR IGNORE INTO links (identity_id, at_ms, message_id, user_id) VALUES (?,?,?,?)",
            sorted(self._new_links),
        )
        write("INSERT OR IGNORE INTO linked (user_id, identity_id) VALUES (?,?)", sorted(self._new_members))
        write(
            "INSERT INTO account_facts (identity_id, at_ms, message_id, name, account_id, source_id)"
            " VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET source_id = excluded.source_id"  # the more trusted one
            " WHERE source_id IN (SELECT source_id FROM limited_sources)",
            [(identity_id, *said) for identity_id, all_said in sorted(self._new_accounts.items()) for said in all_said],
        )
        write(
            "INSERT OR IGNORE INTO email_facts (identity_id, at_ms, message_id, email_id) VALUES (?,?,?,?)",
            [(identity_id, *said) for identity_id, all_said in sorted(self._new_emails.items()) for said in all_said],
        )
        members = {(said[3], identity_id) for identity_id, all_said in self._new_accounts.items() for said in all_said}
        write("INSERT OR IGNORE INTO account_members (account_id, identity_id) VALUES (?,?)", sorted(members))
        holders = {(said[2], identity_id) for identity_id, all_said in self._new_emails.items() for said in all_said}
        write("INSERT OR IGNORE INTO email_holders (email_id, identity_id) VALUES (?,?)", sorted(holders))
        self._clear_new()

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back, or memory is to be bounded."""
        self._identities.clear()
        self._accounts.clear()
        self._placed.clear()
        self._emails.clear()
        self._grown.clear()
        self._clear_new()

    def trim(self) -> None:
        """Keep memory bounded; called between transactions."""
        for timeline in self._grown:
            timeline.shorten()
        self._grown.clear()
        if len(self._identities) > self.CACHED_IDENTITIES:
            self.forget()

    def _clear_new(self) -> None:
        self._new_links, self._delivered_links, self._new_members = [], [], []
        self._new_accounts, self._new_emails = {}, {}

    def _identity(self, identity_id: int) -> Identity:
        try:
            return self._identities[identity_id]
        except KeyError:
            self.load((identity_id,))
            return self._identities[identity_id]

    def load(self, identity_ids: Iterable[int]) -> None:
        """Bring identities into memory, all at once."""
        wanted = [identity_id for identity_id in identity_ids if identity_id not in self._identities]
        if not wanted:
            return
        found = {identity_id: Identity() for identity_id in wanted}
        listed = (f"[{','.join(map(str, wanted))}]",)
        read = self._connection.execute
        contested: set[int] = set()
        for identity_id, user_id in read(
            f"SELECT identity_id, user_id FROM linked WHERE identity_id {_LISTED}", listed
        ):
            if found[identity_id].sole is None:
                found[identity_id].sole = user_id
            else:
                contested.add(identity_id)
        for user_id, identity_id in read(f"SELECT user_id, identity_id FROM linked WHERE user_id {_LISTED}", listed):
            user = found[user_id]
            user.members = user.members or set()
            user.members.add(identity_id)
        for (identity_id,) in read(
            "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM account_facts WHERE identity_id = value)"
            " OR EXISTS (SELECT 1 FROM email_facts WHERE identity_id = value)",
            listed,
        ):
            found[identity_id].says = True
        self._identities |= found
        for identity_id in contested:
            found[identity_id].sole = None
            found[identity_id].hold(sorted(self._written_links(identity_id)))

    def _tell_links_apart(self, identity_id: int, identity: Identity) -> None:
        """From now on every single link of this identity counts."""
        if identity.sole is not None:
            links = self._all_links(identity_id, identity.sole)
            identity.sole = None
            identity.hold(links)

    def _written_links(self, identity_id: int) -> set[Fact]:
        rows = self._connection.execute(
            "SELECT at_ms, message_id, user_id FROM links WHERE identity_id = ?", (identity_id,)
        )
        return {Fact(at_ms, message_id, 0, user_id) for at_ms, message_id, user_id in rows}

    def _all_links(self, identity_id: int, user_id: int) -> list[Fact]:
        """The links of an identity to its one user: written, held by delivered messages, and learned just now."""
        found = self._written_links(identity_id)
        if len(self._identity(user_id).members) <= MEMBERS_READ_BACK:
            found |= {
                Fact(at_ms, message_id, 0, user_id)
                for anonymous_id, at_ms, message_id, _ in self._links_held_of(user_id)
                if anonymous_id == identity_id
            }
        found |= {
            Fact(at_ms, message_id, 0, user_id)
            for linked_id, at_ms, message_id, user_id in self._new_links
            if linked_id == identity_id
        }
        return sorted(found)

    def _account_timeline(self, user_id: int, names: Names, at_ms: int) -> Timeline:
        """The account facts of a user, as far back as a time needs."""
        timeline = self._accounts.get((user_id, names))
        if timeline is not None and timeline.reaches(at_ms):
            return timeline
        if timeline is None and not self.limited:  # else all of them say whether the user is placed
            timeline = self._read_accounts(user_id, names, whole=False)
        if timeline is None or not timeline.reaches(at_ms):
            timeline = self._read_accounts(user_id, names, whole=True)
        self._accounts[user_id, names] = timeline
        self._note_growth(timeline)
        return timeline

    def _email_timeline(self, user_id: int, at_ms: int) -> Timeline:
        timeline = self._emails.get(user_id)
        if timeline is not None and timeline.reaches(at_ms):
            return timeline
        if timeline is None:
            timeline = self._read_emails(user_id, whole=False)
        if not timeline.reaches(at_ms):
            timeline = self._read_emails(user_id, whole=True)
        self._emails[user_id] = timeline
        self._note_growth(timeline)
        return timeline

    def _note_growth(self, timeline: Timeline) -> None:
        if len(timeline.facts) >= FACTS_READ:
            self._grown.append(timeline)

    def _read_accounts(self, user_id: int, names: Names, *, whole: bool) -> Timeline:
        said: list[tuple[Fact, int]] = []
        cut: tuple[int, str] | None = None
        for identity_id in self._speakers(user_id):
            rows: list[AccountFact] = self._connection.execute(
                "SELECT at_ms, message_id, name, account_id, source_id FROM account_facts WHERE identity_id = ?"
                " ORDER BY at_ms DESC, message_id DESC LIMIT ?",
                (identity_id, -1 if whole else FACTS_READ),
            ).fetchall()
            cut = _later(cut, rows, whole)
            said += [
                (Fact(at_ms, message_id, _rank(name, names), account_id), source_id)
                for at_ms, message_id, name, account_id, source_id in (*rows, *self._new_accounts.get(identity_id, ()))
                if (name == GROUP_ID or name in names) and self.user_of(identity_id, at_ms) == user_id
            ]
        if self.limited:
            trusted = [(fact, source_id) for fact, source_id in said if source_id not in self.limited]
            if trusted:
                self._placed.add((user_id, names))
                said = trusted
        return _timeline((fact for fact, _ in said), cut)

    def _read_emails(self, user_id: int, *, whole: bool) -> Timeline:
        said: list[Fact] = []
        cut: tuple[int, str] | None = None
        for identity_id in self._speakers(user_id):
            rows: list[EmailFact] = self._connection.execute(
                "SELECT at_ms, message_id, email_id FROM email_facts WHERE identity_id = ?"
                " ORDER BY at_ms DESC, message_id DESC LIMIT ?",
                (identity_id, -1 if whole else FACTS_READ),
            ).fetchall()
            cut = _later(cut, rows, whole)
            said += [
                Fact(at_ms, message_id, 0, email_id)
                for at_ms, message_id, email_id in (*rows, *self._new_emails.get(identity_id, ()))
                if self.user_of(identity_id, at_ms) == user_id
            ]
        return _timeline(said, cut)

    def _speakers(self, user_id: int) -> set[int]:
        """The identities of a user whose messages ever said a fact."""
        found = {scope.identity_id for scope in self.scopes_of(user_id)}
        return {identity_id for identity_id in found if self._identity(identity_id).says}

    def _says_anything(self, scope: Scope) -> bool:
        """Whether messages of an identity in an interval said a fact."""
        identity_id, (from_ms, until_ms) = scope
        if not self._identity(identity_id).says:
            return False
        unwritten = (*self._new_accounts.get(identity_id, ()), *self._new_emails.get(identity_id, ()))
        if any(from_ms <= said[0] < until_ms for said in unwritten):
            return True
        (found,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM account_facts WHERE identity_id = ?1 AND at_ms >= ?2 AND at_ms < ?3)"
            " OR EXISTS (SELECT 1 FROM email_facts WHERE identity_id = ?1 AND at_ms >= ?2 AND at_ms < ?3)",
            (identity_id, from_ms, until_ms),
        ).fetchone()
        return bool(found)

    def _forget_timelines(self, user_id: int) -> None:
        self._emails.pop(user_id, None)
        for names in self._vocabularies:
            self._accounts.pop((user_id, names), None)
            self._placed.discard((user_id, names))

    def _spans(self, user_id: int, interval: Interval, above: frozenset[int]) -> Iterator[Scope]:
        yield Scope(user_id, interval)
        above |= {user_id}
        for member in self._identity(user_id).members - above:
            identity = self._identity(member)
            if identity.sole is not None:
                yield from self._spans(member, interval, above)
                continue
            for linked in intervals_of(identity.links, sorted(identity.links_to.get(user_id, ()))):
                overlap = linked.overlap(interval)
                if overlap is not None:
                    yield from self._spans(member, overlap, above)

    def _closes_cycle(self, identity_id: int, user_id: int) -> bool:
        """In a cycle even a repeated link matters: the newest one decides."""
        user = self._identity(user_id)
        return (user.sole is not None or bool(user.links)) and identity_id in self._downstream(user_id)

    def _downstream(self, identity_id: int) -> set[int]:
        found, waiting = {identity_id}, [identity_id]
        while waiting:
            targets = self._identity(waiting.pop()).targets() - found
            found |= targets
            waiting.extend(targets)
        return found


def _later(cut: tuple[int, str] | None, rows: Sequence[AccountFact | EmailFact], whole: bool) -> tuple[int, str] | None:
    """Up to where facts are unknown: of one more identity, newest first, there may be older ones than were read."""
    if whole or len(rows) < FACTS_READ:
        return cut
    oldest = (rows[-1][0], rows[-1][1])
    return oldest if cut is None else max(cut, oldest)


def _timeline(facts: Iterable[Fact], cut: tuple[int, str] | None) -> Timeline:
    known = sorted(fact for fact in facts if cut is None or (fact.at_ms, fact.message_id) > cut)
    return Timeline(known, whole=cut is None)


def _rank(name: str, names: Names) -> int:
    return 0 if name == GROUP_ID else -names.index(name)
