"""Live messages go before what archives brought and what is tried again, and none of these waits for ever."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import EVENTS, delivery_at_sandbox
from tests.support.pipeline import Pipeline, identify, track

from gainsight_destination.deliver import outcomes
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.deliver.planner import TURNS, Batch, plan, priorities_of
from gainsight_destination.destinations.contract import Deferred, Delivered, Outcome
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.records.priorities import Priority
from gainsight_destination.store.database import transaction

ACCOUNT = "0019X00000Zz9ZzQAJ"


def event(message_id: str) -> dict[str, Any]:
    return track("u", messageId=message_id, properties={"accountId": ACCOUNT})


def archive(pipeline: Pipeline, *messages: Mapping[str, Any]) -> None:
    """Append messages as an import does."""
    body = json.dumps(list(messages)).encode()
    pipeline.log.append([Entry(1, EntryKind.ARCHIVE, pipeline.now_ms, len(messages), body)])


class Line:
    """Batches as the planner makes them, each delivered at once, without a network."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.turn = 0

    def next(self, becomes: Outcome | None = None) -> Batch | None:
        pipeline = self.pipeline
        specs = pipeline.destination.objects
        batch = plan(pipeline.connection, 1, specs, (), 0, pipeline.now_ms, self.turn).batch
        if batch is None:
            return None
        self.turn += 1
        sent = {r.id: Sent(r.id, r.object, r.key, r.version) for r in batch.records}
        with transaction(pipeline.connection):
            found = dict.fromkeys(sent, becomes or Delivered(b"d"))
            outcomes.apply(pipeline.connection, 1, sent, found, pipeline.now_ms)
        return batch

    def all(self) -> Iterator[Batch]:
        while (batch := self.next()) is not None:
            yield batch


def waiting(pipeline: Pipeline) -> dict[int, int]:
    """Dirty records by priority."""
    return dict(pipeline.query("SELECT priority, count(*) FROM records WHERE state = 'dirty' GROUP BY priority"))


@pytest.fixture
def events_only(memory_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(memory_path, usageObject=None)
    yield pipeline
    pipeline.close()


def live_keys(pipeline: Pipeline) -> set[str]:
    return {key for (key,) in pipeline.query("SELECT key FROM records WHERE priority = 0 AND state = 'dirty'")}


def test_live_waits_a_few_batches_and_the_backfill_drains(events_only: Pipeline) -> None:
    """10,000 records of an archive, and a live one every tenth batch: it waits for two batches at most."""
    pipeline, line = events_only, Line(events_only)
    archive(pipeline, *(event(f"old{n}") for n in range(10_000)))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.BACKFILL: 10_000}
    waits: list[int] = []
    arrived_at: dict[str, int] = {}
    delivered = 0
    while (batch := line.next()) is not None:
        delivered += len(batch.records)
        waits += [line.turn - arrived_at.pop(record.key) for record in batch.records if record.key in arrived_at]
        if line.turn % 10 == 3 and len(waits) < 19:
            pipeline.send(event(f"new{line.turn}"))
            pipeline.resolve()
            (key,) = live_keys(pipeline)
            arrived_at[key] = line.turn
    assert not arrived_at
    assert len(waits) == 19
    assert max(waits) <= 2
    assert delivered == 10_019
    assert line.turn == 201  # a live record's batch is filled up with old ones: hardly a call more than without it


def test_more_live_than_can_go(events_only: Pipeline) -> None:
    """When live messages alone fill every batch, an archive and retries still get their share."""
    pipeline, line = events_only, Line(events_only)
    archive(pipeline, *(event(f"old{n}") for n in range(200)))
    pipeline.send(*(event(f"failed{n}") for n in range(100)))
    pipeline.resolve()
    line.next(Deferred(0, "in trouble", failed=True))
    line.next(Deferred(0, "in trouble", failed=True))
    assert waiting(pipeline) == {Priority.BACKFILL: 200, Priority.RETRY: 100}
    went: Counter[Priority] = Counter()
    for number in range(40):
        pipeline.send(*(event(f"new{number}-{n}") for n in range(50)))
        pipeline.resolve()
        batch = line.next()
        assert batch is not None
        went[batch.priority] += 1
    assert went[Priority.LIVE] >= 40 * (TURNS - 1) / TURNS - 1
    assert went[Priority.RETRY] == 2
    assert went[Priority.BACKFILL] == 4
    assert set(waiting(pipeline)) == {Priority.LIVE}


