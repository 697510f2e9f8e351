"""When the backlog drains: the forecast is what the quota's own rules give, call by call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainsight_destination.deliver.forecast import Forecast, Kind, forecast, last_call_at_ms
from gainsight_destination.deliver.quota import DAY_MINUTES, MINUTE_MS, Spent, next_call_at_ms
from gainsight_destination.destinations.contract import Limits, ObjectSpec

NOON_MS = 1_800_014_400_000
DAY_MS = DAY_MINUTES * MINUTE_MS
ROWS = ObjectSpec("event", 50)
PEOPLE = ObjectSpec("person", 50, calls_per_batch=2)
MESSAGES = ObjectSpec("message", 16, calls_per_batch=16)


def sent_one_by_one(calls: int, limits: Limits, used: Spent, now_ms: int) -> int:
    """The same by the ledger's rules: each call as soon as it may go."""
    for _ in range(calls):
        at_ms = next_call_at_ms(limits, used, now_ms)
        same_minute, same_day = at_ms // MINUTE_MS == now_ms // MINUTE_MS, at_ms // DAY_MS == now_ms // DAY_MS
        used = Spent((used.minute if same_minute else 0) + 1, (used.day if same_day else 0) + 1, 0)
        now_ms = at_ms
    return now_ms


@settings(max_examples=200)
@given(
    st.integers(1, 120),
    st.integers(1, 7),
    st.integers(1, 40),
    st.integers(0, 7),
    st.integers(0, 40),
    st.integers(DAY_MS - 600_000, DAY_MS + 600_000),
)
def test_as_the_ledger_would_send(calls: int, minute: int, day: int, used: int, used_day: int, at_ms: int) -> None:
    """Over minutes and days, with any part of both used up: the time at which the ledger lets the last call go."""
    limits = Limits(minute, day, 15)
    spent, now_ms = Spent(min(used, minute), max(used_day, min(used, minute)), 0), NOON_MS - NOON_MS % DAY_MS + at_ms
    assert last_call_at_ms(calls, limits, spent, now_ms) == sent_one_by_one(calls, limits, spent, now_ms)


def test_a_share_of_the_day_that_is_hardly_left() -> None:
    """29,990 of 30,000 used at noon: ten calls go now, the eleventh after midnight."""
    limits, used = Limits(60, 30_000, 15), Spent(0, 29_990, 29_990)
    now_ms = NOON_MS + 5_000
    assert last_call_at_ms(10, limits, used, now_ms) == now_ms
    assert last_call_at_ms(11, limits, used, now_ms) == (NOON_MS // DAY_MS + 1) * DAY_MS + 2_000


@pytest.mark.parametrize(
    ("spec", "kind", "records", "calls"),
    [
        (ROWS, Kind("event", "absent", None), 101, 3),
        (ROWS, Kind("event", "present", 12), 13, 2),
        (ROWS, Kind("event", "uncertain", None), 51, 4),
        (PEOPLE, Kind("person", "absent", None), 60, 4),
        (PEOPLE, Kind("person", "absent", None), 1, 1),
        (MESSAGES, Kind("message", "absent", None), 33, 33),
    ],
)
def test_calls_by_kind(spec: ObjectSpec, kind: Kind, records: int, calls: int) -> None:
    """Batches as the planner makes them, and what a batch of the object costs."""
    limits, used = Limits(60, 30_000, 15), Spent(0, 0, 0)
    at_ms = last_call_at_ms(calls, limits, used, NOON_MS)
    assert forecast([spec], {kind: records}, limits, used, NOON_MS) == Forecast(records, calls, at_ms)


def test_nothing_waits() -> None:
    """Without records, and for objects that are not delivered any more, there is nothing to foretell."""
    waiting = {Kind("event", "absent", None): 0, Kind("gone", "absent", None): 7}
    assert forecast([ROWS], waiting, Limits(60, 30_000, 15), Spent(0, 0, 0), NOON_MS) == Forecast(0, 0, None)
