"""The live feed shows what came last, and what was decided about it."""

from pathlib import Path

from tests.support.pipeline import DAY_MS, NOW_MS, Pipeline, group, identify, track

from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.observe import feed
from gainsight_destination.observe.feed import Filter, Outcome, live_after, live_again, live_before

ACCOUNT = "001A0000006Vm9rIAC"
ALL = Filter()


def ids(found: feed.Feed) -> list[str | None]:
    return [message.message_id for message in found.messages]


def look(pipeline: Pipeline, cursor: int | None = None, limit: int = 50, **wanted: str) -> feed.Feed:
    return live_after(pipeline.connection, pipeline.log, cursor, Filter(**wanted), limit)


def test_a_message_with_its_decisions(tmp_path: Path) -> None:
    """Who, which account, and the outcome at each destination with its reason; each state a message can be in."""
    pipeline = Pipeline(tmp_path, events=["Seen"])
    pipeline.send(identify("ana", {"email": "ana@x.test", "accountId": ACCOUNT}, anonymousId="a1", messageId="m0"))
    pipeline.send(
        {"type": "track", "event": "Seen", "anonymousId": "a1", "messageId": "m1"},
        track("ana", "Seen", messageId="m1"),
        track("ana", "Moved", messageId="m2"),
        track("ben", "Seen", messageId="m3"),
        {"type": "track", "userId": "ana"},
    )
    pipeline.send(track("ana", "Seen", messageId="m4"), source=3)
    pipeline.resolve()
    pipeline.settle()
    pipeline.send(track("ana", "Seen", messageId="m5"))
    found = look(pipeline)
    pipeline.close()
    m0, m1, again, m2, m3, bad, m4, m5 = found.messages
    assert (m0.state, m0.outcomes) == ("resolved", (Outcome("gainsight", "delivered"),))
    assert (m1.user, m1.anonymous_id, m1.account, m1.event) == ("ana", "a1", ACCOUNT, "Seen")
    assert m1.outcomes == (Outcome("gainsight", "delivered"),)
    assert (again.message_id, again.state, again.outcomes) == ("m1", "duplicate", ())
    assert (m2.state, m2.outcomes) == ("resolved", (Outcome("gainsight", "filtered", "event_not_listed"),))
    assert (m3.user, m3.account, m3.outcomes) == ("ben", None, (Outcome("gainsight", "parked", "no_account"),))
    assert (bad.state, bad.reason, bad.type, bad.source) == ("discarded", "event_not_defined", None, "website")
    assert (m4.state, m4.source, m4.outcomes) == ("resolved", "other", ())
    assert (m5.state, m5.outcomes) == ("unresolved", ())


def test_each_filter(pipeline: Pipeline) -> None:
    """By type, event name, user, account, source, destination and outcome; together they narrow."""
    pipeline.send(
        identify("ana", {"email": "ana@x.test", "accountId": ACCOUNT}, anonymousId="a1", messageId="m1"),
        track("ana", "Seen", messageId="m2"),
        {"type": "track", "event": "Seen", "anonymousId": "a1", "messageId": "m3"},
        track("ben", "Done", messageId="m4"),
        {"type": "page", "userId": "ben", "messageId": "m5"},
        {"type": "track", "userId": "ben", "messageId": "m6"},
    )
    pipeline.send(group("cid", ACCOUNT, messageId="m7"), source=2)
    pipeline.resolve()
    assert ids(look(pipeline, type="track")) == ["m2", "m3", "m4"]
    assert ids(look(pipeline, event="Seen")) == ["m2", "m3"]
    assert ids(look(pipeline, user="ana")) == ["m1", "m2", "m3"]
    assert ids(look(pipeline, user="a1")) == ["m1", "m3"]
    assert ids(look(pipeline, account=ACCOUNT)) == ["m1", "m2", "m3", "m7"]
    assert ids(look(pipeline, source="server")) == ["m7"]
    assert ids(look(pipeline, outcome="parked")) == ["m4"]
    assert ids(look(pipeline, outcome="discarded")) == [None]
    assert ids(look(pipeline, outcome="pending", destination="gainsight", account=ACCOUNT, type="group")) == ["m7"]
    assert ids(look(pipeline, destination="elsewhere")) == []


def test_following_and_going_back(pipeline: Pipeline) -> None:
    """A cursor gives what came since, once; what was not looked at is counted; older ones are paged through whole."""
    for number in range(12):
        pipeline.send(*(track("ana", messageId=f"m{number * 3 + n}") for n in range(3)))
    pipeline.resolve()
    newest = look(pipeline, limit=4)
    assert (ids(newest), newest.skipped) == (["m32", "m33", "m34", "m35"], 0)
    assert ids(look(pipeline, newest.cursor)) == []
    pipeline.send(*(track("ana", messageId=f"n{n}") for n in range(5)))
    pipeline.resolve()
    fresh = look(pipeline, newest.cursor, limit=2)
    assert (ids(fresh), fresh.skipped) == (["n3", "n4"], 3)
    seen, offset = list[str | None](), newest.messages[0].offset
    while offset:
        page = live_before(pipeline.connection, pipeline.log, offset, ALL, limit=5)
        seen, offset = ids(page) + seen, page.cursor
    assert seen == [f"m{n}" for n in range(32)]


def test_what_was_shown_is_looked_at_again(pipeline: Pipeline) -> None:
    """Messages that are shown already tell their new state."""
    pipeline.send(track("ana", messageId="m1", properties={"accountId": ACCOUNT}), track("ben", messageId="m2"))
    pipeline.resolve()
    pending, parked = live_again(pipeline.connection, pipeline.log, [0, 1])
    assert (pending.outcomes[0].state, parked.outcomes[0].state) == ("pending", "parked")
    pipeline.settle()
    (delivered,) = live_again(pipeline.connection, pipeline.log, [0, 77])
    assert delivered.outcomes == (Outcome("gainsight", "delivered"),)


def test_a_bounded_look_back(pipeline: Pipeline) -> None:
    """However long the log and rare what is looked for: only its end is read, and a short log is no trouble."""
    assert look(pipeline).messages == []
    pipeline.send(track("ana", "Rare", messageId="rare"))
    disabled = Entry(1, EntryKind.SOURCE_DISABLED, NOW_MS, feed.LOOK_BACK_MESSAGES, b"")
    pipeline.log.append([disabled])
    assert ids(look(pipeline, event="Rare")) == []
    assert ids(live_before(pipeline.connection, pipeline.log, 1, Filter(event="Rare"))) == ["rare"]


def test_the_log_was_shortened(pipeline: Pipeline) -> None:
    """What the log no longer holds is not shown; a cursor beyond its end begins anew."""
    pipeline.send(track("ana", messageId="old"), received_at_ms=NOW_MS - DAY_MS)
    pipeline.send(track("ana", messageId="new"))
    pipeline.resolve()
    pipeline.log.retain(keep_from_offset=1, older_than_ms=NOW_MS, max_bytes=1 << 40)
    assert ids(look(pipeline)) == ["new"]
    assert ids(look(pipeline, 99)) == ["new"]
    assert live_before(pipeline.connection, pipeline.log, 1, ALL).messages == []
    assert live_again(pipeline.connection, pipeline.log, [0]) == []
