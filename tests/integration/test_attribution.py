"""Which user and account a message lands on, from the log to what Gainsight should hold."""

from collections.abc import Callable
from typing import Any

from tests.support.pipeline import DAY_MS, Pipeline, at, group, identify, track

A = "001A0000006Vm9rIAC"
B = "0015000000abcDEAAY"


def event_of(pipeline: Pipeline, message_id: str) -> dict[str, Any]:
    return pipeline.held()["event", message_id]


def test_track_with_an_account_of_its_own(pipeline: Pipeline) -> None:
    """properties.accountId places an event, whoever the user is."""
    pipeline.send(track("u1", messageId="t1", properties={"accountId": A}))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A


def test_track_after_identify(pipeline: Pipeline) -> None:
    """An identify with accountId places the user's later events."""
    pipeline.send(identify("u1", {"accountId": A}), track("u1", messageId="t1"))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A


def test_track_after_group_in_a_later_batch(pipeline: Pipeline) -> None:
    """A group call places the user's later events."""
    pipeline.send(group("u1", A))
    pipeline.resolve()
    pipeline.send(track("u1", messageId="t1"))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A


def test_the_order_of_precedence(pipeline: Pipeline) -> None:
    """properties.accountId goes before context.groupId, and that before the user's fact."""
    pipeline.send(
        group("u1", A),
        track("u1", messageId="t1", context={"groupId": B}),
        track("u1", messageId="t2", context={"groupId": B}, properties={"account_id": "acme"}),
    )
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == B
    assert event_of(pipeline, "t2")["Account_Id__gc"] == "acme"


def test_context_group_id_is_no_fact(pipeline: Pipeline) -> None:
    """context.groupId decides its own event and teaches nothing."""
    pipeline.send(track("u1", messageId="t1", context={"groupId": B}), track("u1", messageId="t2"))
    pipeline.resolve()
    assert pipeline.books()["parked"] == {"no_account": 1}


def test_a_parked_event_is_released_by_a_late_fact(pipeline: Pipeline) -> None:
    """Without an account an event waits; the fact that arrives later places it."""
    pipeline.send(track("u1", messageId="t1", timestamp=at(-60)))
    pipeline.resolve()
    assert pipeline.books()["parked"] == {"no_account": 1}
    assert pipeline.books()["pending"] == 0
    pipeline.send(identify("u1", {"accountId": A}, timestamp=at(0)))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A
    assert pipeline.books()["parked"] == {}
    assert pipeline.books()["pending"] == 1


def test_the_as_of_rule(pipeline: Pipeline) -> None:
    """An event belongs to the account that was in force at its time, not at its arrival."""
    pipeline.send(
        group("u1", A, timestamp=at(-100)),
        group("u1", B, timestamp=at(-50)),
        track("u1", messageId="before", timestamp=at(-120)),
        track("u1", messageId="first", timestamp=at(-51)),
        track("u1", messageId="second", timestamp=at(-50)),
    )
    pipeline.resolve()
    assert [event_of(pipeline, m)["Account_Id__gc"] for m in ("before", "first", "second")] == [A, A, B]


def test_a_late_fact_moves_a_delivered_event(pipeline: Pipeline) -> None:
    """A fact dated before a delivered event makes its records dirty again, on both accounts."""
    pipeline.send(group("u1", A, timestamp=at(-100)), track("u1", messageId="t1", timestamp=at(-10)))
    pipeline.resolve()
    pipeline.settle()
    assert pipeline.books()["delivered"] == 2
    pipeline.send(group("u1", B, timestamp=at(-50)))
    pipeline.resolve()
    assert pipeline.books()["pending"] == 2
    usage = {
        d.fields["Account_Id__gc"]: d.fields["Event_Count__gc"] for d in pipeline.drafts() if d.record.object == "usage"
    }
    assert usage == {A: 0, B: 1}
    assert event_of(pipeline, "t1")["Account_Id__gc"] == B
    pipeline.settle()
    assert pipeline.books()["delivered"] == 3


def test_a_fact_after_the_correction_days_moves_nothing(pipeline: Pipeline) -> None:
    """What was received more than correctionDays ago stays where it is."""
    pipeline.send(group("u1", A, timestamp=at(-100)), track("u1", messageId="t1", timestamp=at(-10)))
    pipeline.resolve()
    pipeline.settle()
    pipeline.now_ms += 8 * DAY_MS
    pipeline.send(group("u1", B, timestamp=at(-50)))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A


def test_an_anonymous_visit_is_joined_after_sign_in(pipeline: Pipeline) -> None:
    """Events of an anonymousId belong to the user it is linked to, backwards too."""
    pipeline.send(track(None, messageId="t1", anonymousId="anon", timestamp=at(-60)))
    pipeline.resolve()
    pipeline.send(identify("u1", {"accountId": A, "email": "Mo@Acme.test "}, anonymousId="anon", timestamp=at(-30)))
    pipeline.resolve()
    found = event_of(pipeline, "t1")
    assert (found["User_Id__gc"], found["Account_Id__gc"], found["personEmail"]) == ("u1", A, "mo@acme.test")


