"""What no longer can matter is let go, what is still on its way is kept, and nothing that counts changes."""

from collections.abc import Callable

from tests.support.pipeline import DAY_MS, WINDOW_MS, Pipeline, at, group, identify, track

from gainsight_destination.records import upkeep
from gainsight_destination.resolve.duplicates import SWEEPS, forget_seen
from gainsight_destination.store.database import transaction

A = "001A0000006Vm9rIAC"
B = "0015000000abcDEAAY"


def let_go(pipeline: Pipeline) -> None:
    with transaction(pipeline.connection) as connection:
        for sweep in range(SWEEPS):
            assert forget_seen(connection, pipeline.now_ms - WINDOW_MS, sweep) == (sweep + 1) % SWEEPS
        upkeep.settle(connection, 1, pipeline.destination, pipeline.now_ms)


def rows(pipeline: Pipeline, table: str) -> int:
    ((count,),) = pipeline.query(f"SELECT count(*) FROM {table}")
    return count


def test_settled_messages_are_forgotten_and_their_counts_stay(pipeline: Pipeline) -> None:
    """After the windows only Company, Person and usage are left, with what the messages added to them."""
    pipeline.send(
        group("u1", A, timestamp=at(-9)), *(track("u1", messageId=f"t{n}", timestamp=at(-n)) for n in range(5))
    )
    pipeline.resolve()
    pipeline.settle()
    before = {key: fields for key, fields in pipeline.held().items() if key[0] != "event"}
    figures = pipeline.figures()
    pipeline.now_ms += 31 * DAY_MS
    let_go(pipeline)
    assert (rows(pipeline, "seen"), rows(pipeline, "deliveries")) == (0, 0)
    assert pipeline.held() == before
    assert pipeline.figures() == figures


def test_a_forgotten_message_still_bounds_a_corrected_day(pipeline: Pipeline) -> None:
    """First and last time of a day keep what forgotten messages said, when a later one moves away."""
    pipeline.send(group("u1", A, timestamp=at(-1000)), track("u1", messageId="old", timestamp=at(-10)))
    pipeline.resolve()
    pipeline.settle()
    pipeline.now_ms += 31 * DAY_MS
    let_go(pipeline)
    pipeline.send(track("u1", messageId="new", timestamp=at(-5)))
    pipeline.resolve()
    pipeline.send(group("u1", B, timestamp=at(-7)))
    pipeline.resolve()
    usage = {f["Account_Id__gc"]: f for (kind, _), f in pipeline.held().items() if kind == "usage"}
    assert usage[A]["Event_Count__gc"] == usage[B]["Event_Count__gc"] == 1
    assert usage[A]["First_At__gc"] == usage[A]["Last_At__gc"] == at(-10)


def test_a_parked_message_outlives_the_log(pipeline: Pipeline) -> None:
    """An event still parked when retention takes its part of the log keeps its properties for its late delivery."""
    pipeline.send(track("u1", messageId="t1", properties={"rows": 7}), track("u2", messageId="t2"))
    pipeline.send(identify("u2", {"accountId": A}))
    pipeline.resolve()
    pipeline.settle()
    pipeline.now_ms += 8 * DAY_MS
    until = upkeep.part_to_remove(pipeline.log, 3, pipeline.now_ms - 7 * DAY_MS, 10**12)
    assert until == 3
    with transaction(pipeline.connection) as connection:
        assert upkeep.keep_open_messages(connection, pipeline.log, until) == 1
    pipeline.log.retain(keep_from_offset=until, older_than_ms=pipeline.now_ms, max_bytes=0)
    assert pipeline.log.start() == 3
    pipeline.send(group("u1", A))
    pipeline.resolve()
    assert pipeline.held()["event", "t1"]["Properties__gc"] == '{"rows":7}'
    pipeline.settle()
    with transaction(pipeline.connection) as connection:
        upkeep.drop_kept_messages(connection)
    assert rows(pipeline, "kept_messages") == 0


