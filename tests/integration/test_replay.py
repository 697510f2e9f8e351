"""Replay: chosen messages of the log go to a destination once more. Against the sandbox; the books balance always."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_triggers import SETTINGS as TRIGGERS
from tests.integration.test_triggers import fires
from tests.support.delivery import EVENTS, USAGE, Delivery, delivery_at_sandbox
from tests.support.pipeline import NOW_MS, WINDOW_MS, at, identify, track

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.errors import UserError
from gainsight_destination.observe.trace import trace
from gainsight_destination.records.priorities import Priority
from gainsight_destination.records.upkeep import settle
from gainsight_destination.replay import service
from gainsight_destination.resolve.replay import advance, set_aside
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.store.database import connect, transaction

ACCOUNT = "0019X00000Zz9ZzQAJ"
DAY_SECONDS = 86_400


def seen(user: str, message_id: str, event: str = "Report Viewed", **properties: Any) -> dict[str, Any]:
    return track(user, event, messageId=message_id, properties={"accountId": ACCOUNT, **properties})


def person(user: str, **traits: Any) -> dict[str, Any]:
    return identify(user, {"email": f"{user}@acme.com", "accountId": ACCOUNT, **traits}, messageId=f"i-{user}")


async def usual(delivery: Delivery) -> None:
    """Two people, three events, delivered."""
    delivery.send(person("ann", firstName="Ann"), person("bob", firstName="Bob"))
    delivery.send(seen("ann", "e1"), seen("ann", "e2", "Report Shared"), seen("bob", "e3"))
    await delivery.drain()


def tamper(delivery: Delivery, sql: str, *values: object) -> None:
    """Do something in Gainsight that we are not told of."""
    with closing(connect(delivery.directory / "sandbox.db")) as tenant, transaction(tenant):
        tenant.execute(sql, values)


async def writes_since(delivery: Delivery, before: int) -> list[tuple[str, str]]:
    """(method, path) of the calls since then that write; queries and metadata do not."""
    return [(method, path) for method, path, _ in (await delivery.writes())[before:] if "/query/" not in path]


async def snapshot(delivery: Delivery) -> dict[str, list[dict[str, Any]]]:
    """What Gainsight holds, without what changes by being written."""
    found = {}
    for name in ("company", "person", EVENTS, USAGE):
        rows = [
            {k: v for k, v in row.items() if k not in ("Gsid", "ModifiedDate", "CreatedDate")}
            for row in await delivery.rows(name)
        ]
        found[name] = sorted(rows, key=str)
    return found


async def held(delivery: Delivery) -> list[tuple[Any, ...]]:
    return await delivery.read("SELECT object, rows FROM held_rows ORDER BY object")


async def forget(delivery: Delivery, days: float = 40) -> None:
    """So long after, the store has forgotten the rows of settled messages."""
    delivery.clock.advance(days * DAY_SECONDS)
    now_ms = delivery.clock.now_ms()
    await delivery.database.write(
        lambda connection: settle(connection, 1, destination=delivery.destination, now_ms=now_ms)
    )


# -- deliver again


async def test_again_repairs_what_was_changed_or_deleted_over_there(tmp_path: Path) -> None:
    """A row deleted and a Person altered in Gainsight: with `again` both are what they were, and nothing is twice."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        before, rows = await snapshot(delivery), await held(delivery)
        tamper(delivery, "DELETE FROM rows WHERE record ->> 'Message_Id__gc' = 'e2'")
        tamper(
            delivery,
            "UPDATE rows SET record = json_set(record, '$.FirstName', 'X') WHERE record ->> 'Email' LIKE 'ann%'",
        )
        assert await snapshot(delivery) != before
        told = await delivery.replay(again=True)
        assert await snapshot(delivery) == before
        assert told["state"] == "done"
        assert told["messages"] == {"chosen": 5, "touched": 5, "skipped": {}}
        assert told["records"] == {
            "due": {"event": 3, "person": 2, "usage": 3},
            "delivered": 8,
            "unchanged": 0,
            "dead": 0,
            "waiting": 0,
        }
        assert await held(delivery) == rows
        assert (await delivery.books())["delivered"] == 5


