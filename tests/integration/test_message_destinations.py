"""Destinations that get each message as it came: the classic clickstream and webhooks, on the engine of all others."""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import Delivery, delivery_at_sandbox, delivery_to
from tests.support.pipeline import ACCESS_KEY, NOW_MS, at, group, identify, track
from tests.support.receiver import Receiver, running_receiver

from gainsight_destination.cli.trace import in_words
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.observe.trace import trace
from gainsight_destination.records.upkeep import drop_kept_messages, keep_open_messages
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

SECRET = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
CLICKSTREAM = "/clickstream/segmentio/event"


@asynccontextmanager
async def classic(directory: Path, **settings: Any) -> AsyncIterator[Delivery]:
    clock = ManualClock(NOW_MS)
    async with running_sandbox(directory / "sandbox.db", clock=clock) as sandbox:
        usual = {"accessKey": ACCESS_KEY, "endpoint": f"{sandbox.url}{CLICKSTREAM}"}
        async with delivery_to(
            sandbox, directory, clock, destination_type="gainsight-classic", **usual | settings
        ) as delivery:
            yield delivery


@asynccontextmanager
async def hooked(directory: Path, **settings: Any) -> AsyncIterator[tuple[Delivery, Receiver]]:
    clock = ManualClock(NOW_MS)
    async with running_receiver() as receiver:
        nowhere = RunningSandbox("", "")
        usual = {"url": receiver.url, "secret": SECRET}
        async with delivery_to(nowhere, directory, clock, destination_type="webhook", **usual | settings) as delivery:
            yield delivery, receiver


async def clickstream(delivery: Delivery) -> list[dict[str, Any]]:
    state = await delivery.sandbox.control("GET", "state")
    return list(state["clickstream"]["messages"])


async def test_the_three_calls_arrive_as_segment_sent_them(tmp_path: Path) -> None:
    """identify, track and group: one request each, the whole message, in the order they came; page is filtered."""
    async with classic(tmp_path) as delivery:
        delivery.send(
            identify("u", {"accountId": "001A0000010gainQ", "age": 1.0}, messageId="m1", timestamp=at(-5)),
            track("u", "Report Exported", messageId="m2", properties={"accountId": "001A0000010gainQ"}),
            group("u", "001A0000010gainQ", {"name": "Acme"}, messageId="m3", context={"ip": "203.0.113.9"}),
            {"type": "page", "userId": "u", "messageId": "m4"},
        )
        await delivery.drain()
        one, two, three = await clickstream(delivery)
        assert (one["type"], one["userId"], one["traits"]["accountId"]) == ("identify", "u", "001A0000010gainQ")
        assert (one["timestamp"], one["originalTimestamp"]) == (at(-5), at(-5))
        assert (two["event"], two["timestamp"], two["receivedAt"]) == ("Report Exported", at(0), at(0))
        assert (three["groupId"], three["context"], three["channel"]) == (
            "001A0000010gainQ",
            {"ip": "203.0.113.9"},
            "server",
        )
        assert (three["projectId"], three["version"], three["messageId"]) == ("website", 2, "m3")
        books = await delivery.books()
        assert (books["delivered"], books["filtered"]) == (3, {"unsupported_type": 1})
        state = await delivery.sandbox.control("GET", "state")
        assert state["clickstream"]["accounts"] == {"u": "001A0000010gainQ"}


async def test_an_untrusted_group_call_is_not_sent(tmp_path: Path) -> None:
    """It is filtered by what is known when it is resolved; a fact that comes later, or another trust, sends nothing."""
    async with hooked(tmp_path, limited=[1]) as (delivery, receiver):
        delivery.pipeline.send(group("u", "acme", messageId="g1"), source=2)
        delivery.pipeline.send(group("u", "evil", messageId="g2"), group("v", "evil", messageId="g3"))
        await delivery.drain()
        delivery.pipeline.send(group("u", "evil", messageId="g4"), group("v", "acme", messageId="g5"), source=2)
        await delivery.drain()
        delivery.limited = frozenset()
        await delivery.restart()
        now_ms = delivery.clock.now_ms()
        assert not await delivery.database.write(lambda _: delivery.resolver.review(delivery.connected, now_ms))
        await delivery.drain()
        assert sorted(message["messageId"] for message in receiver.taken) == ["g1", "g3", "g4", "g5"]
        books = await delivery.books()
        assert (books["delivered"], books["filtered"]) == (4, {"untrusted_account": 1})