def test_what_did_not_fail_shares_a_call(events_only: Pipeline) -> None:
    """Rows that are due again because their Person is known now fill up the batch of live ones, and the other way."""
    pipeline, line = events_only, Line(events_only)
    pipeline.send(*(event(f"again{n}") for n in range(30)))
    pipeline.resolve()
    with transaction(pipeline.connection):
        pipeline.connection.execute("UPDATE records SET priority = ?", (Priority.RETRY,))
    pipeline.send(*(event(f"new{n}") for n in range(10)))
    pipeline.resolve()
    assert [(batch.priority, len(batch.records)) for batch in line.all()] == [(Priority.LIVE, 40)]
    pipeline.send(*(event(f"last{n}") for n in range(10)))
    pipeline.resolve()
    with transaction(pipeline.connection):
        pipeline.connection.execute(
            "UPDATE records SET priority = ? WHERE state = 'dirty' AND id % 2", (Priority.RETRY,)
        )
    line.turn = TURNS - 1
    assert [(batch.priority, len(batch.records)) for batch in line.all()] == [(Priority.RETRY, 10)]


def test_retries_go_behind_live_ones(events_only: Pipeline) -> None:
    """What failed gives way to what comes now, and goes in batches of its own."""
    pipeline, line = events_only, Line(events_only)
    pipeline.send(*(event(f"failed{n}") for n in range(30)))
    pipeline.resolve()
    line.next(Deferred(0, "in trouble", failed=True))
    archive(pipeline, *(event(f"old{n}") for n in range(10)))
    pipeline.send(*(event(f"new{n}") for n in range(10)))
    pipeline.resolve()
    assert [(batch.priority, len(batch.records)) for batch in line.all()] == [
        (Priority.LIVE, 20),
        (Priority.RETRY, 30),
    ]


def test_a_live_message_takes_its_record_along(pipeline: Pipeline) -> None:
    """A record of an archive that a live message touches goes at once, in whatever transaction they come."""
    together = [identify("u1", {"email": "a@x.test"}), identify("u2", {"email": "b@x.test"})]
    archive(pipeline, *together)
    pipeline.send(identify("u1", {"email": "a@x.test", "location": "Here"}))
    archive(pipeline, identify("u3", {"email": "c@x.test"}))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.LIVE: 1, Priority.BACKFILL: 2}
    pipeline.send(identify("u3", {"email": "c@x.test", "location": "Here"}))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.LIVE: 2, Priority.BACKFILL: 1}
    pipeline.settle()
    archive(pipeline, identify("u1", {"email": "a@x.test", "location": "There"}))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.BACKFILL: 1}


def test_a_retry_stays_one(events_only: Pipeline) -> None:
    """A record that fails does not become live by being touched again, and is live anew once it was delivered."""
    pipeline, line = events_only, Line(events_only)
    who = {"email": "a@x.test"}
    archive(pipeline, identify("u1", who))
    pipeline.resolve()
    line.next(Deferred(0, "in trouble", failed=True))
    pipeline.send(identify("u1", who))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.RETRY: 1}
    pipeline.settle()
    pipeline.send(identify("u1", who))
    pipeline.resolve()
    assert waiting(pipeline) == {Priority.LIVE: 1}


def test_every_priority_begins_a_batch() -> None:
    """Four of five batches begin with live records, the fifth with each of the others in turn."""
    begins: Sequence[Priority] = [priorities_of(turn)[0] for turn in range(TURNS * 3)]
    assert Counter(begins) == {Priority.LIVE: 12, Priority.RETRY: 1, Priority.BACKFILL: 1, Priority.REPLAY: 1}
    assert all(sorted(priorities_of(turn)) == list(Priority) for turn in range(TURNS * 3))


async def test_a_live_event_overtakes_an_archive(tmp_path: Path) -> None:
    """At a tenant: while people and rows of an archive go out, a live row is there after two calls of its kind."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, callsPerMinute=4) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        old = [
            message
            for n in range(60)
            for message in (
                identify(f"u{n}", {"email": f"u{n}@x.test"}),
                track(f"u{n}", messageId=f"old{n}", properties={"accountId": account}),
            )
        ]
        archive(delivery.pipeline, *old)
        await delivery.resolve()
        await delivery.step_until(minutes=1.5)
        delivery.send(track("u59", messageId="new", properties={"accountId": account}))
        await delivery.resolve()
        before = len(await delivery.sandbox.calls())
        while "new" not in {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)}:
            delivery.clock.advance(await delivery.worker.step() / 1000)
        assert len(await delivery.sandbox.calls()) - before <= 3
        await delivery.drain(minutes=60)
        assert len(await delivery.rows(EVENTS)) == 61
        assert (await delivery.books())["delivered"] == 121