async def test_without_again_what_is_equal_costs_no_call(tmp_path: Path) -> None:
    """A replay of everything over an equal Gainsight makes no writing call, and moves nothing in the books."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        books, calls = await delivery.books(), len(await delivery.writes())
        told = await delivery.replay()
        assert await writes_since(delivery, calls) == []
        assert told["records"]["unchanged"] == 8
        after = await delivery.books()
        assert {k: after[k] for k in ("received", "filtered", "delivered")} == {
            k: books[k] for k in ("received", "filtered", "delivered")
        }


async def test_rows_of_forgotten_messages_are_looked_up_before_they_are_written(tmp_path: Path) -> None:
    """After correctionDays the store has forgotten event rows: a replay finds them by their key, and doubles none."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        before, usage = await snapshot(delivery), await delivery.read("SELECT record_id, user_id, count FROM tallies")
        await forget(delivery)
        assert await delivery.read("SELECT 1 FROM deliveries WHERE type = 'track'") == []
        tamper(delivery, "DELETE FROM rows WHERE record ->> 'Message_Id__gc' = 'e3'")
        for again in (True, False):
            told = await delivery.replay(again=again)
            assert told["state"] == "done"
            assert await snapshot(delivery) == before
            assert await delivery.read("SELECT record_id, user_id, count FROM tallies") == usage
            assert (await delivery.books())["delivered"] == 5
            await forget(delivery, 1)


# -- connect later


async def test_a_destination_connected_later_gets_what_came_before(tmp_path: Path) -> None:
    """Collected for 40 days, then connected: each message is received and delivered now, a repeat stays one."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        connected, delivery.connected = delivery.connected, Connected(1, "gainsight", frozenset(), delivery.destination)
        delivery.resolver = await resolver_of(delivery)
        delivery.send(person("ann"), seen("ann", "e1"), seen("ann", "e1"), seen("ann", "e2"))
        await delivery.drain()
        delivery.clock.advance(40 * DAY_SECONDS)
        delivery.connected = connected
        delivery.resolver = await resolver_of(delivery)
        assert (await delivery.books())["received"] == 0
        told = await delivery.replay()
        assert told["messages"] == {"chosen": 4, "touched": 3, "skipped": {"duplicate": 1}}
        assert {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)} == {"e1", "e2"}
        (usage,) = await delivery.rows(USAGE)
        assert usage["Event_Count__gc"] == 2
        books = await delivery.books()
        assert (books["received"], books["delivered"]) == (3, 3)
        again = await delivery.replay()  # once taken in, it is never taken in twice
        assert again["messages"]["touched"] == 3
        assert (await delivery.books())["received"] == 3
        await forget(delivery)
        await delivery.replay()
        assert (await delivery.books())["received"] == 3
        (usage,) = await delivery.rows(USAGE)
        assert usage["Event_Count__gc"] == 2


async def test_a_wider_allowlist_moves_messages_out_of_filtered(tmp_path: Path) -> None:
    """What the allowlist kept out is delivered by a replay; what the sender kept out stays out."""
    async with delivery_at_sandbox(tmp_path, events=["Report Viewed"]) as delivery:
        delivery.send(person("ann"), seen("ann", "e1"), seen("ann", "e2", "Report Shared"))
        delivery.send({**seen("ann", "e3", "Report Shared"), "integrations": {"All": False}})
        await delivery.drain()
        assert (await delivery.books())["filtered"] == {"event_not_listed": 1, "integrations_object": 1}
        await delivery.restart(events=[])
        told = await delivery.replay()
        assert told["messages"] == {"chosen": 4, "touched": 3, "skipped": {"integrations_object": 1}}
        books = await delivery.books()
        assert (books["received"], books["filtered"]["integrations_object"], books["delivered"]) == (4, 1, 3)
        assert not books["filtered"].get("event_not_listed")
        assert {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)} == {"e1", "e2"}
        story = await delivery.database.read(lambda c: trace(c, delivery.pipeline.log, [delivery.connected], "e2"))
        assert story is not None
        assert story["destinations"]["gainsight"]["state"] == "delivered"
        for _ in range(2):
            await forget(delivery, 40)
            await delivery.replay()
            assert (await delivery.books())["delivered"] == 3


async def test_messages_filtered_by_placement_come_back_where_they_were_counted(tmp_path: Path) -> None:
    """A message dropped for want of an account and forgotten is still filtered; a replay after the fact delivers it."""
    async with delivery_at_sandbox(tmp_path, parkDays=1, correctionDays=1) as delivery:
        delivery.send(track("eve", messageId="e1"))
        await delivery.drain()
        delivery.clock.advance(2 * DAY_SECONDS)
        await delivery.expire()
        await forget(delivery)
        assert (await delivery.books())["filtered"] == {"no_account": 1}
        told = await delivery.replay()
        assert (told["messages"]["skipped"], (await delivery.books())["parked"]) == (
            {"no_account": 1},
            {"no_account": 1},
        )
        await delivery.expire()
        await forget(delivery)
        delivery.send(person("eve"))
        await delivery.drain()
        await delivery.replay()
        assert (await delivery.books())["delivered"] == 2
        assert [row["Message_Id__gc"] for row in await delivery.rows(EVENTS)] == ["e1"]


async def test_what_went_without_an_account_and_was_forgotten_counts_once(tmp_path: Path) -> None:
    """parkedThen: deliver. Its message waited in vain, went without an account, and does not wait again in a replay."""
    async with delivery_at_sandbox(tmp_path, parkDays=1, correctionDays=1, parkedThen="deliver") as delivery:
        delivery.send(track("eve", messageId="e1"))
        await delivery.resolve()
        delivery.clock.advance(2 * DAY_SECONDS)
        await delivery.expire()
        await delivery.drain()
        await forget(delivery)
        assert (await delivery.replay())["messages"]["touched"] == 1
        assert (await delivery.books())["delivered"] == 1
        assert [row["Event_Count__gc"] for row in await delivery.rows(USAGE)] == [1]


async def test_what_is_not_remembered_is_left_alone(tmp_path: Path) -> None:
    """Resolved before the upgrade and forgotten: nobody knows whether it was a repeat. What has its row is taken."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        await forget(delivery)
        delivery.send(seen("ann", "e4"))
        await delivery.drain()
        await delivery.database.write(lambda connection: connection.execute('UPDATE rules_begin SET "offset" = 6'))
        told = await delivery.replay(again=True)
        assert told["messages"] == {"chosen": 6, "touched": 1, "skipped": {"not_remembered": 5}}
        assert (await delivery.books())["delivered"] == 6


