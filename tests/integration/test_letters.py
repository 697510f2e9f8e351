"""Dead letters as a person works with them: grouped, explained, corrected so that it lasts, and taken out as files."""

import csv
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import EVENTS, Delivery, delivery_at_sandbox
from tests.support.pipeline import group, identify, track
from typer.testing import CliRunner

from gainsight_destination import letters
from gainsight_destination.cli.app import app
from gainsight_destination.deliver import outcomes
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.destinations.contract import Delivered, Outcome, Parked
from gainsight_destination.destinations.gainsight.files import CsvFile
from gainsight_destination.errors import UserError
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.letters import Fix, Wanted
from gainsight_destination.records import dead_letters
from gainsight_destination.records.upkeep import settle

OPEN = Wanted()
REQUIRED = {"data_type": "STRING", "nillable": False, "required": True}
MAPPED = {
    "companyFields": {"plan": "Plan__gc"},
    "personFields": {"plan": "Plan__gc"},
    "eventFields": {"plan": "Plan__gc"},
}


async def refuse_everything(delivery: Delivery) -> str:
    """A field that every new person and row needs and nobody fills; an account that is there."""
    for object_name in ("person", EVENTS):
        await delivery.sandbox.control("PUT", f"schema/{object_name}/fields/Plan__gc", REQUIRED)
    return str((await delivery.accounts())[0]["SfdcAccountId"])


async def find(delivery: Delivery, wanted: Wanted = OPEN) -> list[dict[str, Any]]:
    found, more = await delivery.database.read(lambda connection: letters.page(connection, wanted))
    assert more is None
    return found


async def fix(delivery: Delivery, letter_id: int, values: dict[str, Any], *unset: str) -> dict[str, Any]:
    now_ms = delivery.clock.now_ms()
    told = await delivery.database.write(
        lambda connection: letters.fix(connection, letter_id, Fix(values, unset), now_ms)
    )
    await delivery.drain()
    return told


async def test_a_correction_is_one_more_dated_statement(tmp_path: Path) -> None:
    """It makes the record arrive and stays; what is dated before loses, however late it is read; what is after wins."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        await refuse_everything(delivery)
        start_ms = delivery.clock.now_ms()
        delivery.send(identify("ana", {"email": "ana@x.test", "firstName": "Anna"}))
        await delivery.drain()
        (letter,) = await find(delivery)
        delivery.clock.advance(60)
        await fix(delivery, letter["id"], {"Plan__gc": "gold", "FirstName": "Ana"})

        async def person() -> tuple[Any, Any]:
            (row,) = await delivery.rows("person")
            return row["Plan__gc"], row["FirstName"]

        assert await person() == ("gold", "Ana")
        assert (await delivery.books())["delivered"] == 1
        late = {"timestamp": iso_utc(start_ms + 1000)}  # before the correction, read after it
        delivery.send(
            identify("ana", {"email": "ana@x.test", "plan": "silver", "firstName": "Anne", "lastName": "B"}, **late)
        )
        await delivery.drain()
        await delivery.restart()
        assert await person() == ("gold", "Ana")
        delivery.clock.advance(60)
        delivery.send(identify("ana", {"email": "ana@x.test", "plan": "bronze"}))
        await delivery.drain()
        assert await person() == ("bronze", "Ana")


async def test_rows_keep_what_was_corrected(tmp_path: Path) -> None:
    """A row belongs to one message, so nothing later wins; a value is made to fit, an unset field is not sent."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        await delivery.sandbox.control("PUT", f"schema/{EVENTS}/fields/Rows__gc", {"data_type": "NUMBER"})
        delivery.send(track("u1", "Seen", messageId="m1", properties={"accountId": account}))
        await delivery.drain()
        (letter,) = await find(delivery)
        await fix(delivery, letter["id"], {"Plan__gc": "gold", "Rows__gc": "12"}, "Properties__gc")
        (row,) = await delivery.rows(EVENTS)
        assert (row["Plan__gc"], row["Rows__gc"], row["Properties__gc"]) == ("gold", 12, None)
        delivery.send(identify("u1", {"email": "u1@x.test", "plan": "x"}))  # fills the row's lookup later on
        await delivery.drain()
        await delivery.step_until(minutes=3)
        (row,) = await delivery.rows(EVENTS)
        assert (row["Plan__gc"], row["Rows__gc"]) == ("gold", 12)


