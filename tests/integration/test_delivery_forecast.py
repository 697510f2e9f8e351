"""What `status` foretells of a destination, from the store alone: calls, shares, the time, and rows held."""

from pathlib import Path

from tests.support.delivery import EVENTS, Delivery, delivery_at_sandbox
from tests.support.pipeline import track


async def rows_held(delivery: Delivery) -> int:
    held: int = (await delivery.books())["rows"]["event"]["held"]
    return held


async def test_the_backlog_drains_when_foretold(tmp_path: Path) -> None:
    """With 5 calls a minute, the backlog has gone in the minute that was foretold, and then nothing is."""
    async with delivery_at_sandbox(tmp_path, callsPerMinute=5, usageObject=None) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(*(track("u", messageId=f"t{n}", properties={"accountId": account}) for n in range(1_000)))
        await delivery.resolve()
        await delivery.worker.step()
        books = await delivery.books()
        assert (books["calls"]["minuteShare"], books["calls"]["dayShare"]) == (5, 30_000)
        told = books["forecast"]
        assert (told["records"], told["calls"]) == (950, 19)
        await delivery.drain()
        last_call_ms = (await delivery.sandbox.calls())[-1]["at_ms"]
        assert told["drainedAt"] // 60_000 == last_call_ms // 60_000
        assert (await delivery.books())["forecast"] == {"records": 0, "priorities": {}, "calls": 0, "drainedAt": None}


async def test_a_pause_foretells_nothing(tmp_path: Path) -> None:
    """While the key is refused nothing goes, so no time is named."""
    async with delivery_at_sandbox(tmp_path, accessKey="00000000-0000-4000-8000-000000000000") as delivery:
        delivery.send(track("u", messageId="t", properties={"accountId": "0019X00000Zz9ZzQAJ"}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        assert (await delivery.books())["forecast"] is None


async def test_rows_are_counted_once(tmp_path: Path) -> None:
    """Inserted, updated, inserted without an answer, gone and inserted again: the count is that of the rows there."""
    async with delivery_at_sandbox(tmp_path, usageObject=None) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        for number in range(3):
            delivery.send(track("u", messageId=f"t{number}", properties={"accountId": account}))
            await delivery.drain()
        assert await rows_held(delivery) == 3
        await delivery.sandbox.control(
            "PUT",
            "faults",
            [{"fault": "502", "match": {"method": "POST", "path": f"/v1/data/objects/{EVENTS}"}, "times": 1}],
        )
        delivery.send(track("u", messageId="t3", properties={"accountId": account}))
        await delivery.drain()
        assert await rows_held(delivery) == len(await delivery.rows(EVENTS)) == 4


async def test_an_object_that_is_nearly_full(tmp_path: Path) -> None:
    """From 80 % of what a Low Volume object holds, `status` says so; the count outlives the records."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(track("u", messageId="t", properties={"accountId": account}))
        await delivery.drain()
        await delivery.database.write(lambda c: c.execute("UPDATE held_rows SET rows = 799999 WHERE object = 'event'"))
        assert "object_nearly_full" not in (await delivery.books())["notices"]
        delivery.send(track("u", messageId="t2", properties={"accountId": account}))
        await delivery.drain()
        assert (await delivery.books())["notices"]["object_nearly_full"] == {"event": 800_000}