async def test_a_replay_fires_no_trigger(tmp_path: Path) -> None:
    """Neither again, also of forgotten messages, nor for the first time; what only fires stays counted as it was."""
    async with delivery_at_sandbox(tmp_path, **TRIGGERS) as delivery:
        await usual(delivery)
        assert await fires(delivery) == [200, 200]
        shared = {"eventVersion": "v01", "topicName": "Product Usage", "eventName": "ReportViewed"}
        await delivery.restart(triggers=[*TRIGGERS["triggers"], {"event": "Report Shared", **shared}])
        assert (await delivery.replay(again=True))["records"]["due"] == {"event": 3, "person": 2, "usage": 3}
        await forget(delivery)
        await delivery.replay(again=True)
        await delivery.restart(eventObject=None, usageObject=None, events=["Report Viewed"])
        delivery.send(seen("ann", "e4"), seen("ann", "e5", "Report Shared"))
        await delivery.drain()
        assert await fires(delivery) == [200, 200, 200]
        await delivery.restart(events=[])
        told = await delivery.replay(type="track")
        assert told["messages"]["skipped"] == {"only_fires": 5}
        assert await fires(delivery) == [200, 200, 200]
        books = await delivery.books()
        assert (books["delivered"], {k: v for k, v in books["filtered"].items() if v}) == (6, {"only_fires": 1})


# -- re-project


async def test_a_changed_mapping_costs_the_calls_of_what_differs(tmp_path: Path) -> None:
    """personFields now maps a trait that one of two people has: one call, for that one."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        delivery.send(person("ann", city="Berlin"), person("bob"))
        await delivery.drain()
        await delivery.restart(personFields={"city": "Location"})
        calls = len(await delivery.writes())
        told = await delivery.replay()
        assert len(await writes_since(delivery, calls)) == 1
        assert (told["records"]["delivered"], told["records"]["unchanged"]) == (1, 1)
        assert {row["Location"] for row in await delivery.rows("person")} == {"Berlin", None}


async def test_another_grain_moves_the_counts(tmp_path: Path) -> None:
    """usageGrain from user to account: each message counts once under the new grain, however often it is replayed and
    forgotten, also one that came after the change; the rows of the old grain count nothing any more."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        await delivery.restart(usageGrain="account")
        delivery.send(seen("bob", "e4"))
        await delivery.drain()
        for days in (0, 40, 40):
            await forget(delivery, days)
            await delivery.replay()
            counts = {(r["User_Id__gc"], r["Event_Name__gc"]): r["Event_Count__gc"] for r in await delivery.rows(USAGE)}
            assert {key: count for key, count in counts.items() if count} == {
                (None, "Report Viewed"): 3,
                (None, "Report Shared"): 1,
            }


