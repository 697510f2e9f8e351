"""A call is made when it carries something that Gainsight does not hold yet, and with as much of it as there is."""

from pathlib import Path
from typing import Any

from tests.support.delivery import Delivery, delivery_at_sandbox
from tests.support.pipeline import identify, track


async def writes_of_people(delivery: Delivery) -> list[tuple[str, str, int]]:
    return [write for write in await delivery.writes() if "people" in write[1] and write[0] == "PUT"]


def people(count: int, **traits: Any) -> list[dict[str, Any]]:
    return [identify(f"u{n}", {"email": f"u{n}@x.test", **traits}) for n in range(count)]


async def test_unchanged_people_do_not_fill_a_batch(tmp_path: Path) -> None:
    """Sixty identifies of which three are news: the three go with one call, when they have waited, and not before."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=300) as delivery:
        delivery.send(*people(60))
        await delivery.drain()
        before = len(await writes_of_people(delivery))
        delivery.send(*people(60), *people(3, firstName="Mo"))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        assert len(await writes_of_people(delivery)) == before
        assert (await delivery.books())["pending"] == 10 + 2 * 3  # ten not looked at yet, three with two messages each
        await delivery.step_until(minutes=6)
        assert len(await writes_of_people(delivery)) == before + 1
        assert (await delivery.books())["pending"] == 0


async def test_a_batch_full_of_news_goes_at_once(tmp_path: Path) -> None:
    """Fifty changed records wait for nobody, however long the flush."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=3600) as delivery:
        delivery.send(*people(50))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        assert (await delivery.books())["delivered"] == 50


async def test_companies_are_fetched_in_one_call(tmp_path: Path) -> None:
    """The accounts of many events cost one query; one that comes to Gainsight later is asked for by its id."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        accounts = [row["SfdcAccountId"] for row in await delivery.accounts()]
        for number, account in enumerate(accounts):
            delivery.send(track("u1", messageId=f"t{number}", properties={"accountId": account}))
            await delivery.drain()
        queries = [write for write in await delivery.writes() if "query/Company" in write[1]]
        assert len(queries) == 1
        late = "0019X00000Zz9ZzQAJ"
        await delivery.sandbox.control("POST", "companies", {"companies": [{"Name": "Late", "SfdcAccountId": late}]})
        delivery.send(track("u1", messageId="late", properties={"accountId": late}))
        await delivery.drain()
        queries = [write for write in await delivery.writes() if "query/Company" in write[1]]
        assert len(queries) == 2
        (row,) = [row for row in await delivery.rows("Segment_Event__gc") if row["Message_Id__gc"] == "late"]
        assert row["Company_Id__gc"]
