"""The history is what happened, minute by minute, and its sums are the books; counts of records are the records."""

import math
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.delivery import delivery_at_sandbox
from tests.support.pipeline import NOW_MS, Pipeline, check_counts, group, identify, track

from gainsight_destination.errors import UserError
from gainsight_destination.observe.history import History, history, quantile_ms
from gainsight_destination.observe.sources import first_event_of
from gainsight_destination.records.history import LATENCY_BOUNDS_MS, MINUTE_MS, add, forget

HOUR_MS = 60 * MINUTE_MS
ACCOUNT = "001A0000006Vm9rIAC"


def values(found: History, figure: str, destination: str | None = None, source: str | None = None) -> list[Any]:
    for series in found.series:
        if (series.figure, series.destination, series.source) == (figure, destination, source):
            return series.values
    return []


async def test_an_hour_in_minutes(tmp_path: Path) -> None:
    """Received by source, delivered and its latency, calls: each in the minute in which it happened."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=1) as delivery:
        begin_ms = delivery.clock.now_ms() // MINUTE_MS * MINUTE_MS
        delivery.send(identify("ana", {"accountId": ACCOUNT, "email": "ana@x.test"}))
        delivery.send(track("ana", messageId="t1"), track("ana", messageId="t1"), track("nobody", messageId="t2"))
        await delivery.drain(minutes=2)
        delivery.clock.advance(600)
        delivery.pipeline.send(track("ana", messageId="t3"), source=2, received_at_ms=delivery.clock.now_ms() - 90_000)
        await delivery.drain(minutes=2)
        until_ms = begin_ms + HOUR_MS
        found = await delivery.database.read(lambda c: history(c, begin_ms, until_ms, MINUTE_MS))
        total = await delivery.database.read(lambda c: history(c, begin_ms, until_ms, HOUR_MS))
        calls = dict(await delivery.read("SELECT minute - ?, calls FROM quota_minutes", begin_ms // MINUTE_MS))
        await delivery.books()
    assert len(values(found, "received", source="website")) == 60
    assert values(found, "received", source="website")[0] == 4
    assert values(found, "duplicates", source="website")[0] == 1
    late = values(found, "lag_ms").index(90_000)
    assert values(found, "resolved", source="server")[late] == 1
    assert sum(values(found, "received", source="server")[late - 2 : late]) == 1
    delivered = values(found, "delivered", "gainsight")
    assert sum(delivered[:late]) == 2
    assert sum(delivered) == 3
    assert values(found, "parked", "gainsight")[0] == 1
    assert {index: count for index, count in enumerate(values(found, "calls", "gainsight")) if count} == calls
    first = next(index for index, count in enumerate(delivered) if count)
    assert values(found, "latency_p95_ms", "gainsight")[first] in LATENCY_BOUNDS_MS[:6]
    assert 120_000 <= max(ms or 0 for ms in values(found, "latency_p50_ms", "gainsight")[late:]) <= 300_000
    for series in total.series:
        if "ms" not in series.figure:
            in_minutes = values(found, series.figure, series.destination, series.source)
            assert sum(value or 0 for value in series.values) == sum(in_minutes)


async def test_refused_calls_stand_where_they_were_made(tmp_path: Path) -> None:
    """A call answered with 429 counts among the calls and among the refused ones."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await delivery.sandbox.control("PUT", "faults", [{"fault": "429", "times": 1}])
        delivery.send(track("ana", properties={"accountId": ACCOUNT}))
        await delivery.drain(minutes=3)
        begin_ms = NOW_MS // MINUTE_MS * MINUTE_MS
        found = await delivery.database.read(lambda c: history(c, begin_ms, begin_ms + HOUR_MS, MINUTE_MS))
    refused = values(found, "refused_calls", "gainsight")
    assert sum(refused) == 1
    assert values(found, "calls", "gainsight")[refused.index(1)] >= 1


def test_the_lag_of_a_minute_is_its_longest(pipeline: Pipeline) -> None:
    """Of several waits in one minute, and in one hour, the longest is shown."""
    for waited_ms in (5_000, 90_000, 2_000):
        pipeline.send(track("ana"), received_at_ms=NOW_MS - waited_ms)
    pipeline.resolve(max_messages=1)
    for step_ms in (MINUTE_MS, HOUR_MS):
        assert values(history(pipeline.connection, NOW_MS, NOW_MS + step_ms, step_ms), "lag_ms") == [90_000]