async def test_numbers_are_not_changed_on_the_way(tmp_path: Path) -> None:
    """1.0 stays 1.0, an integer greater than a double holds stays exact, and so does a number that no library reads."""
    async with hooked(tmp_path) as (delivery, receiver):
        properties = b'{"n":1.0,"big":12345678901234567890,"huge":1e999}'
        body = b'{"batch":[{"type":"track","userId":7,"event":"E","channel":1e999,"properties":' + properties + b"}]}"
        delivery.pipeline.log.append([Entry(1, EntryKind.BATCH, NOW_MS, 1, body)])
        await delivery.drain()
        ((_, content),) = receiver.requests
        assert b'"properties":' + properties in content
        assert b'"userId":"7"' in content


async def test_the_envelope_is_merged_into_each_message(tmp_path: Path) -> None:
    """`context`, `integrations` and `sentAt` of a batch belong to every item; the item's own word wins."""
    async with hooked(tmp_path) as (delivery, receiver):
        envelope = {
            "writeKey": "w1",
            "sentAt": at(0),
            "context": {"library": {"name": "go"}, "ip": "1.1.1.1"},
            "batch": [track("u", context={"ip": "2.2.2.2"}, writeKey="w1"), track("v")],
        }
        delivery.pipeline.log.append([Entry(1, EntryKind.BATCH, NOW_MS, 2, json.dumps(envelope).encode())])
        await delivery.drain()
        by_user = {message["userId"]: message for message in receiver.taken}
        assert by_user["u"]["context"] == {"library": {"name": "go"}, "ip": "2.2.2.2"}
        assert by_user["v"]["context"] == {"library": {"name": "go"}, "ip": "1.1.1.1"}
        assert all(message["sentAt"] == at(0) and "writeKey" not in message for message in receiver.taken)


