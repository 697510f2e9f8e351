"""P9: one poisoned record, object, endpoint or answer delays no other, and what changes meanwhile is not lost."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.delivery import EVENTS, Delivery, delivery_at_sandbox
from tests.support.pipeline import group, identify, track

from gainsight_destination.deliver import outcomes, references
from gainsight_destination.deliver.calls import EngineCalls
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.destinations.contract import (
    Answer,
    Call,
    Delivered,
    Reference,
    Rejected,
    TransientError,
)
from gainsight_destination.destinations.gainsight.destination import _refused_rows
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.records.notices import OTHERS, SUBJECTS, note
from gainsight_destination.records.upkeep import settle

UNKNOWN = "0019X00000Zz9ZzQAJ"


async def account_of(delivery: Delivery, number: int = 0) -> str:
    account: str = (await delivery.accounts())[number]["SfdcAccountId"]
    return account


@pytest.mark.parametrize(
    "odd",
    [
        track("bad", messageId="bad", timestamp="0001-01-01T00:00:00+14:00"),
        track("bad", messageId="bad", timestamp="9999-12-31T23:59:59-14:00"),
    ],
)
async def test_dates_out_of_range(tmp_path: Path, odd: dict[str, Any]) -> None:
    """A date that cannot be written in UTC counts as absent; the events beside it are delivered."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        delivery.send(
            {**odd, "properties": {"accountId": account}}, track("u", messageId="t", properties={"accountId": account})
        )
        await delivery.drain()
        assert {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)} == {"bad", "t"}


async def test_numbers_too_great(tmp_path: Path) -> None:
    """1e999 is legal JSON and no number Gainsight can hold: it is left out, and the rest goes."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        traits = '{"employees":1e999,"industry":"Energy"}'
        body = f'{{"batch":[{{"type":"group","userId":"u","groupId":"{account}","traits":{traits}}}]}}'
        delivery.pipeline.log.append([Entry(1, EntryKind.BATCH, delivery.clock.now_ms(), 1, body.encode())])
        await delivery.drain()
        company = next(row for row in await delivery.rows("company") if row["SfdcAccountId"] == account)
        assert company["Industry"] == "Energy"


async def test_our_own_failure_buries_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that breaks the projection becomes a dead letter; the others of its batch are delivered."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        project = delivery.destination.project

        def breaks(reader: Any, records: Any) -> Any:
            drafts = project(reader, records)
            if any(draft.name == "t3" for draft in drafts):
                raise ZeroDivisionError
            return drafts

        monkeypatch.setattr(delivery.destination, "project", breaks)
        delivery.send(*(track("u", messageId=f"t{n}", properties={"accountId": account}) for n in range(10)))
        await delivery.drain()
        books = await delivery.books()
        assert (len(await delivery.rows(EVENTS)), books["dead"], books["delivered"]) == (9, 1, 9)
        assert await delivery.read("SELECT code FROM dead_letters") == [("internal_error",)]


async def test_one_object_in_trouble_stops_no_other(tmp_path: Path) -> None:
    """While Company's metadata fails, events are delivered; Company follows when it answers again."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        rule = {"fault": "500", "match": {"path": "/v1/meta/services/objects/Company/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        delivery.send(
            group("u", account, {"industry": "Energy"}), track("u", messageId="t", properties={"accountId": account})
        )
        await delivery.resolve()
        await delivery.step_until(minutes=3)
        assert len(await delivery.rows(EVENTS)) == 1
        assert (await delivery.books())["pending"] == 1
        await delivery.sandbox.control("PUT", "faults", {"rules": []})
        await delivery.drain(minutes=5)
        assert (await delivery.books())["delivered"] == 2
        assert (await delivery.books())["failing"] is None


