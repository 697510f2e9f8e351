"""P3 and P7: whatever fails on the way to Gainsight, it ends up holding what it would have held without the fault."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import EVENTS, USAGE, Delivery, delivery_at_sandbox
from tests.support.pipeline import ACCESS_KEY, at, group, identify, track

from gainsight_destination.records import dead_letters
from gainsight_destination.records.books import Books

OBJECTS = ("company", "person", "company_person", EVENTS, USAGE)
OF_THE_SYSTEM = frozenset({"Gsid", "CreatedDate", "ModifiedDate", "CreatedBy", "ModifiedBy"})


async def held(delivery: Delivery) -> dict[str, list[str]]:
    """Everything Gainsight holds, without what Gainsight itself makes up; ids replaced by what they point at."""
    names: dict[str, str] = {}
    for row in await delivery.rows("company"):
        names[row["Gsid"]] = f"company {row['Name']}"
    for row in await delivery.rows("person"):
        names[row["Gsid"]] = f"person {row['Email']}"
    return {
        name: sorted(
            str(sorted((k, names.get(v, v)) for k, v in row.items() if k not in OF_THE_SYSTEM and v is not None))
            for row in await delivery.rows(name)
        )
        for name in OBJECTS
    }


def first_round(one: str, two: str) -> list[dict[str, Any]]:
    """Messages that touch every object: an insert of each, asynchronous people."""
    when = {"timestamp": at(-60)}
    return [
        identify("u1", {"email": "u1@x.test", "firstName": "Mo", "accountId": one, "title": "CTO"}, **when),
        identify("u2", {"email": "u2@x.test", "name": "Jo"}, **when),
        identify("u3", {"email": "u3@x.test"}, **when),
        group("u2", two, {"industry": "Energy", "employees": "12"}, **when),
        *(track(f"u{n % 2 + 1}", f"Event {n % 3}", messageId=f"t{n}", **when) for n in range(8)),
    ]


def second_round(one: str) -> list[dict[str, Any]]:
    """Updates of what is there, and a few more inserts."""
    when = {"timestamp": at(-30)}
    return [
        identify("u1", {"lastName": "Ito"}, **when),
        group("u3", one, {"employees": 13}, **when),
        *(track(f"u{n}", "Event 1", messageId=f"s{n}", **when) for n in range(1, 4)),
    ]


async def two_accounts(delivery: Delivery) -> tuple[str, str]:
    one, two = [row["SfdcAccountId"] for row in (await delivery.accounts())[:2]]
    return one, two


async def story(delivery: Delivery) -> None:
    one, two = await two_accounts(delivery)
    delivery.send(*first_round(one, two))
    await delivery.drain()
    delivery.send(*second_round(one))
    await delivery.drain()


UNDISTURBED: list[tuple[dict[str, list[str]], int]] = []


@pytest.fixture
async def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], int]:
    """What Gainsight holds without faults, and how many calls it took; found out once."""
    if not UNDISTURBED:
        async with delivery_at_sandbox(tmp_path_factory.mktemp("undisturbed")) as delivery:
            await story(delivery)
            books = await delivery.books()
            assert (books["pending"], books["parked"], books["dead"]) == (0, {}, 0)
            UNDISTURBED.append((await held(delivery), len(await delivery.sandbox.calls())))
    return UNDISTURBED[0]


FAULTS = (
    *("429", "429-apig", "500", "502", "503", "504", "result-false", "truncated-json", "not-json"),
    *("disconnect-before", "disconnect-after", "redirect", "unauthorized", "forbidden-ip"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_any_one_call_fails(fault: str, tmp_path: Path, undisturbed: tuple[dict[str, list[str]], int]) -> None:
    """Every n-th call fails once, in every way there is: the final state is that of the undisturbed run."""
    expected, calls = undisturbed
    for nth in range(1, calls + 1):
        directory = tmp_path / str(nth)
        directory.mkdir()
        async with delivery_at_sandbox(directory) as delivery:
            await delivery.sandbox.control(
                "PUT", "faults", {"rules": [{"fault": fault, "match": {"nth": nth}, "times": 1}]}
            )
            await story(delivery)
            books = await delivery.books()
            assert (books["pending"], books["parked"], books["dead"]) == (0, {}, 0), (fault, nth)
            assert await held(delivery) == expected, (fault, nth)


class CrashError(BaseException):
    """The process ends here, as by kill -9: after Gainsight's answer, before anything of it is written."""