def test_alias_is_transitive(pipeline: Pipeline) -> None:
    """An alias of an alias reaches the last user, whatever the order."""
    pipeline.send(
        track("old", messageId="t1", timestamp=at(-60)),
        {"type": "alias", "previousId": "mid", "userId": "new", "timestamp": at(-20)},
        {"type": "alias", "previousId": "old", "userId": "mid", "timestamp": at(-10)},
        group("new", A, timestamp=at(-5)),
    )
    pipeline.resolve()
    assert event_of(pipeline, "t1")["User_Id__gc"] == "new"
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A


def test_facts_are_learned_from_filtered_messages(pipeline: Pipeline) -> None:
    """What keeps a message from a destination does not keep its facts from being known."""
    pipeline.send(identify("u1", {"accountId": A}, integrations={"All": False}))
    pipeline.send({"type": "page", "userId": "u2", "anonymousId": "anon"}, source=3)
    pipeline.send(group("u2", B), source=3)
    pipeline.send(track("u1", messageId="t1"), track(None, messageId="t2", anonymousId="anon"))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A
    assert event_of(pipeline, "t2")["Account_Id__gc"] == B
    assert pipeline.books()["filtered"] == {"integrations_object": 1}
    assert pipeline.books()["received"] == 3


def test_short_salesforce_ids_are_one_account(pipeline: Pipeline) -> None:
    """A 15-character id and its 18-character form are the same account."""
    pipeline.send(group("u1", "001A0000006Vm9r"), track("u1", messageId="t1"))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == A
    assert ("company", A) in pipeline.held()


def test_a_doubtful_account_id_is_a_warning(pipeline: Pipeline) -> None:
    """Any text is an account id; one that is not Salesforce's is counted."""
    pipeline.send(group("u1", "acme.example"), track("u1", messageId="t1"))
    pipeline.resolve()
    assert event_of(pipeline, "t1")["Account_Id__gc"] == "acme.example"
    assert pipeline.query("SELECT times FROM notices WHERE kind = 'doubtful_account_id'") == [(2,)]


def test_parked_events_expire(make_pipeline: Callable[..., Pipeline]) -> None:
    """After parkDays an event without an account is dropped, or delivered without one, as the setting says."""
    for parked_then, filtered, pending in (("drop", {"no_account": 1}, 0), ("deliver", {}, 1)):
        pipeline = make_pipeline(parkedThen=parked_then, parkDays=30)
        pipeline.send(track("u1", messageId="t1"))
        pipeline.resolve()
        pipeline.now_ms += 31 * DAY_MS
        pipeline.expire()
        books = pipeline.books()
        assert (books["parked"], books["filtered"], books["pending"]) == ({}, filtered, pending)
        if pending:
            assert event_of(pipeline, "t1")["Account_Id__gc"] is None


def test_numbers_and_blanks_as_ids(pipeline: Pipeline) -> None:
    """Numbers become decimal text; blank ids are absent; a message without any is discarded."""
    pipeline.send(
        {"type": "track", "userId": 42, "event": "E", "messageId": "t1", "properties": {"accountId": 555}},
        {"type": "track", "userId": "  ", "anonymousId": None, "event": "E", "messageId": "t2"},
    )
    pipeline.resolve()
    assert event_of(pipeline, "t1")["User_Id__gc"] == "42"
    assert event_of(pipeline, "t1")["Account_Id__gc"] == "555"
    assert pipeline.books()["discarded"] == {"no_user_anon_id": 1}


def test_a_nul_in_an_id_harms_nobody(pipeline: Pipeline) -> None:
    """An id with a NUL character is an id like another, also after a restart."""
    for number in range(3):
        pipeline.send(track("a\0b", messageId=f"n{number}", anonymousId="c\0d", properties={"accountId": A}))
        pipeline.send(track("u1", messageId=f"t{number}", properties={"accountId": A}))
        pipeline.resolve()
        pipeline.restart()
    assert pipeline.books()["pending"] == 6
    assert event_of(pipeline, "n2")["User_Id__gc"] == "ab"  # Gainsight takes no NUL


def test_everybody_was_the_guest_before(pipeline: Pipeline) -> None:
    """Visitors who share one user until they sign in keep their own history, however many they are."""
    count = 50
    for number in range(count):
        visitor = {"anonymousId": f"v{number}", "properties": {"accountId": A}}
        pipeline.send(track("guest", messageId=f"g{number}", timestamp=at(-60), **visitor))
        pipeline.send(track(None, messageId=f"w{number}", timestamp=at(-59), **visitor))
        if number % 7 == 0:
            pipeline.resolve()
            pipeline.restart()
    pipeline.resolve()
    pipeline.restart()
    for number in range(count):
        visitor = {"anonymousId": f"v{number}", "properties": {"accountId": A}}
        pipeline.send(track(f"u{number}", messageId=f"s{number}", timestamp=at(-30), **visitor))
        pipeline.send(track(None, messageId=f"x{number}", timestamp=at(-29), **visitor))
        if number % 11 == 0:
            pipeline.resolve()
            pipeline.restart()
    pipeline.resolve()
    held = pipeline.held()
    for number in range(count):
        users = [held["event", f"{kind}{number}"]["User_Id__gc"] for kind in "gwsx"]
        assert users == ["guest", "guest", f"u{number}", f"u{number}"]
