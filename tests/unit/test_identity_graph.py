"""The identity graph against a slow, obvious reading of the as-of rule."""

import sqlite3
from importlib.resources import files
from itertools import product

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gainsight_destination.events.message import GROUP_ID
from gainsight_destination.resolve import identities as identities_module
from gainsight_destination.resolve.facts import Fact, in_force, intervals_of, learn
from gainsight_destination.resolve.identities import IdentityGraph, Scope
from gainsight_destination.store.migrate import migrate

NAMES = ("accountId", "account_id")
TIMES = range(-1, 7)
IDENTITIES = range(1, 6)
FULL, LIMITED = 1, 2


def open_store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "gainsight_destination.store.migrations")
    return connection


def obvious_in_force(facts: list[tuple[int, str, int, int]], at: int) -> tuple[int, str, int, int] | None:
    """The newest not younger than `at`, else the oldest; equal dates: the greater message id, then rank."""
    if not facts:
        return None
    before = [fact for fact in facts if fact[0] <= at]
    if before:
        return max(before)
    oldest = min(fact[0] for fact in facts)
    return max(fact for fact in facts if fact[0] == oldest)


class Obvious:
    """Keeps every fact in a list and computes everything from scratch."""

    def __init__(self, limited: frozenset[int]) -> None:
        self.limited = limited
        self.links: list[tuple[int, int, str, int]] = []
        self.accounts: list[tuple[int, int, str, str, int, int]] = []
        self.emails: list[tuple[int, int, str, int]] = []

    def user_of(self, identity: int, at: int) -> int:
        path: dict[int, tuple[int, str, int, int]] = {}
        while True:
            link = obvious_in_force([(t, m, 0, u) for i, t, m, u in self.links if i == identity], at)
            if link is None:
                return identity
            if identity in path:
                nodes = list(path)
                return max(path[node] for node in nodes[nodes.index(identity) :])[3]
            path[identity] = link
            identity = link[3]

    def account(self, user: int, at: int) -> int | None:
        rank = {GROUP_ID: 0, "accountId": 0, "account_id": -1}
        said = [fact for fact in self.accounts if self.user_of(fact[0], fact[1]) == user]
        if self.placed(user):
            said = [fact for fact in said if fact[5] not in self.limited]
        found = obvious_in_force([(t, m, rank[name], a) for _, t, m, name, a, _ in said], at)
        return None if found is None else found[3]

    def placed(self, user: int) -> bool:
        """Whether a source of full trust ever said an account of it; of no interest while every source has it."""
        return bool(self.limited) and any(
            self.user_of(i, t) == user and source not in self.limited for i, t, _, _, _, source in self.accounts
        )

    def email(self, user: int, at: int) -> int | None:
        found = obvious_in_force([(t, m, 0, e) for i, t, m, e in self.emails if self.user_of(i, t) == user], at)
        return None if found is None else found[3]

    def resolution(self, identity: int, at: int) -> tuple[int, int | None, bool, int | None]:
        user = self.user_of(identity, at)
        return user, self.account(user, at), self.placed(user), self.email(user, at)


def resolution(graph: IdentityGraph, identity: int, at: int) -> tuple[int, int | None, bool, int | None]:
    user = graph.user_of(identity, at)
    account, email = graph.account_in_force(user, at, NAMES), graph.email_in_force(user, at)
    placed = graph.placed_account_in_force(user, at, NAMES)
    assert placed is None or placed == account
    return user, account and account.value, placed is not None, email and email.value


identities = st.sampled_from(IDENTITIES)
times = st.integers(0, 5)
messages = st.sampled_from(["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"])
steps = st.one_of(
    st.tuples(st.just("link"), identities, times, identities),
    st.tuples(
        *(st.just("account"), identities, times, st.sampled_from([*NAMES, GROUP_ID]), st.integers(1, 3)),
        st.sampled_from([FULL, LIMITED]),
    ),
    st.tuples(st.just("email"), identities, times, st.integers(1, 3)),
)


facts_of_one = st.one_of(
    st.tuples(
        *(st.just("account"), st.just(1), times, st.sampled_from([*NAMES, GROUP_ID]), st.integers(1, 3)),
        st.sampled_from([FULL, LIMITED]),
    ),
    st.tuples(st.just("email"), st.just(1), times, st.integers(1, 3)),
    st.tuples(st.just("link"), st.integers(1, 2), times, st.integers(1, 2)),
)
"""A history of one user that is longer than what stays in memory."""