async def test_a_crash_after_every_call(tmp_path: Path, undisturbed: tuple[dict[str, list[str]], int]) -> None:
    """What was done and not written down is looked up or done again: the final state is the same."""
    expected, _ = undisturbed
    async with delivery_at_sandbox(tmp_path) as delivery:
        one, two = await two_accounts(delivery)
        crashes = 0
        for messages in (first_round(one, two), second_round(one)):
            delivery.send(*messages)
            await delivery.resolve()
            while await _dirty(delivery):
                crashes += await _crash_at_the_next_outcome(delivery, written=False)
                crashes += await _crash_at_the_next_outcome(delivery, written=True)
        assert crashes > 10
        assert await held(delivery) == expected
        books = await delivery.books()
        assert (books["pending"], books["dead"]) == (0, 0)


async def _dirty(delivery: Delivery) -> int:
    ((records,),) = await delivery.read("SELECT count(*) FROM records WHERE state = 'dirty'")
    return int(records)


async def _crash_at_the_next_outcome(delivery: Delivery, *, written: bool) -> int:
    """Run until outcomes are to be written, crash just before or just after that, and start again."""
    write = delivery.worker._write

    async def crash(*arguments: Any) -> None:
        if written:
            await write(*arguments)
        raise CrashError

    delivery.worker._write = crash  # type: ignore[method-assign]
    crashed = 0
    while await _dirty(delivery) and not crashed:
        try:
            delivery.clock.advance(await delivery.worker.step() / 1000)
        except CrashError:
            crashed = 1
    await delivery.restart()
    return crashed


@pytest.mark.parametrize("nesting", ["flat", "nested"])
async def test_a_bad_record_is_found_and_buried_alone(tmp_path: Path, nesting: str) -> None:
    """One refused row of many becomes a dead letter with request and answer; the others are delivered."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        only_once = {EVENTS: ["Event_Name__gc"]}  # a rule of the tenant that no metadata tells
        await delivery.sandbox.control("PUT", "switches", {"error_nesting": nesting, "unique_fields": only_once})
        delivery.send(track("u0", "Taken", messageId="t", properties={"accountId": account}))
        await delivery.drain()
        names = {n: "Taken" if n == 17 else f"Event {n}" for n in range(30)}
        delivery.send(*(track("u1", names[n], messageId=f"t{n}", properties={"accountId": account}) for n in names))
        before = len(await delivery.sandbox.calls())
        await delivery.drain()
        assert len(await delivery.rows(EVENTS)) == 30
        books = await delivery.books()
        assert (books["dead"], books["delivered"]) == (1, 30)
        ((code, request, answer),) = await delivery.read("SELECT code, request, answer FROM dead_letters")
        assert code.startswith("GSOBJ_")
        assert '"t17"' in request
        assert '"t16"' not in request or nesting == "nested"
        assert '"status": 400' in answer
        assert len(await delivery.sandbox.calls()) - before <= 18


async def test_a_dead_record_is_retried(tmp_path: Path) -> None:
    """After the cause is mended, a retry delivers it and the books follow."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(track("u0", messageId="t", properties={"accountId": account}))
        await delivery.drain()
        schema = await delivery.sandbox.control("GET", f"schema/{EVENTS}")
        user = next(f for f in schema["fields"] if f["name"] == "User_Id__gc")
        path = f"schema/{EVENTS}/fields/User_Id__gc"
        await delivery.sandbox.control("PUT", path, {**user, "length": 5})
        delivery.send(track("too long", messageId="t1", properties={"accountId": account}))
        await delivery.drain()
        assert (await delivery.books())["dead"] == 1
        await delivery.sandbox.control("PUT", path, user)

        def retry(connection: Any) -> None:
            books = Books()
            (letter,) = dead_letters.select(connection)
            dead_letters.revive(connection, books, letter["record_id"], delivery.clock.now_ms())
            books.flush(connection)

        await delivery.database.write(retry)
        assert (await delivery.books())["pending"] == 1
        await delivery.drain()
        books = await delivery.books()
        assert (books["dead"], books["delivered"]) == (0, 2)


async def test_the_quota_is_never_exceeded(tmp_path: Path) -> None:
    """With 5 calls a minute of our own, no minute of Gainsight sees more, and no call is refused."""
    async with delivery_at_sandbox(tmp_path, callsPerMinute=5) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(
            *(track(f"u{n}", messageId=f"t{n}", properties={"accountId": account}) for n in range(400)),
        )
        await delivery.drain(minutes=60)
        quota = await delivery.sandbox.control("GET", "quota")
        assert quota["refused"] == 0
        assert max(minute["accepted"] for minute in quota["minutes"]) <= 5
        assert len(await delivery.rows(EVENTS)) == 400
        assert (await delivery.books())["calls"]["total"] == quota["accepted"]


