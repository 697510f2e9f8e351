"""Triggers at the sandbox's Events Framework: what fires, with what, how often, and what does not."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

from tests.support.delivery import Delivery, delivery_at_sandbox
from tests.support.pipeline import DAY_MS, group, identify, track

from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.records import upkeep
from gainsight_destination.sandbox.tenant import DEMO_SHARED_SECRET, DEMO_TENANT_ID

PATH = "/v1.0/api/eventManager/event"
ROW = {"event": "report_viewed", "topicName": "Product Usage", "eventName": "ReportViewed", "eventVersion": "v01"}
SETTINGS: dict[str, Any] = {"sharedSecret": DEMO_SHARED_SECRET, "tenantId": DEMO_TENANT_ID, "triggers": [ROW]}
HOUR = 3_600_000


async def published(delivery: Delivery) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await delivery.sandbox.control("GET", "state"))["published_events"]
    return found


async def account(delivery: Delivery) -> str:
    return str((await delivery.accounts())[0]["SfdcAccountId"])


async def fires(delivery: Delivery) -> list[int]:
    return [status for _, path, status in await delivery.writes() if path == PATH]


async def test_a_chosen_event_fires_once_with_whom_it_is_about(tmp_path: Path) -> None:
    """Names compare as in the allowlist; the resolved account and person win over properties; nothing fires twice."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        a, b = (row["SfdcAccountId"] for row in (await delivery.accounts())[:2])
        sent_at_ms = delivery.clock.now_ms()
        delivery.send(
            group("ana", a),
            identify("ana", {"email": "Ana@x.test"}),
            track("ana", "Report Viewed", messageId="m1", properties={"report": "MRR", "email": "other@x.test"}),
            track("ana", "Report Closed", messageId="m2"),
        )
        await delivery.drain()
        (event,) = await published(delivery)
        assert (event["topic_name"], event["event_name"], event["event_version"]) == tuple(ROW.values())[1:]
        assert event["body"] == {
            "report": "MRR",
            "messageId": "m1",
            "event": "Report Viewed",
            "timestamp": iso_utc(sent_at_ms),
            "userId": "ana",
            "accountId": a,
            "email": "ana@x.test",
        }
        assert (await delivery.books())["delivered"] == 4
        delivery.send(group("ana", b, messageId="~", timestamp=iso_utc(sent_at_ms)))  # moves the event
        await delivery.drain()
        await delivery.restart()
        await delivery.drain()
        moved = [row["Account_Id__gc"] for row in await delivery.rows("Segment_Event__gc")]
        assert b in moved
        assert len(await published(delivery)) == 1


async def test_the_order_of_what_is_known_does_not_matter(tmp_path: Path) -> None:
    """One event fires once, when its account is known, whatever comes first; with the person, if known by then."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        a = await account(delivery)
        at = iso_utc(delivery.clock.now_ms())
        orders = dict(enumerate(permutations(("group", "identify", "track"))))

        def message(user: str, kind: str) -> dict[str, Any]:
            if kind == "group":
                return group(user, a, timestamp=at)
            if kind == "identify":
                return identify(user, {"email": f"{user}@x.test"}, timestamp=at)
            return track(user, "Report Viewed", messageId=user, timestamp=at)

        delivery.send(*(message(f"together{number}", kind) for number, order in orders.items() for kind in order))
        await delivery.drain()
        for step in range(3):
            delivery.send(*(message(f"apart{number}", order[step]) for number, order in orders.items()))
            await delivery.drain()
        bodies = {event["body"]["messageId"]: event["body"] for event in await published(delivery)}
        assert len(await fires(delivery)) == len(bodies) == 12
        assert {body.get("accountId") for body in bodies.values()} == {a}
        unknown = {f"apart{number}" for number, order in orders.items() if order[-1] == "identify"}
        assert {user: body.get("email") for user, body in bodies.items()} == {
            user: None if user in unknown else f"{user}@x.test" for user in bodies
        }


async def test_what_is_filtered_fires_nothing(tmp_path: Path) -> None:
    """An event that is not in the allowlist, or that its sender keeps from Gainsight, costs no call."""
    other = {**ROW, "event": "Signed Up"}
    async with delivery_at_sandbox(tmp_path, **SETTINGS | {"triggers": [ROW, other], "events": ["REPORT-viewed"]}) as (
        delivery
    ):
        said = {"accountId": await account(delivery)}
        delivery.send(
            track("ana", "Signed Up", messageId="unlisted", properties=said),
            track("ana", "Report Viewed", messageId="kept", properties=said, integrations={"Gainsight": False}),
            track("ana", "report viewed", messageId="fired", properties=said),
        )
        await delivery.drain()
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["fired"]
        assert await fires(delivery) == [200]
        assert (await delivery.books())["filtered"] == {"event_not_listed": 1, "integrations_object": 1}


async def test_a_lost_answer_fires_again_and_says_so_by_its_id(tmp_path: Path) -> None:
    """Whether it fired cannot be known, so it is fired again; trouble before that costs nothing but time."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        faults = [
            {"fault": "503", "match": {"path": PATH}, "times": 2},
            {"fault": "disconnect-after", "match": {"path": PATH}, "times": 1},
        ]
        await delivery.sandbox.control("PUT", "faults", faults)
        delivery.send(track("ana", "Report Viewed", messageId="m1", properties={"accountId": await account(delivery)}))
        await delivery.drain()
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["m1", "m1"]
        assert (await delivery.books())["delivered"] == 1


