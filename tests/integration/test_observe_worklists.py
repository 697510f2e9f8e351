"""What a person may want to act on: coverage, event names, unknown accounts, unmapped traits."""

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.delivery import delivery_at_sandbox
from tests.support.pipeline import DAY_MS, NOW_MS, Pipeline, group, identify, track

from gainsight_destination.events.message import decode_body, messages_of
from gainsight_destination.observe.worklists import (
    Coverage,
    count_unknown_accounts,
    coverage,
    event_volumes,
    unknown_accounts,
    unmapped_traits,
)
from gainsight_destination.resolve import event_days
from gainsight_destination.store.database import transaction

ACCOUNT = "001A0000006Vm9rIAC"
OTHER = "001A0000006Vm9sIAC"
TODAY = NOW_MS // DAY_MS


def test_coverage_says_where_accounts_come_from(pipeline: Pipeline) -> None:
    """Each event counts under the rule that gave it its account, by source and day; one given it late moves there."""
    pipeline.send(track("ana", properties={"accountId": ACCOUNT}), track("ben", context={"groupId": ACCOUNT}))
    pipeline.send(track("cid"), track("dan"), received_at_ms=NOW_MS - DAY_MS)
    pipeline.send(track("ana", properties={"accountId": ACCOUNT}), source=2)
    pipeline.resolve()
    assert coverage(pipeline.connection, NOW_MS) == [
        Coverage(TODAY, "gainsight", "website", {"properties": 1, "context": 1, "fact": 0, "none": 0}),
        Coverage(TODAY, "gainsight", "server", {"properties": 1, "context": 0, "fact": 0, "none": 0}),
        Coverage(TODAY - 1, "gainsight", "website", {"properties": 0, "context": 0, "fact": 0, "none": 2}),
    ]
    pipeline.send(identify("cid", {"accountId": ACCOUNT}))
    pipeline.resolve()
    yesterday = coverage(pipeline.connection, NOW_MS)[-1]
    assert (yesterday.events, yesterday.share) == ({"properties": 0, "context": 0, "fact": 1, "none": 1}, 0.5)