async def test_another_integration_eats_the_quota(tmp_path: Path) -> None:
    """A 429 is waited out until the next minute and is no failure of any record."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        await delivery.sandbox.control("PUT", "switches", {"calls_per_minute": 2})
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(*(track(f"u{n}", messageId=f"t{n}", properties={"accountId": account}) for n in range(120)))
        await delivery.drain(minutes=60)
        assert len(await delivery.rows(EVENTS)) == 120
        books = await delivery.books()
        assert (books["delivered"], books["dead"], books["pauses"]) == (120, 0, [])


async def test_a_good_key_resumes_at_once(tmp_path: Path) -> None:
    """A refused key pauses after one call; the next settings are tried at once, without waiting for the probe."""
    async with delivery_at_sandbox(tmp_path, accessKey="00000000-0000-4000-8000-000000000000") as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(track("u1", messageId="t1", properties={"accountId": account}))
        await delivery.resolve()
        await delivery.step_until(minutes=12)
        assert (await delivery.books())["state"] == "paused"
        assert len(await delivery.sandbox.calls()) in (3, 4)  # the first, and one probe every five minutes
        await delivery.restart(accessKey=ACCESS_KEY)
        await delivery.drain(minutes=1)
        books = await delivery.books()
        assert (books["state"], books["delivered"]) == ("running", 1)


async def test_a_missing_object_pauses_only_itself(tmp_path: Path) -> None:
    """Without the event object, people and usage are delivered; the object resumes when it is there."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        schema = await delivery.sandbox.control("GET", f"schema/{EVENTS}")
        await delivery.sandbox.control("DELETE", f"schema/{EVENTS}")
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(
            identify("u1", {"email": "a@x.test"}), track("u1", messageId="t1", properties={"accountId": account})
        )
        await delivery.resolve()
        await delivery.step_until(minutes=2)
        assert [pause["object"] for pause in (await delivery.books())["pauses"]] == ["event"]
        assert len(await delivery.rows(USAGE)) == 1
        assert len(await delivery.rows("person")) == 1
        own = [field for field in schema["fields"] if field["name"] not in OF_THE_SYSTEM]
        await delivery.sandbox.control("PUT", f"schema/{EVENTS}", {"fields": own})
        await delivery.drain(minutes=10)
        assert len(await delivery.rows(EVENTS)) == 1
        assert (await delivery.books())["pauses"] == []


async def test_unknown_companies_are_found_later(tmp_path: Path) -> None:
    """Lookups of delivered rows and people are filled, and group calls released, when the Company appears."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = "0019X00000Zz9ZzQAJ"
        delivery.send(
            identify("u1", {"email": "a@x.test"}),
            group("u1", account, {"industry": "Energy"}),
            track("u1", messageId="t1"),
        )
        await delivery.drain()
        books = await delivery.books()
        assert (books["parked"], books["delivered"]) == ({"unknown_company": 1}, 2)
        await delivery.sandbox.control("POST", "companies", {"companies": [{"Name": "Late", "SfdcAccountId": account}]})
        await delivery.step_until(minutes=40)
        (company,) = [row for row in await delivery.rows("company") if row["SfdcAccountId"] == account]
        assert company["Industry"] == "Energy"
        for name in (EVENTS, USAGE):
            assert [row["Company_Id__gc"] for row in await delivery.rows(name)] == [company["Gsid"]]
        assert [row["Company_ID"] for row in await delivery.rows("company_person")] == [company["Gsid"]]
        assert (await delivery.books())["delivered"] == 3


async def test_unchanged_records_cost_no_call(tmp_path: Path) -> None:
    """Identifies and groups that say nothing new make no call at all."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        said = [
            identify("u1", {"email": "a@x.test", "accountId": account}),
            group("u1", account, {"industry": "Energy"}),
        ]
        delivery.send(*said)
        await delivery.drain()
        before = len(await delivery.sandbox.calls())
        for _ in range(5):
            delivery.send(*said)
            await delivery.drain()
        assert len(await delivery.sandbox.calls()) == before
        assert (await delivery.books())["delivered"] == 12


async def test_the_same_input_gives_the_same_requests(tmp_path: Path) -> None:
    """P10: same messages, settings and clock: the same calls, in the same order, with the same bodies."""
    seen = []
    for run in ("one", "two"):
        directory = tmp_path / run
        directory.mkdir()
        async with delivery_at_sandbox(directory) as delivery:
            names = {row["Gsid"]: row["Name"] for row in await delivery.rows("company")}
            await story(delivery)
            calls = [(call["method"], call["path"], call["request_body"]) for call in await delivery.sandbox.calls()]
            text = re.sub(r"/async/[0-9a-f-]+", "/async/ID", str(calls))
            for gsid, name in names.items():
                text = text.replace(gsid, name)
            seen.append(text)
    assert seen[0] == seen[1]