async def test_a_job_that_cannot_be_polled_stops_nothing(tmp_path: Path) -> None:
    """While the status of asynchronous people fails, events go out at once."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        rule = {"fault": "500", "match": {"method": "GET", "path": "/v1/peoplemgmt/v1.0/people/async/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        delivery.send(*(identify(f"u{n}", {"email": f"u{n}@x.test"}) for n in range(5)))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        delivery.send(track("z", messageId="t", properties={"accountId": account}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        assert len(await delivery.rows(EVENTS)) == 1


async def test_the_record_that_was_refused_is_buried(tmp_path: Path) -> None:
    """A batch may hold records that need no call: positions in the answer are those of the call."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        one, two = await account_of(delivery), await account_of(delivery, 1)
        delivery.send(group("u", one, {"industry": "Energy"}), group("u", two, {"name": "x"}))
        await delivery.drain()
        rule = {"fault": "400", "match": {"method": "PUT", "path": "/v1/data/objects/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        delivery.send(group("u", one, {"industry": "Energy"}), group("u", two, {"industry": None}))
        await delivery.drain()
        ((name, request),) = await delivery.read("SELECT record_key, request FROM dead_letters")
        assert name == two
        assert request.count("Gsid") == 2  # one record, and the key of the update


async def test_a_change_during_the_call_is_not_buried(tmp_path: Path) -> None:
    """What was refused is the version that was sent; a newer one gets its own chance."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        delivery.send(group("u", account, {"name": "A"}))
        await delivery.resolve()
        ((record_id, version),) = await delivery.read("SELECT id, version FROM records")
        delivery.send(group("u", account, {"name": "B"}))
        await delivery.resolve()
        refused = Rejected("GSOBJ_1001", "too long", Call("PUT", "/x"), Answer(400, {}, ""))
        sent = {record_id: Sent(record_id, "company", account, version)}
        await delivery.database.write(
            lambda connection: outcomes.apply(connection, 1, sent, {record_id: refused}, delivery.clock.now_ms())
        )
        assert (await delivery.books())["dead"] == 0
        await delivery.drain()
        assert (await delivery.books())["delivered"] == 2


async def test_a_change_during_the_call_is_delivered_after_it(tmp_path: Path) -> None:
    """A record that changed while its call was under way stays dirty, and so does the message that changed it."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        delivery.send(group("u", account, {"name": "A"}))
        await delivery.resolve()
        ((record_id, version),) = await delivery.read("SELECT id, version FROM records")
        delivery.send(group("u", account, {"name": "B"}))
        await delivery.resolve()
        sent = {record_id: Sent(record_id, "company", account, version)}
        found = {record_id: Delivered(b"what was sent")}
        await delivery.database.write(
            lambda connection: outcomes.apply(connection, 1, sent, found, delivery.clock.now_ms())
        )
        books = await delivery.books()
        assert (books["delivered"], books["pending"]) == (1, 1)
        await delivery.drain()
        company = next(row for row in await delivery.rows("company") if row["SfdcAccountId"] == account)
        assert company["Name"] == "B"
        assert (await delivery.books())["delivered"] == 2


async def test_a_company_that_appears_while_people_are_on_their_way(tmp_path: Path) -> None:
    """A lookup that became known between request and result is filled afterwards."""
    async with delivery_at_sandbox(tmp_path, createCompanies=True) as delivery:
        delivery.send(*(identify(f"u{n}", {"email": f"u{n}@x.test", "accountId": UNKNOWN}) for n in range(3)))
        await delivery.resolve()
        while not await delivery.read("SELECT 1 FROM jobs"):
            delivery.clock.advance(await delivery.worker.step() / 1000)
        delivery.send(group("zz", UNKNOWN, {"industry": "Energy"}))
        await delivery.resolve()
        await delivery.step_until(minutes=3)
        (company,) = [row for row in await delivery.rows("company") if row["SfdcAccountId"] == UNKNOWN]
        links = await delivery.rows("company_person")
        assert [link["Company_ID"] for link in links] == [company["Gsid"]] * 3


async def test_a_row_whose_lookup_comes_late_is_not_forgotten_first(tmp_path: Path) -> None:
    """A Company that appears after weeks fills the rows of that time; letting go of old messages breaks nothing."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        delivery.send(track("u1", messageId="t1", properties={"accountId": UNKNOWN}))
        await delivery.drain()
        delivery.clock.advance(31 * 86_400)
        gsid = (await delivery.rows("company"))[0]["Gsid"]
        found = {Reference("company", UNKNOWN): gsid}
        await delivery.database.write(lambda c: references.learn(c, 1, found, delivery.clock.now_ms()))
        await delivery.database.write(lambda c: settle(c, 1, delivery.destination, delivery.clock.now_ms()))
        await delivery.drain()
        assert [row["Company_Id__gc"] for row in await delivery.rows(EVENTS)] == [gsid]


async def test_a_dead_record_with_steady_messages_costs_few_calls(tmp_path: Path) -> None:
    """Each new message gives a dead record another chance, after a wait that doubles; one letter tells of it."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await account_of(delivery)
        rule = {"fault": "400", "match": {"method": "PUT", "path": "/v1/data/objects/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        for turn in range(60):
            delivery.send(group("u", account, {"industry": f"Industry {turn}"}))
            await delivery.resolve()
            await delivery.step_until(minutes=10 / 60)
        refused = [call for call in await delivery.sandbox.calls() if call["status"] == 400]
        assert 3 <= len(refused) <= 10
        assert len(await delivery.read("SELECT 1 FROM dead_letters")) == 1


async def test_a_broken_answer_is_a_failed_call(tmp_path: Path) -> None:
    """An answer that cannot be decoded is trouble on the way, not the end of the worker."""

    def broken(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    async with delivery_at_sandbox(tmp_path) as delivery:
        calls = EngineCalls(
            delivery.database,
            delivery.clock,
            1,
            "gainsight",
            delivery.destination,
            transport=httpx.MockTransport(broken),
        )
        with pytest.raises(TransientError) as raised:
            await calls.send(Call("GET", "/v1/x"))
        assert raised.value.uncertain
        await calls.close()


def test_errors_without_a_position_are_nobodys() -> None:
    """An error whose row cannot be read makes everybody doubtful, never delivered."""
    refused, unplaced = _refused_rows({"errors": [{"row": 1, "code": "X", "message": "bad"}, {"rowNo": 2}]}, 3)
    assert set(refused) == {1}
    assert unplaced
    assert _refused_rows({"errors": []}, 3) == ({}, False)


async def test_remarks_are_bounded(tmp_path: Path) -> None:
    """However many names messages make up, the remarks of a kind stay few."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        many = {("trait_unmapped", f"Company.t{n}"): 1 for n in range(SUBJECTS + 50)}
        await delivery.database.write(lambda connection: note(connection, 1, many))
        ((kinds,),) = await delivery.read("SELECT count(*) FROM notices")
        assert kinds == SUBJECTS + 1
        assert await delivery.read("SELECT times FROM notices WHERE subject = ?", OTHERS) == [(50,)]


async def test_status_tells_of_trouble_while_it_lasts(tmp_path: Path) -> None:
    """`failing` says that Gainsight is in trouble, and no longer once it answers, though there be nothing to write."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        delivery.send(track("u", messageId="t", properties={"accountId": UNKNOWN}))
        await delivery.drain()
        rule = {"fault": "503", "match": {"path": "/v1/data/objects/query/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        await delivery.step_until(minutes=35)  # the absent Company is looked for again, in vain
        assert "HTTP 503" in (await delivery.books())["failing"]["reason"]
        await delivery.sandbox.control("PUT", "faults", {"rules": []})
        await delivery.step_until(minutes=3)
        assert (await delivery.books())["failing"] is None
