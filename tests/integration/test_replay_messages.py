"""A replay to a destination that gets messages as they came: in the order of each user, and only what it lacks unless
it is asked for again."""

from pathlib import Path
from typing import Any

from tests.integration.test_message_destinations import hooked
from tests.integration.test_replay import forget
from tests.support.delivery import Delivery
from tests.support.pipeline import identify, track


def sent(user: str, message_id: str, event: str = "Seen") -> dict[str, Any]:
    return track(user, event, messageId=message_id)


async def test_messages_are_sent_again_in_the_order_of_each_user(tmp_path: Path) -> None:
    """Only with `again`; one user's in the order they came, also if some were forgotten since; each is counted once."""
    async with hooked(tmp_path) as (delivery, receiver):
        delivery.send(sent("a", "a1"), sent("b", "b1"), sent("a", "a2"), sent("a", "a3"), sent("b", "b2"))
        await delivery.drain()
        told = await delivery.replay()
        assert told["messages"] == {"chosen": 5, "touched": 0, "skipped": {"already_delivered": 5}}
        assert len(receiver.taken) == 5
        receiver.taken.clear()
        shown = await delivery.replay_preview(again=True)
        assert (shown.sends_messages, shown.calls) == (True, 5)
        told = await delivery.replay(again=True, user_id="a")
        assert receiver.ids() == ["a1", "a2", "a3"]
        assert told["records"]["delivered"] == 3
        receiver.taken.clear()
        await forget(delivery)
        assert await delivery.read("SELECT 1 FROM deliveries") == []
        await delivery.replay(again=True)
        assert [i for i in receiver.ids() if i.startswith("a")] == ["a1", "a2", "a3"]
        assert [i for i in receiver.ids() if i.startswith("b")] == ["b1", "b2"]
        books = await delivery.books()
        assert (books["received"], books["delivered"]) == (5, 5)


async def test_a_live_message_does_not_stand_behind_a_replay(tmp_path: Path) -> None:
    """Of one user: what comes live while old messages wait to be sent again is sent before the rest of them."""
    async with hooked(tmp_path, callsPerMinute=2) as (delivery, receiver):
        delivery.send(*(sent("a", f"a{n}") for n in range(6)))
        await delivery.drain()
        receiver.taken.clear()
        await start_and_look(delivery)
        delivery.send(sent("a", "live"))
        await delivery.drain()
        ids = receiver.ids()
        assert ids.index("live") <= 2
        assert [i for i in ids if i != "live"] == [f"a{n}" for n in range(6)]


async def test_what_it_did_not_get_is_sent_without_again(tmp_path: Path) -> None:
    """A wider list of events: what was kept out is sent, what it got is not, and what it refused is tried again."""
    async with hooked(tmp_path, events=["Seen"]) as (delivery, receiver):
        receiver.answer = lambda message: 400 if message["messageId"] == "m3" else 200
        delivery.send(identify("a", messageId="m0"), sent("a", "m1"), sent("a", "m2", "Done"), sent("a", "m3"))
        await delivery.drain()
        assert (await delivery.books())["dead"] == 1
        receiver.answer = lambda _: 200
        await delivery.restart(events=[])
        told = await delivery.replay()
        assert told["messages"] == {"chosen": 4, "touched": 2, "skipped": {"already_delivered": 2}}
        assert sorted(receiver.ids()) == ["m0", "m1", "m2", "m3"]
        books = await delivery.books()
        assert (books["received"], books["delivered"], books["dead"]) == (4, 4, 0)


async def start_and_look(delivery: Delivery) -> None:
    await delivery.start_replay(again=True)
    while await delivery.advance(1_000):
        pass