async def test_a_call_that_pauses_everything_has_its_end(tmp_path: Path) -> None:
    """How a call ended is known at once, also if nothing is written after it."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await delivery.sandbox.control("PUT", "faults", [{"fault": "403", "times": 1}])
        delivery.send(track("ana", properties={"accountId": ACCOUNT}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        assert await delivery.read("SELECT outcome FROM calls") == [("403",)]


def test_what_is_old_is_let_go(pipeline: Pipeline) -> None:
    """Minutes go after 48 hours, hours after 90 days."""
    minute = NOW_MS // MINUTE_MS
    ages = (0, 47 * 60, 49 * 60, 89 * 24 * 60, 91 * 24 * 60)
    add(pipeline.connection, {(minute - age, 1, 1, "delivered"): 1 for age in ages})
    forget(pipeline.connection, NOW_MS)
    assert dict(pipeline.query("SELECT step, count(*) FROM history GROUP BY step")) == {1: 2, 60: 4}


def test_what_cannot_be_shown_is_said(pipeline: Pipeline) -> None:
    """A step of seconds, minutes of a month, and more steps than a chart can show are refused with what to ask for."""
    with pytest.raises(UserError, match="whole minutes"):
        history(pipeline.connection, NOW_MS, NOW_MS + HOUR_MS, 1_000)
    with pytest.raises(UserError, match="steps of whole hours"):
        history(pipeline.connection, NOW_MS - 30 * 24 * HOUR_MS, NOW_MS, MINUTE_MS)
    with pytest.raises(UserError, match="longer steps"):
        history(pipeline.connection, NOW_MS - 200 * 24 * HOUR_MS, NOW_MS, HOUR_MS)


@given(st.lists(st.integers(0, 9), min_size=14, max_size=14), st.sampled_from([0.5, 0.95]))
def test_quantiles_are_those_of_the_sorted_waits(buckets: list[int], share: float) -> None:
    """The bound within which a share of the messages arrived."""
    bounds = (*LATENCY_BOUNDS_MS, None)
    waits = [bound for bound, count in zip(bounds, buckets, strict=True) for _ in range(count)]
    expected = waits[math.ceil(len(waits) * share) - 1] if waits else None
    assert quantile_ms(buckets, share) == expected


def test_waiting_for_the_first_event(pipeline: Pipeline) -> None:
    """A source says when its first and its last message came, and how many in 24 hours; or that none did."""
    day_ms = 24 * HOUR_MS
    for age_ms in (2 * day_ms, day_ms - MINUTE_MS, 5_000):
        pipeline.send(track("ana"), track("ben"), received_at_ms=NOW_MS - age_ms)
    pipeline.resolve(max_messages=3)
    found = first_event_of(pipeline.connection, pipeline.log, "website", NOW_MS)
    assert found is not None
    assert (found.first_at_ms, found.last_at_ms) == (NOW_MS - 2 * day_ms, NOW_MS - 5_000)
    assert (found.received, found.last_day) == (6, 4)
    waiting = first_event_of(pipeline.connection, pipeline.log, "server", NOW_MS)
    assert waiting is not None
    assert (waiting.received, waiting.first_at_ms, waiting.last_at_ms, waiting.last_day) == (0, None, None, 0)
    assert first_event_of(pipeline.connection, pipeline.log, "nobody", NOW_MS) is None


MESSAGES = st.one_of(
    st.builds(
        track,
        st.sampled_from(["u1", "u2"]),
        messageId=st.sampled_from([f"t{n}" for n in range(6)]),
        properties=st.sampled_from([{}, {"accountId": ACCOUNT}, {"accountId": "acme"}]),
    ),
    st.builds(identify, st.sampled_from(["u1", "u2"]), st.just({"email": "x@x.test", "accountId": "acme"})),
    st.builds(group, st.sampled_from(["u1", "u2"]), st.just("acme")),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=5), st.integers(0, 2**32))
def test_sums_of_the_history_are_the_books(script: list[list[dict[str, Any]]], seed: int) -> None:
    """What ever came to stand delivered, less what a late fact took away again, is what the books say; record counts
    equal the records, whatever is resolved, delivered, parked and let go."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        pipeline = Pipeline(Path(directory))
        try:
            for messages in script:
                pipeline.send(*messages)
                pipeline.resolve()
                check_counts(pipeline.connection)
                if chance.random() < 0.5:
                    pipeline.settle()
                    check_counts(pipeline.connection)
            figures = pipeline.figures()
            sums = dict(
                pipeline.query("SELECT figure, sum(value) FROM history WHERE step = 60 GROUP BY figure, destination_id")
            )
            sent = sum(len(messages) for messages in script)
            assert sums["received"] == sums["resolved"] == sent
            assert sums.get("duplicates", 0) == figures["duplicates"]
            assert sums.get("delivered", 0) >= figures["delivered"]
            within = sum(count for figure, count in sums.items() if figure.startswith(("within", "later")))
            assert within <= sums.get("delivered", 0)
            for state in ("parked", "filtered"):
                assert sums.get(state, 0) >= sum(figures[state].values())
        finally:
            pipeline.close()
