"""`trace` and `dead-letters` for people: plain words, what is known and no more, and the next step."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.delivery import delivery_at_sandbox
from tests.support.pipeline import NOW_MS, Pipeline
from typer.testing import CliRunner

from gainsight_destination.cli.app import app
from gainsight_destination.cli.check import needed_of, one_per_line
from gainsight_destination.cli.trace import in_words
from gainsight_destination.destinations.contract import Answer, Call, Rejected
from gainsight_destination.destinations.gainsight.check import EVENT_FIELDS
from gainsight_destination.observe.trace import trace
from gainsight_destination.records import dead_letters
from gainsight_destination.records.books import Books
from gainsight_destination.store.database import transaction

ACCOUNT = "001A0000006Vm9rIAC"
TRACK = {"type": "track", "event": "Seen", "userId": "ana", "messageId": "m1", "properties": {"accountId": ACCOUNT}}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def story(pipeline: Pipeline, message_id: str = "m1") -> dict[str, Any]:
    found = trace(pipeline.connection, pipeline.log, [pipeline.connected], message_id)
    assert found is not None
    return found


def test_a_pending_message_says_when_it_is_sent(pipeline: Pipeline) -> None:
    """What waits names the latest time of its call; words of the inside do not appear."""
    pipeline.send(TRACK)
    pipeline.resolve()
    text = "\n".join(in_words(story(pipeline)))
    assert "record event: waiting, sent by 2027-01-15T08:00:15.000Z at the latest" in text
    for word in ("recordId", "in the log", "dirty"):
        assert word not in text


def test_an_absent_company_is_said(pipeline: Pipeline) -> None:
    """A row that was delivered without its Company says that Gainsight does not have it."""
    pipeline.send(TRACK)
    pipeline.resolve()
    assert "Gainsight has no Company" not in "\n".join(in_words(story(pipeline)))
    insert = "INSERT INTO references_known VALUES (1, 'company', ?, NULL, ?)"
    pipeline.connection.execute(insert, (ACCOUNT, NOW_MS))
    assert "Gainsight has no Company of this account" in "\n".join(in_words(story(pipeline)))


def test_an_email_without_its_shape_is_said(pipeline: Pipeline) -> None:
    """An identify whose e-mail is not used says why there is none."""
    pipeline.send({"type": "identify", "userId": "ana", "messageId": "m1", "traits": {"email": "ana at home"}})
    pipeline.resolve()
    text = "\n".join(in_words(story(pipeline)))
    assert "traits.email of the message has not the shape of an address" in text


def test_a_forgotten_delivery_is_not_called_delivered(pipeline: Pipeline) -> None:
    """When the details are gone, nobody can say that it arrived: it is settled."""
    pipeline.send(TRACK)
    pipeline.resolve()
    pipeline.connection.execute("DELETE FROM deliveries")
    assert story(pipeline)["destinations"]["gainsight"]["state"] == "settled"


@pytest.fixture
def buried(tmp_path: Path) -> Path:
    """A data directory with one dead letter of an event row."""
    pipeline = Pipeline(tmp_path)
    pipeline.send(TRACK)
    pipeline.resolve()
    (record_id,) = pipeline.query("SELECT id FROM records WHERE object = 'event'")[0]
    outcome = Rejected("GSOBJ_1", "no such value", Call("POST", "/v1/data"), Answer(400, {"result": False}, ""))
    with transaction(pipeline.connection):
        books = Books(NOW_MS)
        dead_letters.bury(pipeline.connection, books, record_id, "m1", outcome, NOW_MS)
        books.flush(pipeline.connection)
    pipeline.close()
    return tmp_path


def test_dead_letters_tell_when_whose_and_what_next(buried: Path) -> None:
    """The list and the letter have a date, the destination's name and the next command; JSON is camelCase."""
    data = ("--data", str(buried))
    listed = run("dead-letters", "list", *data).output
    assert "2027-01-15T08:00:00.000Z  gainsight event m1  GSOBJ_1: no such value" in listed
    assert "next: `dead-letters show 1`" in listed
    shown = run("dead-letters", "show", "1", *data).output
    assert "diedAt: 2027-01-15T08:00:00.000Z" in shown
    assert "`dead-letters retry 1`" in shown
    (letter,) = json.loads(run("dead-letters", "list", "--json", *data).output)
    assert not [name for name in letter if "_" in name]
    assert (letter["destination"], letter["record"], letter["settledAt"]) == ("gainsight", "m1", None)
    whole = json.loads(run("dead-letters", "show", "1", "--json", *data).output)
    assert whole["answer"] == {"status": 400, "body": {"result": False}}