async def test_another_object_gets_the_rows(tmp_path: Path) -> None:
    """eventObject names another object: a replay fills it, and updates nothing that is not there."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        schema = await delivery.sandbox.control("GET", f"schema/{EVENTS}")
        fields = list(schema["fields"])
        await delivery.sandbox.control("PUT", "schema/Other__gc", {"fields": fields})
        await delivery.restart(eventObject="Other__gc")
        await delivery.replay()
        assert {row["Message_Id__gc"] for row in await delivery.rows("Other__gc")} == {"e1", "e2", "e3"}
        calls = len(await delivery.writes())
        await delivery.replay()
        assert await writes_since(delivery, calls) == []


async def test_other_account_names_are_read_from_old_messages(tmp_path: Path) -> None:
    """accountIdNames now names a trait that none read before: a replay learns the accounts that messages said there."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        delivery.send(identify("ann", {"email": "ann@acme.com", "crm": ACCOUNT}, messageId="i"))
        delivery.send(
            track("ann", messageId="e1", timestamp=at(1)), track("ann", messageId="e2", properties={"crm": ACCOUNT})
        )
        await delivery.drain()
        assert (await delivery.books())["parked"] == {"no_account": 2}
        await delivery.restart(accountIdNames=["crm"])
        await delivery.replay()
        assert {row["Account_Id__gc"] for row in await delivery.rows(EVENTS)} == {ACCOUNT}
        assert (await delivery.books())["delivered"] == 3


# -- what is chosen, and what is not there


async def test_messages_are_chosen_by_user_event_type_source_and_time(tmp_path: Path) -> None:
    """Only what is chosen is touched; all that was looked at is accounted for."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        later_ms = delivery.clock.now_ms()
        delivery.send(seen("ann", "e4"))
        await delivery.drain()
        for chosen, expected in (
            ({"user_id": "ann"}, 4),
            ({"user_id": "ann", "type": "track"}, 3),
            ({"event": "Report Shared"}, 1),
            ({"since_ms": later_ms}, 1),
            ({"until_ms": later_ms}, 5),
            ({"source_id": 2}, 0),
            ({}, 6),
        ):
            told = await delivery.replay(**chosen)  # type: ignore[arg-type]
            assert told["messages"]["touched"] == expected, chosen
            assert told["state"] == "done"
        with pytest.raises(UserError, match="no message type"):
            await delivery.start_replay(type="click")


async def test_what_the_log_no_longer_holds_is_accounted_for(tmp_path: Path) -> None:
    """Retention took the first requests, one of them while the replay ran: they are gone, and the rest is done."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        delivery.send(seen("ann", "e4"))
        delivery.send(seen("ann", "e5"))
        await delivery.drain()
        delivery.pipeline.log.retain(keep_from_offset=2, older_than_ms=NOW_MS * 2, max_bytes=1 << 40)
        told = await delivery.replay()
        assert (told["log"]["gone"], told["messages"]["touched"]) == (2, 5)
        replay_id = await delivery.start_replay()
        await delivery.advance()
        delivery.pipeline.log.retain(keep_from_offset=6, older_than_ms=NOW_MS * 2, max_bytes=1 << 40)
        while await delivery.advance():
            pass
        told = await delivery.replay_told(replay_id)
        assert (told["log"]["gone"], told["messages"]["touched"]) == (3, 4)
        delivery.pipeline.log.retain(keep_from_offset=7, older_than_ms=NOW_MS * 2, max_bytes=1 << 40)
        assert (await delivery.replay())["log"]["gone"] == 7
        assert (await delivery.replay(since_ms=NOW_MS))["log"]["gone"] == 7