PLACED_FOR_A_WHILE = [
    ("account", 2, 0, GROUP_ID, 1, LIMITED),
    ("account", 1, 3, GROUP_ID, 2, FULL),
    ("link", 1, 1, 2),
    ("link", 1, 2, 3),
]
"""What places user 2 goes to user 3."""

PLACED_AT_LAST = [*(("account", 1, n, GROUP_ID, n, LIMITED) for n in (1, 2, 3)), ("account", 1, 2, GROUP_ID, 1, FULL)]
"""A user of whom much was said that counts no longer."""


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories of three facts are long ones."""
    monkeypatch.setattr(identities_module, "FACTS_READ", 3)
    monkeypatch.setattr(identities_module, "FACTS_KEPT", 1)


@pytest.mark.usefixtures("short_memory")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(PLACED_FOR_A_WHILE, [f"m{n}" for n in range(9)], set(), set(), frozenset({LIMITED}))
@example(PLACED_AT_LAST, [f"m{n}" for n in range(9)], set(), {3}, frozenset({LIMITED}))
@given(
    st.one_of(st.lists(steps, min_size=1, max_size=9), st.lists(facts_of_one, min_size=4, max_size=9)),
    st.permutations([f"m{n}" for n in range(9)]),
    st.sets(st.integers(0, 8)),
    st.sets(st.integers(0, 8)),
    st.sampled_from([frozenset(), frozenset({LIMITED})]),
)
def test_agrees_with_the_obvious_reading_and_reports_every_change(
    script: list[tuple], ids: list[str], forgets: set[int], trims: set[int], limited: frozenset[int]
) -> None:
    """After each fact all answers are right, and whatever changed lies in the scopes that came back."""
    connection = open_store()
    graph, obvious = IdentityGraph(connection, frozenset({NAMES}), limited), Obvious(limited)
    for index, step in enumerate(script):
        message_id = ids[index]
        if index in trims:
            graph.flush()
            graph.trim()
        before = {key: obvious.resolution(*key) for key in product(IDENTITIES, TIMES)}
        scopes: list[Scope] = []
        if step[0] == "link":
            _, identity, at, user = step
            scopes = graph.add_link(identity, at, message_id, user)
            if identity != user:
                obvious.links.append((identity, at, message_id, user))
        elif step[0] == "account":
            _, identity, at, name, account, source = step
            scopes = graph.add_account(identity, at, message_id, name, account, source)
            obvious.accounts.append((identity, at, message_id, name, account, source))
        else:
            _, identity, at, email = step
            scopes = graph.add_email(identity, at, message_id, email)
            obvious.emails.append((identity, at, message_id, email))
        if index in forgets:
            graph.flush()
            graph.forget()
        for identity, at in product(IDENTITIES, TIMES):
            now = obvious.resolution(identity, at)
            assert resolution(graph, identity, at) == now
            if now != before[identity, at]:
                covered = [s.interval for s in scopes if s.identity_id == identity]
                assert any(i.from_ms <= at < i.until_ms for i in covered), (identity, at, before[identity, at], now)


@given(st.lists(st.tuples(times, messages, st.integers(1, 3)), unique_by=lambda f: f[:2], max_size=8))
def test_learn_tells_exactly_when_another_value_is_in_force(facts: list[tuple[int, str, int]]) -> None:
    """The interval that `learn` returns is where the answer differs, and intervals_of says when a value holds."""
    known: list[Fact] = []
    for at, message_id, value in facts:
        before = {t: in_force(known, t) for t in TIMES}
        changed = learn(known, Fact(at, message_id, 0, value))
        for t in TIMES:
            was, now = before[t], in_force(known, t)
            assert now is not None
            differs = was is None or was.value != now.value
            assert differs == (changed is not None and changed.from_ms <= t < changed.until_ms)
            assert any(
                i.from_ms <= t < i.until_ms for i in intervals_of(known, [f for f in known if f.value == now.value])
            )


def test_migrations_are_packaged() -> None:
    """The SQL files travel with the package."""
    assert any(f.name.startswith("0002") for f in files("gainsight_destination.store.migrations").iterdir())