def test_a_repeat_within_the_window_is_still_dropped(make_pipeline: Callable[..., Pipeline]) -> None:
    """Six days later a message id is still known, eight days later it is new."""
    for days, duplicates in ((6, 1), (8, 0)):
        pipeline = make_pipeline()
        pipeline.send(track("u1", messageId="t1", properties={"accountId": A}))
        pipeline.resolve()
        pipeline.now_ms += days * DAY_MS
        let_go(pipeline)
        pipeline.restart()
        pipeline.send(track("u1", messageId="t1", properties={"accountId": A}))
        pipeline.resolve()
        assert pipeline.books()["duplicates"] == duplicates


def test_the_same_id_with_other_content_is_shown(pipeline: Pipeline) -> None:
    """The first content counts; the conflict is counted."""
    pipeline.send(track("u1", "First", messageId="t1", properties={"accountId": A}))
    pipeline.send(track("u1", "Second", messageId="t1", properties={"accountId": A}))
    pipeline.send(track("u1", "First", messageId="t1", properties={"accountId": A}))
    pipeline.resolve()
    assert pipeline.held()["event", "t1"]["Event_Name__gc"] == "First"
    assert pipeline.books()["duplicates"] == 2
    assert pipeline.query("SELECT times FROM notices WHERE kind = 'message_id_conflict'") == [(1,)]


def test_an_entry_that_cannot_be_resolved_is_set_aside(pipeline: Pipeline) -> None:
    """One entry that breaks the resolver is counted and passed over; the books balance."""
    pipeline.send(track("u1", messageId="t1", properties={"accountId": A}), track("u1", messageId="t2"))
    (entry,) = pipeline.log.read(0, max_messages=10)
    with transaction(pipeline.connection):
        pipeline.resolver.set_aside(entry)
    assert pipeline.books()["discarded"] == {"internal_error": 2}
    pipeline.send(track("u1", messageId="t3", properties={"accountId": A}))
    pipeline.resolve()
    assert pipeline.books()["received"] == 3


def test_changed_settings_do_not_break_corrections(make_pipeline: Callable[..., Pipeline]) -> None:
    """After usageGrain changed, a late fact still moves earlier events, and nothing is set aside."""
    pipeline = make_pipeline()
    pipeline.send(group("u1", A, timestamp=at(-100)), track("u1", messageId="t1", timestamp=at(-10)))
    pipeline.resolve()
    pipeline.reconfigure(usageGrain="account")
    pipeline.send(group("u1", B, timestamp=at(-50)))
    pipeline.resolve()
    assert pipeline.held()["event", "t1"]["Account_Id__gc"] == B
    assert pipeline.books()["discarded"] == {}


def test_a_fact_learned_while_a_destination_was_off_releases_its_events(pipeline: Pipeline) -> None:
    """When a destination is enabled again, what it has parked is looked at once more; so it is before it expires."""
    pipeline.send(track("u1", messageId="t1"))
    pipeline.resolve()
    pipeline.restart(destinations=())
    pipeline.send(group("u1", A), source=3)
    pipeline.resolve()
    pipeline.restart()
    assert pipeline.books()["parked"] == {"no_account": 1}
    pipeline.resolve_parked()
    assert pipeline.held()["event", "t1"]["Account_Id__gc"] == A
    assert pipeline.books()["parked"] == {}


def test_what_was_said_anew_is_folded(pipeline: Pipeline) -> None:
    """Hundreds of repeated identifies and groups leave a few statements, and the records hold what they held."""
    for n in range(60):
        traits = {"email": "mo@x.test", "accountId": A, "firstName": f"Mo{n}", "title": f"T{n % 3}"}
        pipeline.send(
            identify("u1", traits if n % 2 else {"lastName": "Ito"}, timestamp=at(n - 100)),
            group("u1", A if n < 30 else B, {"industry": f"I{n}"}, timestamp=at(n - 100)),
        )
    pipeline.resolve()
    pipeline.settle()
    held = pipeline.held()
    for record_id in upkeep.crowded_records(pipeline.connection):
        assert upkeep.fold_statements(pipeline.connection, record_id) == 0  # a late fact may still move them
    pipeline.now_ms += 31 * DAY_MS
    let_go(pipeline)
    for record_id in upkeep.crowded_records(pipeline.connection):
        with transaction(pipeline.connection) as connection:
            assert upkeep.fold_statements(connection, record_id) > 20
    assert pipeline.held() == held
    assert rows(pipeline, "statements") < 12
    assert rows(pipeline, "bodies") < 12