async def test_what_is_refused_is_a_dead_letter_and_delays_no_other(tmp_path: Path) -> None:
    """An event that is not set up refuses its trigger only; after it was set up, a retry fires it, however old."""
    other = {**ROW, "event": "Signed Up", "eventName": "SignedUp"}
    async with delivery_at_sandbox(tmp_path, **SETTINGS | {"triggers": [ROW, other]}) as delivery:
        said = {"accountId": await account(delivery)}
        delivery.send(
            track("ana", "Signed Up", messageId="m1", properties=said),
            track("ana", "Report Viewed", messageId="m2", properties=said),
        )
        await delivery.drain()
        books = await delivery.books()
        assert (books["dead"], books["delivered"], len(await published(delivery))) == (1, 1, 1)
        assert len(await delivery.rows("Segment_Event__gc")) == 2
        ((letter,),) = await delivery.read("SELECT object || record_key || request FROM dead_letters")
        assert letter.startswith("triggerm1")
        assert DEMO_SHARED_SECRET not in letter
        topics = [{"topic_name": "Product Usage", "event_name": "SignedUp", "event_version": "v01"}]
        await delivery.sandbox.control("PUT", "topics", topics)
        delivery.clock.advance(3 * 86_400)
        assert await delivery.retry_dead_letters() == 1
        await delivery.drain()
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["m2", "m1"]


async def test_a_wrong_secret_pauses_triggers_alone(tmp_path: Path) -> None:
    """The rest is delivered; when the secret is right again, what waited fires, though days have passed."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS | {"sharedSecret": "wrong"}) as delivery:
        delivery.send(track("ana", "Report Viewed", messageId="m1", properties={"accountId": await account(delivery)}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        (pause,) = (await delivery.books())["pauses"]
        assert (pause["object"], pause["reason"][:31]) == ("trigger", "Gainsight refuses sharedSecret ")
        assert len(await delivery.rows("Segment_Event__gc")) == 1
        delivery.clock.advance(2 * 86_400)
        await delivery.restart(sharedSecret=DEMO_SHARED_SECRET)
        await delivery.drain()
        assert (await delivery.books())["delivered"] == 1
        assert len(await published(delivery)) == 1


async def test_imports_and_old_events_fire_nothing_unless_asked(tmp_path: Path) -> None:
    """An archive or an event of yesterday is delivered and counted, and wakes nobody; a setting lets it."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        said = {"accountId": await account(delivery)}
        now_ms = delivery.clock.now_ms()

        def archived(*ids: str) -> None:
            viewed = {"properties": said, "timestamp": iso_utc(now_ms)}
            messages = [track("ana", "Report Viewed", messageId=message_id, **viewed) for message_id in ids]
            body = json.dumps(messages).encode()
            delivery.pipeline.log.append([Entry(1, EntryKind.ARCHIVE, now_ms, len(messages), body)])

        archived("a1", "a2")
        delivery.send(
            track("ana", "Report Viewed", messageId="old", properties=said, timestamp=iso_utc(now_ms - 25 * HOUR)),
            track("ana", "Report Viewed", messageId="late", properties=said, timestamp=iso_utc(now_ms - 23 * HOUR)),
        )
        await delivery.drain()
        books = await delivery.books()
        assert books["delivered"] == 4
        assert books["notices"]["trigger_not_fired"] == {"Report Viewed": 3}
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["late"]
        await delivery.restart(triggerImported=True)
        archived("a3")
        await delivery.drain()
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["late", "a3"]
        # What was parked fires when it is released, if that is soon.
        delivery.send(track("ben", "Report Viewed", messageId="p1"))
        await delivery.drain()
        delivery.clock.advance(30 * 3600)
        delivery.send(track("cleo", "Report Viewed", messageId="p2"))
        await delivery.drain()
        delivery.send(group("ben", said["accountId"]), group("cleo", said["accountId"]))
        await delivery.drain()
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["late", "a3", "p2"]


async def test_fired_triggers_are_forgotten_with_their_message(tmp_path: Path) -> None:
    """Triggers leave nothing behind once their message can no longer be moved."""
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        delivery.send(track("ana", "Report Viewed", messageId="m1", properties={"accountId": await account(delivery)}))
        await delivery.drain()
        assert await delivery.read("SELECT count(*) FROM records WHERE object = 'trigger'") == [(1,)]
        now_ms = delivery.clock.now_ms() + 31 * DAY_MS
        await delivery.database.write(lambda connection: upkeep.settle(connection, 1, delivery.destination, now_ms))
        assert await delivery.read("SELECT count(*) FROM records WHERE object = 'trigger'") == [(0,)]


async def test_a_replay_fires_nothing(tmp_path: Path) -> None:
    """Neither what fired before, nor what came before its trigger was there."""
    other = {**ROW, "event": "Signed Up"}
    async with delivery_at_sandbox(tmp_path, **SETTINGS) as delivery:
        said = {"accountId": await account(delivery)}
        delivery.send(
            track("ana", "Report Viewed", messageId="m1", properties=said),
            track("ana", "Signed Up", messageId="m2", properties=said),
        )
        await delivery.drain()
        await delivery.restart(triggers=[ROW, other], triggerImported=True)
        await delivery.replay(again=True)
        assert [event["body"]["messageId"] for event in await published(delivery)] == ["m1"]
        assert (await delivery.books())["delivered"] == 2