def test_a_second_retry_says_that_it_was_retried(buried: Path) -> None:
    """Nothing is left to retry, and the sentence says what happens instead."""
    data = ("--data", str(buried))
    assert run("dead-letters", "retry", "1", *data).output == "1 record to be tried again.\n"
    again = run("dead-letters", "retry", "1", *data)
    assert "was retried already; if it is refused again" in str(again.exception)
    assert run("dead-letters", "list", *data).output == "There are no open dead letters.\n"
    assert "[retried]" in run("dead-letters", "list", "--all", *data).output


def test_an_unknown_message_is_a_document_too(buried: Path) -> None:
    """With --json the answer no is JSON as well, and the exit code says it."""
    # The stored settings are empty, so the destination cannot be built: nothing may depend on it.

    with sqlite3.connect(buried / "state.db") as connection:
        connection.execute("UPDATE destinations SET enabled = 0")
    result = run("trace", "nobody", "--json", "--data", str(buried))
    assert result.exit_code == 1
    assert json.loads(result.output) == {"messageId": "nobody", "offset": None, "message": None, "destinations": {}}


def test_check_shows_one_field_per_line_and_only_what_is_written() -> None:
    """A missing object is a list to work through, and JSON has the fields that matter."""
    lines = one_per_line("create the object X with the fields A (Text); B (Lookup to Company (Gsid))")
    assert lines == ["create the object X with the fields", "A (Text)", "B (Lookup to Company (Gsid))"]
    assert one_per_line("create the field A") == ["create the field A"]
    has = {"Rows__gc": {"Message_Id__gc": "STRING", "Colour__gc": "STRING"}}
    assert needed_of(has, {"Rows__gc": EVENT_FIELDS}) == {"Rows__gc": {"Message_Id__gc": "STRING"}}


async def test_a_story_names_the_call_that_carried_each_record(tmp_path: Path) -> None:
    """The last call of each record and its answer, and the dead letters; a call that was let go is left out."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=1) as delivery:
        match = {"method": "POST", "path": "/v1/data/objects/Segment_Event__gc"}
        await delivery.sandbox.control("PUT", "faults", [{"fault": "400", "match": match}])
        delivery.send(TRACK)
        await delivery.drain(minutes=3)

        def tell(connection: sqlite3.Connection) -> dict[str, Any]:
            found = trace(connection, delivery.pipeline.log, [delivery.connected], "m1")
            assert found is not None
            return found

        found = await delivery.database.read(tell)
        event, usage = found["destinations"]["gainsight"]["records"]
        assert (event["state"], event["lastCall"]["outcome"]) == ("dead", "400")
        assert [letter["state"] for letter in event["deadLetters"]] == ["open"]
        assert (usage["state"], usage["lastCall"]["outcome"]) == ("clean", "200")
        text = "\n".join(in_words(found))
        assert ": POST /v1/data/objects/Segment_Usage_Daily__gc, answered 200" in text
        assert f"dead letters: {event['deadLetters'][0]['id']} (open)" in text
        await delivery.database.write(lambda connection: connection.execute("DELETE FROM calls"))
        assert "answered" not in "\n".join(in_words(await delivery.database.read(tell)))