def slow_coverage(pipeline: Pipeline) -> Counter[tuple[int, int, str]]:
    """By (day, source, rule), each event looked at by itself."""
    found: Counter[tuple[int, int, str]] = Counter()
    for offset, source_id, received_at_ms, said, account, untrusted in pipeline.query(
        "SELECT id % (1 << 44), source_id, received_at_ms, said_account, account_id, untrusted FROM deliveries"
        " WHERE type = 'track'"
    ):
        logged = pipeline.log.entry_of(offset)
        assert logged is not None
        body = decode_body(messages_of(logged)[offset].body)
        own = "properties" if body.get("accountId") or body.get("account_id") else "context"
        rule = "none" if account is None else "fact" if said is None or untrusted else own
        found[received_at_ms // DAY_MS, source_id, rule] += 1
    return found


ACCOUNTS = st.sampled_from([ACCOUNT, OTHER])
USERS = st.sampled_from(["u1", "u2"])
MESSAGES = st.one_of(
    st.builds(track, USERS, properties=st.fixed_dictionaries({}, optional={"accountId": ACCOUNTS})),
    st.builds(track, USERS, context=st.fixed_dictionaries({}, optional={"groupId": ACCOUNTS})),
    st.builds(identify, USERS, st.fixed_dictionaries({}, optional={"accountId": ACCOUNTS})),
    st.builds(group, USERS, ACCOUNTS),
    st.builds(track, st.none(), anonymousId=st.just("a1")),
    st.builds(identify, USERS, anonymousId=st.just("a1")),
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(MESSAGES, st.integers(0, 2), st.sampled_from([1, 2])), min_size=1, max_size=10),
    st.integers(0, 2**32),
)
def test_coverage_equals_a_slow_count(sent: list[tuple[dict[str, Any], int, int]], seed: int) -> None:
    """Whatever comes late, from sources of whatever trust: the kept sums are those of looking at each event."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        pipeline = Pipeline(Path(directory))
        try:
            for number, (message, days_ago, source) in enumerate(sent):
                received_at_ms = NOW_MS - days_ago * DAY_MS
                pipeline.send({**message, "messageId": f"m{number}"}, source=source, received_at_ms=received_at_ms)
                if chance.random() < 0.5:
                    pipeline.resolve()
                if chance.random() < 0.2:
                    pipeline.trust(limited=chance.choice([(), (2,)]))
            pipeline.resolve()
            kept = pipeline.query("SELECT day, source_id, rule, events FROM coverage WHERE events <> 0")
            assert {(day, source, rule): events for day, source, rule, events in kept} == slow_coverage(pipeline)
        finally:
            pipeline.close()


def test_event_names_for_choosing_an_allowlist(tmp_path: Path) -> None:
    """Every name that came, filtered ones too, by day; whether it is let through, and the calls that it would take."""
    pipeline = Pipeline(tmp_path, events=["Report Viewed"])
    pipeline.send(*(track("ana", "Report Viewed") for _ in range(120)), received_at_ms=NOW_MS - DAY_MS)
    pipeline.send(track("ana", "Mouse Moved"), track("ana", "Mouse Moved", messageId="m"), track("ana", messageId="m"))
    pipeline.resolve()
    found = event_volumes(pipeline.connection, [pipeline.connected], NOW_MS, days=2)
    pipeline.close()
    assert found.first_day == TODAY - 1
    viewed, moved = found.events
    assert (viewed.event, viewed.days, viewed.allowed) == ("Report Viewed", [120, 0], {"gainsight": True})
    assert (moved.event, moved.days, moved.allowed) == ("Mouse Moved", [0, 2], {"gainsight": False})
    assert viewed.calls_per_day == {"gainsight": 2 + 2}  # 60 rows and 60 usage records, 50 to a call
    assert moved.calls_per_day == {"gainsight": 2}
    assert found.others == [0, 0]


def test_event_names_are_bounded(pipeline: Pipeline) -> None:
    """Names made of ids do not fill the disk: beyond the first so many of a day they count together."""
    counts = {(TODAY, f"Viewed {number}"): 1 for number in range(event_days.NAMES_PER_DAY + 5)}
    with transaction(pipeline.connection) as connection:
        event_days.count(connection, counts)
        event_days.count(connection, {(TODAY, "Viewed 7"): 2, (TODAY, "Viewed 99999"): 1})
    found = event_volumes(pipeline.connection, [], NOW_MS, days=1, limit=10_000)
    assert len(found.events) == event_days.NAMES_PER_DAY
    assert (found.events[0].event, found.events[0].days, found.others) == ("Viewed 7", [3], [6])


async def test_unknown_accounts_and_unmapped_traits(tmp_path: Path) -> None:
    """An account whose Company is missing is listed with what waits for it; a trait that goes nowhere with its type."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=1) as delivery:
        known = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(
            group("ana", OTHER, {"name": "Nobody"}),
            track("ana", properties={"accountId": OTHER}),
            track("ben", properties={"accountId": known}),
            identify("ben", {"email": "ben@x.test", "mood": 3, "born": "2001-02-03", "nick": "b"}),
        )
        await delivery.drain(minutes=3)
        missing = await delivery.database.read(unknown_accounts)
        counts = await delivery.database.read(count_unknown_accounts)
        traits = await delivery.database.read(unmapped_traits)
    (account,) = missing
    assert (account.account, account.destination, account.reason) == (OTHER, "gainsight", "unknown_company")
    assert (account.messages, account.records) == (1, 2)  # the group call; a row and a usage record
    assert counts == {"gainsight": 1}
    assert {trait.trait: trait.types for trait in traits} == {
        "mood": {"number": 1},
        "born": {"date": 1},
        "nick": {"text": 1},
    }
    assert all(trait.times >= 1 and trait.object for trait in traits)
