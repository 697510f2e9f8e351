"""The quota ledger: never over the share in a clock minute or UTC day, across restarts and minute edges."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainsight_destination.deliver.backoff import backoff_seconds
from gainsight_destination.deliver.quota import MINUTE_MS, Spent, next_call_at_ms, patience_seconds, spend, spent
from gainsight_destination.destinations.contract import Limits, QuotaSpentError
from gainsight_destination.store.migrate import migrate

LIMITS = Limits(calls_per_minute=3, calls_per_day=7, flush_seconds=15, edge_seconds=2)
NOON_MS = 1_800_014_400_000


def ledger() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "gainsight_destination.store.migrations")
    return connection


@given(st.lists(st.integers(0, 30_000), max_size=60))
def test_never_over_the_share(steps_ms: list[int]) -> None:
    """Whatever the times of the attempts: at most 3 in a minute, 7 in a day, none near a minute's turn."""
    connection, now_ms = ledger(), NOON_MS
    sent: list[int] = []
    refused_until: list[tuple[int, int]] = []
    for step_ms in steps_ms:
        now_ms += step_ms
        try:
            spend(connection, 1, LIMITS, now_ms)
            sent.append(now_ms)
        except QuotaSpentError as error:
            refused_until.append((error.retry_at_ms, now_ms))
    assert all(until > at for until, at in refused_until)
    for minute in {at // MINUTE_MS for at in sent}:
        assert sum(at // MINUTE_MS == minute for at in sent) <= 3
    assert len(sent) <= 7
    assert all(2_000 <= at % MINUTE_MS <= 58_000 for at in sent)
    assert spent(connection, 1, now_ms).total == len(sent)


def test_the_wait_ends_when_a_call_may_go() -> None:
    """The time that a refusal names is the first at which a call goes."""
    used = Spent(minute=3, day=3, total=3)
    at_ms = next_call_at_ms(LIMITS, used, NOON_MS + 10_000)
    assert at_ms == NOON_MS + MINUTE_MS + 2_000
    assert next_call_at_ms(LIMITS, Spent(0, 3, 3), at_ms) == at_ms
    assert next_call_at_ms(LIMITS, Spent(0, 0, 0), NOON_MS) == NOON_MS + 2_000
    assert next_call_at_ms(LIMITS, Spent(0, 0, 0), NOON_MS + 58_000) == NOON_MS + 62_000
    tomorrow = (NOON_MS // 86_400_000 + 1) * 86_400_000
    assert next_call_at_ms(LIMITS, Spent(0, 7, 7), NOON_MS + 10_000) == tomorrow + 2_000


def test_a_refused_call_is_not_entered() -> None:
    """Nothing is written when no call may be sent."""
    connection = ledger()
    for _ in range(3):
        spend(connection, 1, LIMITS, NOON_MS + 5_000)
    with pytest.raises(QuotaSpentError):
        spend(connection, 1, LIMITS, NOON_MS + 6_000)
    assert spent(connection, 1, NOON_MS + 6_000) == Spent(3, 3, 3)
    assert spent(connection, 2, NOON_MS + 6_000) == Spent(0, 0, 0)


def test_patience() -> None:
    """Short while the quota idles, the setting while it is free, long when the day's calls run ahead of the clock."""
    limits = Limits(60, 30_000, 15)
    assert patience_seconds(limits, Spent(0, 0, 0), NOON_MS) == 3
    assert patience_seconds(limits, Spent(20, 10_000, 10_000), NOON_MS) == 15
    assert patience_seconds(limits, Spent(20, 25_000, 25_000), NOON_MS) > 200
    assert patience_seconds(limits, Spent(20, 30_000, 30_000), NOON_MS) <= 300


def test_backoff_grows_and_is_capped() -> None:
    """Doubles up to a minute, and jitter takes at most half away."""
    assert [backoff_seconds(n, lambda: 1.0) for n in (1, 2, 3, 7, 50)] == [1, 2, 4, 60, 60]
    assert backoff_seconds(3, lambda: 0.0) == 2
