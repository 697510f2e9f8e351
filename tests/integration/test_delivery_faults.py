"""P3 and P7: whatever fails on the way to Gainsight, it ends up holding what it would have held without the fault."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import EVENTS, USAGE, Delivery, delivery_at_sandbox, delivery_to
from tests.support.pipeline import ACCESS_KEY, NOW_MS, at, group, identify, track
from tests.support.soak import spread

from gainsight_destination.deliver import calls
from gainsight_destination.destinations.contract import Call, TransientError
from gainsight_destination.sandbox.testing import running_sandbox
from gainsight_destination.testing import ManualClock

OBJECTS = ("company", "person", "company_person", EVENTS, USAGE)
OF_THE_SYSTEM = frozenset({"Gsid", "CreatedDate", "ModifiedDate", "CreatedBy", "ModifiedBy"})


async def held(delivery: Delivery) -> dict[str, list[str]]:
    """Everything Gainsight holds, without what Gainsight itself makes up; ids replaced by what they point at."""
    state = {name.lower(): rows for name, rows in (await delivery.sandbox.control("GET", "state"))["objects"].items()}
    names = {row["Gsid"]: f"company {row['Name']}" for row in state["company"]}
    names |= {row["Gsid"]: f"person {row['Email']}" for row in state["person"]}
    return {
        name: sorted(
            str(sorted((k, names.get(v, v)) for k, v in row.items() if k not in OF_THE_SYSTEM and v is not None))
            for row in state[name.lower()]
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


PASSING = (
    *("403", "404", "408", "429", "429-apig", "500", "502", "503", "504", "result-false", "truncated-json", "not-json"),
    *("disconnect-before", "disconnect-after", "redirect", "unauthorized", "forbidden-ip", "slow"),
    *("timeout-before-commit", "timeout-after-commit"),
)
"""What another try mends, by itself."""
ALIKE = ("404", "408", "429-apig", "502", "503", "504", "slow", "not-json", "forbidden-ip")
"""What we treat as another one of them: only some of the calls fail so, all of them in a soak."""
REFUSALS = ("400", "413")
"""What buries a record, if it is repeated."""
PATIENCE_SECONDS = 0.2
"""How long a call waits for an answer here, in real time."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TIMEOUT_SECONDS", PATIENCE_SECONDS)


async def each_call(fault: str, calls_to_fail: Iterable[int], directory: Path) -> AsyncIterator[tuple[int, Delivery]]:
    """A fresh tenant and a fresh start for every n, with a fault of the nth call."""
    clock = ManualClock(NOW_MS + 10_000)
    async with running_sandbox(directory / "sandbox.db", clock=clock) as sandbox:
        for nth in calls_to_fail:
            clock.advance(60 - clock.now_ms() / 1000 % 60 + 10)
            await sandbox.control("POST", "reset")
            await sandbox.control("PUT", "faults", [{"fault": fault, "match": {"nth": nth}, "times": 1}])
            (directory / str(nth)).mkdir()
            async with delivery_to(sandbox, directory / str(nth), clock) as delivery:
                yield nth, delivery


@pytest.mark.soak
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", PASSING)
async def test_any_one_call_fails(fault: str, memory_path: Path, undisturbed: tuple[dict[str, list[str]], int]) -> None:
    """Every n-th call fails once, in every way that passes: the final state is that of the undisturbed run."""
    expected, count = undisturbed
    calls_to_fail = spread(count, 5) if fault in ALIKE else range(1, count + 1)
    async for nth, delivery in each_call(fault, calls_to_fail, memory_path):
        await story(delivery)
        books = await delivery.books()
        assert (books["pending"], books["parked"], books["dead"], books["pauses"]) == (0, {}, 0, []), (fault, nth)
        assert await held(delivery) == expected, (fault, nth)


@pytest.mark.parametrize("fault", REFUSALS)
async def test_any_one_call_is_refused(
    fault: str, memory_path: Path, undisturbed: tuple[dict[str, list[str]], int]
) -> None:
    """Every n-th call is refused once: what is refused is tried once more, so that none is buried."""
    expected, count = undisturbed
    async for nth, delivery in each_call(fault, range(1, count + 1), memory_path):
        await story(delivery)
        assert await delivery.read("SELECT 1 FROM dead_letters") == [], (fault, nth)
        books = await delivery.books()
        assert (books["pending"], books["parked"], books["dead"], books["pauses"]) == (0, {}, 0, []), (fault, nth)
        assert await held(delivery) == expected, (fault, nth)


async def test_an_answer_that_drips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An answer that comes byte by byte and never ends is given up, and may have done what was asked."""
    monkeypatch.setattr(calls, "CALL_SECONDS", PATIENCE_SECONDS)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(PATIENCE_SECONDS / 10)
        writer.close()

    async with delivery_at_sandbox(tmp_path) as delivery, await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await delivery.restart(domain=f"http://127.0.0.1:{port}")
        with pytest.raises(TransientError, match="no whole answer") as raised:
            await delivery.worker._calls.send(Call("GET", "/"))
        assert raised.value.uncertain


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
        rule = {"fault": "400", "match": {"method": "POST", "path": f"/v1/data/objects/{EVENTS}"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        delivery.send(track("u1", messageId="t1", properties={"accountId": account}))
        await delivery.drain()
        assert (await delivery.books())["dead"] == 1
        await delivery.sandbox.control("PUT", "faults", {"rules": []})

        assert await delivery.retry_dead_letters() == 1
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