async def test_the_preview_says_what_will_be_and_changes_nothing(tmp_path: Path) -> None:
    """Messages, records by object, and the calls that it takes; afterwards the store is what it was."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        before = {
            table: await delivery.read(f"SELECT * FROM {table}")
            for table in ("records", "deliveries", "replays", "books", "reader")
        }
        shown = await delivery.replay_preview(again=True)
        assert before == {table: await delivery.read(f"SELECT * FROM {table}") for table in before}
        told = await delivery.replay(again=True)
        assert dict(shown.figures.due) == told["records"]["due"]
        assert (shown.figures.chosen, shown.figures.touched) == (5, 5)
        assert shown.calls == 2 + 2 + 2  # a call for each person; a look and a call for event rows, and for usage
        assert shown.last_call_at_ms is not None
        assert not shown.sends_messages


# -- pausing, cancelling, and dying


async def test_pause_resume_and_cancel(tmp_path: Path) -> None:
    """Paused, it looks at nothing further and lets the next one go; cancelled, what is due already still arrives."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        change = delivery.database.write
        now_ms = delivery.clock.now_ms()
        first = await delivery.start_replay(again=True)
        second = await delivery.start_replay()
        assert await delivery.advance()
        assert (await delivery.replay_told(second))["behind"] == first
        await change(lambda connection: service.pause(connection, first, now_ms))
        while await delivery.advance():
            pass
        assert (await delivery.replay_told(first))["log"]["lookedAt"] == 2
        assert (await delivery.replay_told(second))["state"] == "delivering"
        with pytest.raises(UserError, match="is paused already"):
            await change(lambda connection: service.pause(connection, first, now_ms))
        await change(lambda connection: service.resume(connection, first, now_ms))
        await change(lambda connection: service.cancel(connection, first, now_ms))
        with pytest.raises(UserError, match="was cancelled"):
            await change(lambda connection: service.resume(connection, first, now_ms))
        with pytest.raises(UserError, match="there is no replay 77"):
            await change(lambda connection: service.cancel(connection, 77, now_ms))
        await delivery.drain()
        assert not await delivery.advance()
        told = await delivery.replay_told(first)
        assert (told["state"], told["log"]["lookedAt"], told["records"]["delivered"]) == ("cancelled", 2, 2)
        assert (await delivery.replay_told(second))["state"] == "done"
        assert await delivery.read("SELECT 1 FROM replay_records") == []


@pytest.mark.parametrize("dies_after", range(3))
async def test_a_crash_at_a_chunk_boundary_changes_nothing_in_the_end(tmp_path: Path, dies_after: int) -> None:
    """The state is opened anew between two chunks, and a chunk that was under way is undone and done again."""
    async with delivery_at_sandbox(tmp_path, events=["Report Viewed"]) as delivery:
        await usual(delivery)
        await delivery.restart(events=[])
        replay_id = await delivery.start_replay(again=True)
        for _ in range(dies_after):
            await delivery.advance()

        def die(_: Any) -> None:
            advance(delivery.resolver, delivery.connected, delivery.clock.now_ms(), 1)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await delivery.database.write(die, undone=delivery.resolver.forget)
        await delivery.restart()
        while await delivery.advance():
            await delivery.books()
        await delivery.drain()
        await delivery.advance()
        told = await delivery.replay_told(replay_id)
        assert told["state"] == "done"
        assert told["messages"]["touched"] == 5
        assert told["records"]["delivered"] == 8
        assert (await delivery.books())["delivered"] == 5
        assert len(await delivery.rows(EVENTS)) == 3


async def test_an_entry_that_cannot_be_looked_at_is_skipped_and_counted(tmp_path: Path) -> None:
    """As the engine does when a mistake of ours keeps it from an entry, so that the rest does not stand behind it."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await usual(delivery)
        replay_id = await delivery.start_replay()
        now_ms = delivery.clock.now_ms()
        await delivery.database.write(lambda _: set_aside(delivery.resolver, delivery.connected, now_ms))
        while await delivery.advance():
            pass
        told = await delivery.replay_told(replay_id)
        assert told["messages"] == {"chosen": 5, "touched": 3, "skipped": {"internal_error": 2}}


async def test_live_messages_go_before_a_replay(tmp_path: Path) -> None:
    """A full batch of replayed rows is due, and a live one: the live one goes first."""
    async with delivery_at_sandbox(tmp_path, callsPerMinute=1_000) as delivery:
        delivery.send(person("ann"), *(seen("ann", f"e{n}", usage=n) for n in range(120)))
        await delivery.drain()
        await delivery.start_replay(again=True)
        while await delivery.advance(10_000):
            pass
        delivery.send(seen("bob", "live"))
        await delivery.resolve()
        delivery.clock.advance(20)
        waiting = "SELECT count(*) FROM records WHERE object = 'event' AND state = 'dirty' AND priority = ?"
        assert await delivery.read(waiting, Priority.REPLAY) == [(120,)]
        while await delivery.read(waiting, Priority.LIVE) != [(0,)]:
            delivery.clock.advance(await delivery.worker.step() / 1000)
        assert "live" in {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)}
        ((left,),) = await delivery.read(waiting, Priority.REPLAY)
        assert left >= 70


async def resolver_of(delivery: Delivery) -> Resolver:
    return await delivery.database.write(
        lambda connection: Resolver(
            connection, delivery.pipeline.log, [delivery.connected], duplicate_window_ms=WINDOW_MS
        )
    )