async def test_a_users_messages_keep_their_order(tmp_path: Path) -> None:
    """With every third request failing, each user's messages arrive once and in order."""
    async with classic(tmp_path) as delivery:
        rule = {"fault": "500", "match": {"path": CLICKSTREAM, "probability": 0.3, "seed": 1}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        for n in range(20):
            delivery.send(*(track(f"u{user}", messageId=f"{user}-{n:02}") for user in range(5)))
            await delivery.resolve()
        await delivery.drain(minutes=600)
        arrived = defaultdict(list)
        for message in await clickstream(delivery):
            arrived[message["userId"]].append(message["messageId"])
        assert arrived == {f"u{user}": [f"{user}-{n:02}" for n in range(20)] for user in range(5)}
        assert (await delivery.books())["delivered"] == 100


async def test_a_user_in_trouble_delays_no_other(tmp_path: Path) -> None:
    """P9: what one user's message waits for, its user's later ones wait for too, and nobody else's."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda message: 503 if message["messageId"] == "bad" else 200
        delivery.send(track("v", messageId="v0"))
        delivery.send(track("u", messageId="bad"), track("u", messageId="u2"), track("v", messageId="v1"))
        await delivery.resolve()
        await delivery.step_until(minutes=10)
        assert receiver.ids() == ["v0", "v1"]
        books = await delivery.books()
        assert (books["pending"], books["delivered"], books["failing"]) == (2, 2, None)
        receiver.answer = lambda _: 200
        await delivery.drain()
        assert receiver.ids() == ["v0", "v1", "bad", "u2"]


async def test_an_outage_costs_few_requests_and_no_message(tmp_path: Path) -> None:
    """P7: while nothing is taken, one message asks from time to time; afterwards everything arrives, in order."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda _: 503
        for n in range(50):
            delivery.send(track(f"u{n % 10}", messageId=f"m{n:02}"))
        await delivery.resolve()
        await delivery.step_until(minutes=90)
        assert len(receiver.requests) < 90 * 2
        assert (await delivery.books())["pending"] == 50
        assert (await delivery.books())["failing"] is not None
        receiver.answer = lambda message: 500 if message["messageId"] == "m00" else 200
        await delivery.resolve()
        await delivery.step_until(minutes=10)
        receiver.answer = lambda _: 200
        await delivery.drain()
        assert receiver.ids().index("m09") < receiver.ids().index("m00")
        assert sorted(receiver.ids()) == [f"m{n:02}" for n in range(50)]
        assert [i for i in receiver.ids() if int(i[1:]) % 10 == 3] == ["m03", "m13", "m23", "m33", "m43"]


async def test_a_message_that_alone_fails_for_hours_is_put_aside(tmp_path: Path) -> None:
    """After `retryHours`, while others are taken, it is a dead letter, and its user's next message has its turn."""
    async with hooked(tmp_path, retryHours=1) as (delivery, receiver):
        receiver.answer = lambda message: 500 if message["messageId"] == "bad" else 200
        delivery.send(track("u", messageId="bad"), track("u", messageId="u2"))
        for minute in range(90):
            delivery.send(track("v", messageId=f"v{minute}"))
            await delivery.resolve()
            await delivery.step_until(minutes=1)
        books = await delivery.books()
        assert (books["dead"], books["pending"]) == (1, 0)
        assert "u2" in receiver.ids()
        assert await delivery.read("SELECT record_key, code FROM dead_letters") == [("bad", "HTTP_500")]
        receiver.answer = lambda _: 200
        assert await delivery.retry_dead_letters() == 1
        await delivery.drain()
        assert "bad" in receiver.ids()
        assert (await delivery.books())["dead"] == 0


async def test_a_refused_message_is_a_dead_letter_at_once(tmp_path: Path) -> None:
    """400 says that this message is wrong: it is kept with request and answer, and the user's next one goes on."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda message: 400 if message["messageId"] == "bad" else 200
        delivery.send(track("u", messageId="bad"), track("u", messageId="good"))
        await delivery.drain()
        assert receiver.ids() == ["good"]
        ((request, answer),) = await delivery.read("SELECT request, answer FROM dead_letters")
        assert json.loads(request)["body"]["messageId"] == "bad"
        assert SECRET not in request
        assert json.loads(answer) == {"status": 400, "body": "as told"}


async def test_a_dead_letter_that_is_retried_holds_up_nobody(tmp_path: Path) -> None:
    """It goes out of order: while it fails again, its user's later messages arrive, in their own order."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda message: 400 if message["messageId"] == "bad" else 200
        delivery.send(track("u", messageId="bad"), track("u", messageId="m1"))
        await delivery.drain()
        receiver.answer = lambda message: 503 if message["messageId"] == "bad" else 200
        assert await delivery.retry_dead_letters() == 1
        delivery.send(track("v", messageId="v"), *(track("u", messageId=f"m{n}") for n in range(2, 5)))
        await delivery.resolve()
        await delivery.step_until(minutes=10)
        assert [taken for taken in receiver.ids() if taken != "v"] == ["m1", "m2", "m3", "m4"]
        receiver.answer = lambda _: 200
        await delivery.drain()
        assert receiver.ids()[-1] == "bad"
        assert (await delivery.books())["delivered"] == 6


async def test_refused_credentials_pause(tmp_path: Path) -> None:
    """401: paused with the reason, one request each five minutes, and at once when the settings change."""
    async with classic(tmp_path, accessKey="00000000-0000-4000-8000-000000000000") as delivery:
        delivery.send(*(track(f"u{n}", messageId=f"m{n}") for n in range(30)))
        await delivery.resolve()
        await delivery.step_until(minutes=30)
        assert 5 <= len(await delivery.sandbox.calls()) <= 8
        books = await delivery.books()
        assert (books["pending"], books["dead"]) == (30, 0)
        assert "refuses the credentials" in books["pauses"][0]["reason"]
        await delivery.restart(accessKey=ACCESS_KEY)
        await delivery.drain()
        assert len(await clickstream(delivery)) == 30
        assert (await delivery.books())["pauses"] == []


async def test_late_facts_send_nothing_twice(tmp_path: Path) -> None:
    """A message is delivered as it came: who its user turns out to be does not concern it."""
    async with hooked(tmp_path) as (delivery, receiver):
        delivery.send({"type": "track", "anonymousId": "a", "event": "E", "messageId": "m1"})
        await delivery.drain()
        delivery.send(
            identify("u", {"accountId": "001A0000010gainQ"}, anonymousId="a", messageId="m2", timestamp=at(-60))
        )
        await delivery.drain()
        assert receiver.ids() == ["m1", "m2"]
        assert (await delivery.books())["delivered"] == 2


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What waits in line is in the store, and so is whose turn it is."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda message: 503 if message["messageId"] == "m3" else 200
        delivery.send(*(track("u", messageId=f"m{n}") for n in range(6)))
        await delivery.resolve()
        await delivery.step_until(minutes=2)
        assert receiver.ids() == ["m0", "m1", "m2"]
        await delivery.restart()
        delivery.send(track("u", messageId="m6"))
        receiver.answer = lambda _: 200
        await delivery.drain()
        assert receiver.ids() == [f"m{n}" for n in range(7)]


async def test_messages_on_their_way_outlive_the_log(tmp_path: Path) -> None:
    """Retention takes its part of the log; what has not arrived is kept whole, until it has."""
    async with hooked(tmp_path) as (delivery, receiver):
        receiver.answer = lambda _: 503
        delivery.send(track("u", messageId="m1", properties={"a": 1}), track("u", messageId="m2"))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        end = delivery.pipeline.log.end()
        kept = await delivery.database.write(lambda c: keep_open_messages(c, delivery.pipeline.log, end))
        assert kept >= 2
        delivery.pipeline.log.retain(keep_from_offset=end, older_than_ms=NOW_MS * 2, max_bytes=0)
        await delivery.database.write(drop_kept_messages)
        receiver.answer = lambda message: 400 if message["messageId"] == "m1" else 200
        await delivery.drain()
        await delivery.database.write(drop_kept_messages)
        assert await delivery.read("SELECT count(*) FROM kept_originals") == [(1,)], "a dead letter may be retried"
        receiver.answer = lambda _: 200
        assert await delivery.retry_dead_letters() == 1
        await delivery.drain()
        assert receiver.ids() == ["m2", "m1"]
        assert receiver.taken[1]["properties"] == {"a": 1}
        await delivery.database.write(drop_kept_messages)
        assert await delivery.read("SELECT count(*) FROM kept_originals") == [(0,)]


async def test_what_cannot_be_read_as_json_values_is_sent_as_it_came(tmp_path: Path) -> None:
    """A number beyond all doubles, or a channel that is no text, holds up nobody and makes nothing go twice."""
    async with hooked(tmp_path) as (delivery, receiver):
        odd = {3: b'"properties":{"n":1e999}', 5: b'"channel":["x"]'}
        items = [
            b'{"type":"track","event":"E","userId":"%d","messageId":"m%d",%s}' % (n, n, odd.get(n, b'"a":1'))
            for n in range(8)
        ]
        body = b'{"batch":[' + b",".join(items) + b"]}"
        delivery.pipeline.log.append([Entry(1, EntryKind.BATCH, NOW_MS, 8, body)])
        receiver.answer = lambda message: 400 if message["messageId"] == "m3" else 200
        await delivery.drain()
        assert sorted(json.loads(content)["messageId"] for _, content in receiver.requests) == [
            f"m{n}" for n in range(8)
        ]
        ((request,),) = await delivery.read("SELECT request FROM dead_letters")
        assert json.loads(request)["body"]["messageId"] == "m3"
        assert b'"n":1e999' in next(content for _, content in receiver.requests if b'"m3"' in content)
        assert (await delivery.books())["delivered"] == 7


async def test_a_message_that_alone_is_refused_pauses_nobody(tmp_path: Path) -> None:
    """P9: 403 for one message while others are taken, as of a firewall that reads it, concerns its user only."""
    async with hooked(tmp_path, retryHours=1) as (delivery, receiver):
        receiver.answer = lambda message: 403 if message["messageId"] == "bad" else 200
        delivery.send(track("v", messageId="v"))
        await delivery.drain()
        delivery.send(track("u", messageId="bad"), track("u", messageId="u2"))
        for minute in range(90):
            delivery.send(track("v", messageId=f"v{minute}"))
            await delivery.resolve()
            await delivery.step_until(minutes=1)
            assert f"v{minute}" in receiver.ids()
            assert (await delivery.books())["pauses"] == []
        assert "u2" in receiver.ids()
        assert len(receiver.requests) - len(receiver.taken) < 20
        assert (await delivery.books())["dead"] == 1
        receiver.answer = lambda _: 403
        delivery.send(*(track(f"w{n}", messageId=f"w{n}") for n in range(30)))
        await delivery.resolve()
        asked = len(receiver.requests)
        await delivery.step_until(minutes=30)
        assert len(receiver.requests) - asked <= 16 + 6
        assert len((await delivery.books())["pauses"]) == 1


@pytest.mark.parametrize("message_id", [" m1 ", "m\n1", "ü"])
async def test_any_message_id_can_be_signed(tmp_path: Path, message_id: str) -> None:
    """What cannot stand in a header is hashed there; otherwise one such id would look like a receiver in trouble."""
    async with hooked(tmp_path) as (delivery, receiver):
        delivery.send(track("u", messageId=message_id))
        await delivery.drain(minutes=1)
        ((headers, content),) = receiver.requests
        assert headers["webhook-id"] == hashlib.sha256(message_id.encode()).hexdigest()
        assert json.loads(content)["messageId"] == message_id


@pytest.mark.parametrize("secret", [SECRET, "a plain secret of some length"])
async def test_requests_are_signed(tmp_path: Path, secret: str) -> None:
    """Both signatures fit the body as it was sent: Standard Webhooks, and Segment's X-Signature."""
    async with hooked(tmp_path, secret=secret) as (delivery, receiver):
        delivery.send(track("u", "Käse 🧀", messageId="m1"))
        await delivery.drain()
        ((headers, content),) = receiver.requests
        key = b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
        assert headers["webhook-id"] == "m1"
        assert headers["webhook-timestamp"] == str(NOW_MS // 1000)
        assert headers["webhook-signature"] == "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()
        assert headers["x-signature"] == hmac.digest(secret.encode(), content, "sha1").hex()


async def test_the_allowlist_and_types_decide(tmp_path: Path) -> None:
    """`events` keeps other track events away, `types` other calls; nothing is lost from the books."""
    async with hooked(tmp_path, events=["Order Completed"], types=["track", "page"]) as (delivery, receiver):
        delivery.send(
            track("u", "order_completed", messageId="m1"),
            track("u", "Other", messageId="m2"),
            {"type": "page", "userId": "u", "messageId": "m3"},
            identify("u", messageId="m4"),
        )
        await delivery.drain()
        assert receiver.ids() == ["m1", "m3"]
        assert (await delivery.books())["filtered"] == {"event_not_listed": 1, "unsupported_type": 1}


async def test_beside_the_rest_destination(tmp_path: Path) -> None:
    """The same engine, the same message ids: a record destination is none the worse for it."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        delivery.send(track("u", messageId="m1", properties={"accountId": "001A0000010gainQ"}))
        await delivery.drain()
        assert await delivery.read("SELECT count(*) FROM records WHERE lane IS NOT NULL") == [(0,)]


async def test_trace_says_that_it_goes_as_it_came(tmp_path: Path) -> None:
    """No user or account is told, since none matters there; and while nothing goes, trace says why."""
    async with classic(tmp_path, accessKey="00000000-0000-4000-8000-000000000000") as delivery:
        delivery.send(track("u", messageId="m1", properties={"accountId": "001A0000010gainQ"}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        story = await delivery.database.read(lambda c: trace(c, delivery.pipeline.log, [delivery.connected], "m1"))
        assert story is not None
        lines = in_words(story)
        assert not any("account 001A" in line for line in lines)
        assert any("sent as it came" in line for line in lines)
        assert any("the destination is paused: it refuses the credentials" in line for line in lines)