async def test_every_refusal_is_kept_with_its_time(tmp_path: Path) -> None:
    """A record that is refused again and again has its last ten refusals, each with request and answer."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(track("u1", "Seen", messageId="m1", properties={"accountId": account}))
        await delivery.drain()
        for _ in range(11):
            delivery.clock.advance(10)
            assert await delivery.retry_dead_letters() == 1
            await delivery.drain()
        (letter,) = await find(delivery)
        assert len(await find(delivery, Wanted(state=None))) == 12
        told = await delivery.database.read(lambda connection: letters.show(connection, letter["id"]))
        assert len(told["refusals"]) == 10
        assert len({one["at"] for one in told["refusals"]}) == 10
        assert told["refusals"][-1]["at"] == told["diedAt"]
        assert told["refusals"][0]["request"]["body"]["records"][0]["Message_Id__gc"] == "m1"
        assert {one["answer"]["status"] for one in told["refusals"]} == {400}
        await fix(delivery, letter["id"], {"Plan__gc": "x"})
        assert (await delivery.books())["delivered"] == 1


async def test_letters_are_grouped_by_reason_with_what_to_do(tmp_path: Path) -> None:
    """What went wrong how often, some of them, and a sentence that helps; filters and pages."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(
            identify("ana", {"email": "ana@x.test"}),
            *(track("u1", "Seen", messageId=f"m{n}", properties={"accountId": account}) for n in range(5)),
        )
        await delivery.drain()

        def read(connection: Any) -> Any:
            first, before = letters.page(connection, Wanted(object="event"), limit=3)
            return (
                letters.groups(connection, Wanted()),
                first,
                letters.page(connection, Wanted(object="event"), before_id=before),
            )

        groups, first, (rest, more) = await delivery.database.read(read)
        assert [(one["object"], one["code"], one["count"]) for one in groups] == [
            ("event", "GSOBJ_1007", 5),
            ("person", "GSOBJ_1007", 1),
        ]
        assert len(groups[0]["samples"]) == 3
        assert "map a trait to it, or make it optional" in groups[0]["whatToDo"]
        assert more is None
        ids = [letter["id"] for letter in (*first, *rest)]
        assert (len(first), len(ids), ids) == (3, 5, sorted(ids, reverse=True))
        assert await find(delivery, Wanted(since_ms=delivery.clock.now_ms() + 1)) == []
        assert len(await find(delivery, Wanted(code="GSOBJ_1007"))) == 6
        now_ms = delivery.clock.now_ms()
        told = await delivery.database.write(
            lambda c: letters.discard(c, groups[0]["samples"][0]["id"], now_ms, like=True)
        )
        assert told == {"settled": 5, "state": "discarded"}
        assert [letter["object"] for letter in await find(delivery)] == ["person"]
        assert (await delivery.books())["dead"] == 6


@pytest.mark.parametrize(
    ("object_name", "fields", "says"),
    [
        ("event", {"Message_Id__gc": "x"}, "it is the key"),
        ("event", {"Account_Id__gc": "x"}, "it follows from whose event it is"),
        ("person", {"Email": "x"}, "it is the key"),
        ("person", {}, "say what to correct"),
    ],
)
async def test_what_cannot_be_corrected_is_said(
    tmp_path: Path, object_name: str, fields: dict[str, str], says: str
) -> None:
    """Keys and what is resolved from messages are corrected by messages; nothing is changed by the attempt."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(
            identify("ana", {"email": "ana@x.test"}), track("ana", messageId="m", properties={"accountId": account})
        )
        await delivery.drain()
        (letter,) = await find(delivery, Wanted(object=object_name))
        with pytest.raises(UserError, match=says):
            await fix(delivery, letter["id"], fields)
        assert await delivery.read("SELECT count(*) FROM corrections") == [(0,)]
        assert len(await find(delivery)) == 2


async def test_a_retry_beside_a_change_counts_nobody_twice(tmp_path: Path) -> None:
    """A dead record that a message changed is tried by itself; a person's retry in between leaves the books right."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        await refuse_everything(delivery)
        delivery.send(identify("ana", {"email": "ana@x.test"}))
        await delivery.drain()
        delivery.send(identify("ana", {"email": "ana@x.test", "plan": "x"}))
        await delivery.resolve()
        assert (await delivery.books())["dead"] == 0
        assert await delivery.retry_dead_letters() == 1
        books = await delivery.books()
        assert (books["dead"], books["pending"]) == (0, 2)
        await delivery.drain()
        assert (await delivery.books())["delivered"] == 2


