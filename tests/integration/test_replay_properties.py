"""A replay gives what would have been, had the destination been set up like this from the beginning."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.test_order_independence import messages
from tests.integration.test_replay import snapshot
from tests.support.delivery import delivery_at_sandbox
from tests.support.memory import directory_in_memory
from tests.support.pipeline import NOW_MS, Pipeline

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.records import replays
from gainsight_destination.records.replays import Selection
from gainsight_destination.records.upkeep import settle
from gainsight_destination.replay import service
from gainsight_destination.resolve.replay import advance
from gainsight_destination.store.database import transaction

MORE = settings.default.max_examples // 100

SETTINGS = st.fixed_dictionaries(
    {
        "events": st.sampled_from([[], ["Seen"], ["Done"]]),
        "usageGrain": st.sampled_from(["user", "account"]),
        "eventObject": st.sampled_from([None, "Segment_Event__gc", "Other__gc"]),
        "usageObject": st.sampled_from([None, "Segment_Usage_Daily__gc"]),
        "accountIdNames": st.sampled_from([["accountId"], ["account_id", "accountId"]]),
    }
)
SENT = st.lists(messages(), min_size=1, max_size=12)


def send(pipeline: Pipeline, sent: list[dict[str, Any]]) -> None:
    for number, message in enumerate(sent):
        pipeline.send({**message, "messageId": f"m{number}"}, received_at_ms=NOW_MS)
    pipeline.resolve()


def replay(pipeline: Pipeline, chunk: int, again: bool) -> None:
    """A whole replay; the books balance after each chunk."""
    with transaction(pipeline.connection):
        started = service.start(
            pipeline.connection, pipeline.log, 1, Selection(), again=again, actor="a test", now_ms=pipeline.now_ms
        )
    more = True
    while more:
        with transaction(pipeline.connection):
            more = advance(pipeline.resolver, pipeline.connected, pipeline.now_ms, chunk)
        pipeline.books()
        figures = replays.figures(pipeline.connection, started.id)
        assert figures.passed + figures.gone == 0
    assert figures.chosen == pipeline.log.end()
    pipeline.settle()
    assert replays.figures(pipeline.connection, started.id).waiting == 0


NEVER_RECEIVED = ("unsupported_type", "integrations_object", "event_not_listed")


def usable(pipeline: Pipeline, connected: bool) -> dict[str, Any]:
    """The books; without what a destination that is connected later never receives, if it was."""
    figures = pipeline.figures()
    filtered = {reason: times for reason, times in figures["filtered"].items() if times}
    parked = {reason: times for reason, times in figures["parked"].items() if times}
    never = 0
    if not connected:
        never = sum(figures.pop("discarded").values())
        never += sum(filtered.pop(reason, 0) for reason in NEVER_RECEIVED)
    return figures | {"filtered": filtered, "parked": parked, "received": figures["received"] - never}


def held(pipeline: Pipeline) -> dict[Any, Any]:
    """What Gainsight should hold in the objects that are wanted today. What was never to be deleted, is not."""
    wanted = {spec.name for spec in pipeline.destination.objects}
    return {about: fields for about, fields in pipeline.held().items() if about[0] in wanted}


def covered(pipeline: Pipeline) -> dict[str, int]:
    """Track events by the rule that gave them their account."""
    return dict(pipeline.query("SELECT rule, sum(events) FROM coverage GROUP BY rule HAVING sum(events) <> 0"))


def counted(pipeline: Pipeline, table: str) -> list[Any]:
    """Records by kind: as they are counted, or counted now."""
    kind = "object, state, presence, priority, nullif(batch_limit, 0)"
    records = "sum(records)" if table == "record_counts" else "count(*)"
    return pipeline.query(f"SELECT {kind}, {records} FROM {table} GROUP BY 1, 2, 3, 4, 5 HAVING {records} <> 0")


def forget(pipeline: Pipeline) -> None:
    """Long after: what waited is given up, what is settled is forgotten."""
    pipeline.now_ms += 40 * 86_400_000
    pipeline.expire()
    pipeline.settle()
    with transaction(pipeline.connection):
        settle(pipeline.connection, 1, pipeline.destination, pipeline.now_ms)


@settings(max_examples=25 * MORE)
@given(SENT, SETTINGS, SETTINGS, st.booleans(), st.booleans(), st.integers(1, 5), st.booleans())
def test_replayed_is_as_if_it_had_always_been_so(
    sent: list[dict[str, Any]],
    earlier: dict[str, Any],
    today: dict[str, Any],
    connected: bool,
    long_after: bool,
    chunk: int,
    again: bool,
) -> None:
    """Collected under other settings, or by nobody; perhaps forgotten since; then replayed, and once more: records and
    books are those of a destination that had today's settings all the time."""
    if connected:  # what was delivered stays there, also if today it would not be
        today = today | {"events": [] if today["events"] else earlier["events"]}
    with directory_in_memory() as directory:
        for name in ("always", "later"):
            (directory / name).mkdir()
        always, later = Pipeline(directory / "always", **today), Pipeline(directory / "later", **earlier)
        try:
            send(always, sent)
            always.settle()
            if not connected:
                nobody = Connected(1, "gainsight", frozenset(), later.destination)
                later.restart([nobody])
            send(later, sent)
            later.settle()
            if long_after:
                forget(later)
            later.reconfigure(**today)
            for _ in range(2):
                replay(later, chunk, again)
                assert held(later) == held(always)
                assert usable(later, connected) == usable(always, connected)
                assert covered(later) == covered(always)
                assert counted(later, "record_counts") == counted(later, "records")
                if long_after:
                    forget(later)
        finally:
            always.close()
            later.close()


@settings(max_examples=3 * MORE)
@given(SENT)
def test_over_an_equal_gainsight_nothing_is_written_but_again(sent: list[dict[str, Any]]) -> None:
    """Without `again` no writing call is made; with it Gainsight holds afterwards what it held before."""

    async def run(directory: Path) -> None:
        async with delivery_at_sandbox(directory, createCompanies=True) as delivery:
            delivery.send(*({**message, "messageId": f"m{number}"} for number, message in enumerate(sent)))
            await delivery.drain()
            calls, before = len(await delivery.writes()), await snapshot(delivery)
            await delivery.replay(max_messages=5)
            written = [path for _, path, _ in (await delivery.writes())[calls:] if "/query/" not in path]
            assert written == []
            await delivery.replay(again=True, max_messages=5)
            assert await snapshot(delivery) == before

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))