async def test_on_the_command_line(tmp_path: Path) -> None:
    """Fix, groups and export as a person types them; a text that a spreadsheet would run is made harmless."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(
            group("ana", account),
            track("ana", "Seen", messageId="=1+1", properties={"accountId": account, "note": "ä"}),
        )
        await delivery.drain()

        def run(*arguments: str) -> str:
            result = CliRunner().invoke(app, ["dead-letters", *arguments, "--data", str(tmp_path)])
            assert result.exception is None, result.output
            return result.output

        assert "such as 1 (=1+1)" in run("groups")
        (line,) = run("export", "--code", "GSOBJ_1007", "--since", "2020-01-01").splitlines()
        assert json.loads(line)["request"]["body"]["records"][0]["Message_Id__gc"] == "=1+1"
        assert run("export", "--object", "person") == ""
        header, row = csv.reader(io.StringIO(run("export", "--format", "csv")))
        assert dict(zip(header, row, strict=True))["record"] == "'=1+1"
        assert run("fix", "1", "--set", "Plan__gc=gold") == 'Plan__gc: "gold"\n1 record to be tried again.\n'
        await delivery.drain()
        assert (await delivery.books())["delivered"] == 2
        assert run("list") == "There are no open dead letters.\n"
        refused = CliRunner().invoke(app, ["dead-letters", "fix", "1", "--set", "Plan__gc", "--data", str(tmp_path)])
        assert "--set needs FIELD=VALUE" in str(refused.exception)
        for bad in (["fix", "1", "--unset", "Plan__gc"], ["list", "--since", "soon"]):
            assert CliRunner().invoke(app, ["dead-letters", *bad, "--data", str(tmp_path)]).exception is not None


async def buried_company(delivery: Delivery) -> tuple[int, Sent]:
    """An open letter of a company that a new message is trying again, and its record as in a batch made now."""
    match = {"method": "PUT", "path": "/v1/data/objects/Company"}
    await delivery.sandbox.control("PUT", "faults", [{"fault": "400", "match": match}])
    account = str((await delivery.accounts())[0]["SfdcAccountId"])
    delivery.send(group("u1", account, {"industry": "Nonsense"}))
    await delivery.drain()
    await delivery.sandbox.control("PUT", "faults", [])
    delivery.clock.advance(60)
    delivery.send(group("u1", account, {"employees": 5}))
    await delivery.resolve()
    (letter,) = await find(delivery)
    sql = "SELECT id, (SELECT revision FROM reader) FROM records WHERE object = 'company' AND state = 'dirty'"
    ((record_id, revision),) = await delivery.read(sql)
    return letter["id"], Sent(record_id, "company", account, revision)


async def end(delivery: Delivery, sent: Sent, outcome: Outcome) -> None:
    """What the worker does when a call ends."""
    ended = {sent.record_id: outcome}
    now_ms = delivery.clock.now_ms()
    await delivery.database.write(lambda c: outcomes.apply(c, 1, {sent.record_id: sent}, ended, now_ms))


async def company(delivery: Delivery, sent: Sent) -> tuple[Any, Any]:
    await delivery.drain()
    books = await delivery.books()
    assert (books["delivered"], books["parked"], books["dead"]) == (2, {}, 0)
    (row,) = [row for row in await delivery.rows("company") if row["SfdcAccountId"] == sent.name]
    return row["Industry"], row["Employees"]


async def test_a_correction_made_during_a_call_is_delivered(tmp_path: Path) -> None:
    """The call that was under way carried the record without it: that call does not settle the record."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        letter_id, sent = await buried_company(delivery)
        now_ms = delivery.clock.now_ms()
        await delivery.database.write(lambda c: letters.fix(c, letter_id, Fix({"Industry": "Energy"}), now_ms))
        await end(delivery, sent, Delivered(b"without it"))
        assert await company(delivery, sent) == ("Energy", 5)


async def test_a_retry_of_what_waits_for_its_company_counts_it_right(tmp_path: Path) -> None:
    """A record with an open letter may wait for something by now: when it is retried and arrives, it waits no more."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        letter_id, sent = await buried_company(delivery)
        await end(delivery, sent, Parked("unknown_company", 3_600))
        assert (await delivery.books())["parked"] == {"unknown_company": 2}
        await delivery.database.write(lambda c: letters.retry(c, letter_id, delivery.clock.now_ms()))
        assert (await delivery.books())["parked"] == {"unknown_company": 2}
        assert await company(delivery, sent) == ("Nonsense", 5)


async def test_a_correction_is_taken_back(tmp_path: Path) -> None:
    """The record is sent again as the messages say it; the file of an export is its owner's."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        letter_id, sent = await buried_company(delivery)
        await fix(delivery, letter_id, {"Industry": "Energy"})
        assert await company(delivery, sent) == ("Energy", 5)
        unfix = ["dead-letters", "unfix", str(letter_id), "--data", str(tmp_path)]
        assert CliRunner().invoke(app, unfix).output == "No longer corrected: Industry\n"
        assert await company(delivery, sent) == ("Nonsense", 5)
        assert "nothing is corrected" in str(CliRunner().invoke(app, unfix).exception)
        file = tmp_path / "letters.csv"
        export = ["dead-letters", "export", "--all", "--format", "csv", "--data", str(tmp_path)]
        printed = CliRunner().invoke(app, export).output
        assert CliRunner().invoke(app, [*export, "--output", str(file)]).output == ""
        assert (stat.S_IMODE(file.stat().st_mode), len(list(csv.reader(io.StringIO(file.read_text()))))) == (0o600, 2)
        assert list(csv.reader(io.StringIO(printed))) == list(csv.reader(io.StringIO(file.read_text())))


async def test_what_was_corrected_goes_with_its_record(tmp_path: Path) -> None:
    """Another record may get the id of one that is gone: nothing that was corrected, or refused, is left for it."""
    async with delivery_at_sandbox(tmp_path, **MAPPED) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(track("u1", "Seen", messageId="m1", properties={"accountId": account}))
        await delivery.drain()
        (letter,) = await find(delivery)
        await fix(delivery, letter["id"], {"Plan__gc": "gold"})
        assert await delivery.read("SELECT field FROM corrections") == [("Plan__gc",)]
        delivery.clock.advance(400 * 86_400)
        await delivery.database.write(lambda c: settle(c, 1, delivery.destination, delivery.clock.now_ms()))
        assert await delivery.read("SELECT id FROM records WHERE object = 'event'") == []
        assert await delivery.read("SELECT record_id FROM corrections UNION ALL SELECT record_id FROM refusals") == []


def test_a_file_has_no_row_with_a_field_that_its_job_does_not_map() -> None:
    """A person may have corrected such a field: that row goes by a call, and the others stay in the file."""
    file = CsvFile(["Message_Id__gc"])
    assert file.line_of({"Message_Id__gc": "m", "Plan__gc": "gold"}, clears=False) is None
    assert file.line_of({"Message_Id__gc": {"a": 1}}, clears=False) is None
    assert file.line_of({"Message_Id__gc": "m"}, clears=False) == b"m\r\n"


async def test_retrying_all_ends_though_they_are_refused_again(tmp_path: Path) -> None:
    """What was refused anew since it was asked for is not retried once more: else it would go round for ever."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        account = await refuse_everything(delivery)
        delivery.send(*(track("u", messageId=f"t{n}", properties={"accountId": account}) for n in range(3)))
        await delivery.drain()
        event = next(letter for letter in await find(delivery) if letter["object"] == "event")
        (newest,) = (await delivery.read("SELECT max(id) FROM dead_letters"))[0]
        rounds = 0
        while True:
            done = await delivery.database.write(
                lambda connection: letters.settle_some(
                    connection,
                    dead_letters.get(connection, event["id"]),
                    "retry",
                    delivery.clock.now_ms(),
                    until_id=newest,
                    limit=2,
                )
            )
            if not done:
                break
            rounds += 1
            await delivery.drain()  # refused again, at once
            assert rounds < 5
        assert rounds == 2
        assert sum(letter["object"] == "event" for letter in await find(delivery)) == 3
        assert (await delivery.books())["dead"] == 3
