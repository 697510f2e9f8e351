"""`status` for people: each reason in words, what is not well and what to do about it, whether a server runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gainsight_destination.cli.app import app
from gainsight_destination.cli.status import in_words
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.runtime.lock import LockedError, RoleLock, is_held
from gainsight_destination.store.database import connect
from gainsight_destination.store.migrate import migrate

AT_MS = 1_772_600_000_000  # 2026-03-04T04:53:20Z


def document(**destination: Any) -> dict[str, Any]:
    books = {"received": 1_006, "discarded": {}, "duplicates": 0, "filtered": {"event_not_listed": 1_000}}
    books |= {"parked": {"no_account": 4, "unknown_company": 2}, "pending": 0, "delivered": 0, "dead": 0}
    rest = {"type": "gainsight", "state": "running", "pauses": [], "failing": None, "balanced": True, "notices": {}}
    rest |= {"calls": {"minute": 6, "day": 501, "total": 1_234, "minuteShare": 60, "dayShare": 30_000}}
    rest |= {"forecast": {"records": 0, "priorities": {}, "calls": 0, "drainedAt": None}, "rows": {}}
    rest |= {"replays": [], "uploads": {"hour": 0, "day": 0, "records": {}}}
    rest |= {"records": {"company": {"clean": 4, "parked": 1}}}
    return {
        "serverRunning": True,
        "refused": {"everything": None, "sources": {}},
        "sources": {"website": {"received": 1_006, "discarded": {}}},
        "unknownWriteKey": {"received": 0},
        "destinations": {"gainsight": {**books, **rest, **destination}},
        "notices": {},
    }


def test_reasons_are_told_in_words() -> None:
    """Who does not know the codes can read what became of the messages."""
    lines = [line.strip() for line in in_words(document())]
    assert "1,000 not in your list of events" in lines
    assert "4 waiting to learn their account" in lines
    assert "2 for a company Gainsight does not have" in lines
    assert "every message is accounted for" in lines
    assert "records company: 4 up to date, 1 waiting for Gainsight to have their company" in lines


def test_a_message_too_many_is_said_aloud() -> None:
    """Books that do not balance are not to be overlooked."""
    assert any("NOT EVERY MESSAGE" in line for line in in_words(document(balanced=False)))


def test_an_unmapped_trait_says_what_to_do() -> None:
    """The notice names the trait and the setting that maps it."""
    lines = in_words(document(notices={"trait_unmapped": {"Company.plan": 5, "Person.tier": 1}}))
    assert "  note: the trait `plan` came 5 times and has no Gainsight field; map it with companyFields" in lines
    assert "  note: the trait `tier` came once and has no Gainsight field; map it with personFields" in lines


def test_a_destination_that_does_not_answer() -> None:
    """A failure that goes on shows since when, why, and the next try."""
    failing = {"reason": "no connection", "since": AT_MS, "retryAt": AT_MS + 30_000, "times": 3}
    text = "\n".join(in_words(document(failing=failing)))
    assert "not reachable since 2026-03-04 04:53:20 UTC: no connection; tried again at 2026-03-04 04:53:50" in text


def test_when_the_backlog_drains() -> None:
    """The calls used are shown of those that are ours, and what waits with the time when it has gone."""
    priorities = {"live": 20, "backfill": 1_000}
    forecast = {"records": 1_020, "priorities": priorities, "calls": 21, "drainedAt": AT_MS}
    rows = {"event": {"held": 812_345, "max": 1_000_000}}
    lines = in_words(document(forecast=forecast, rows=rows, notices={"object_nearly_full": {"event": 812_345}}))
    assert "  calls: 6 of 60 this minute, 501 of 30,000 today, 1,234 in all" in lines
    waits = (
        "1,020 records wait (20 live, 1,000 backfill) for 21 calls; drains at 2026-03-04 04:53 UTC with the quota left"
    )
    assert f"  forecast: {waits}" in lines
    assert "  rows event: 812,345 of 1,000,000" in lines
    assert any("80 % of the rows that Gainsight lets them hold: event 812,345" in line for line in lines)


def test_files_that_are_under_way() -> None:
    """How much of the files' own quota is used, and how many records wait for one to be worked off."""
    lines = in_words(document(uploads={"hour": 2, "day": 7, "records": {"event": 25_000}}))
    told = "  files: 2 in the last hour, 7 in the last day; records under way in one: 25,000 of event"
    assert told in lines
    assert not any("files:" in line for line in in_words(document()))


def test_no_forecast_without_a_backlog() -> None:
    """With nothing waiting, or while nothing goes, nothing is foretold; unknown shares are left out."""
    calls = {"minute": 6, "day": 501, "total": 1_234, "minuteShare": None, "dayShare": None}
    lines = in_words(document(forecast=None, calls=calls))
    assert "  calls: 6 this minute, 501 today, 1,234 in all" in lines
    assert not any("forecast" in line for line in lines + in_words(document()))


@pytest.mark.parametrize(
    ("object_name", "reason", "advice"),
    [
        ("event", "Gainsight does not know /v1/x", "`check` lists what to create"),
        (None, "Gainsight refuses the Access Key (no)", "put a good key into the workspace file and run"),
        (None, "Gainsight refuses this server's IP address; add it", "allow-list"),
        ("event", "Gainsight redirects this call", "correct `domain`"),
    ],
)
def test_a_pause_says_what_to_do(object_name: str | None, reason: str, advice: str) -> None:
    """Each kind of pause has its advice, its beginning and its next try."""
    pause = {"object": object_name, "reason": reason, "since": AT_MS, "retryAt": AT_MS + 300_000}
    text = "\n".join(in_words(document(pauses=[pause])))
    assert advice in text
    assert "since 2026-03-04 04:53:20 UTC" in text
    assert "tried again at 2026-03-04 04:58:20" in text


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_status_says_whether_a_server_runs(tmp_path: Path) -> None:
    """The lock of the data directory decides; JSON has it as serverRunning."""
    connection = connect(tmp_path / "state.db")
    migrate(connection, "gainsight_destination.store.migrations")
    connection.close()
    SqliteEventLog(tmp_path / "log.db").close()
    stopped = run("status", "--data", str(tmp_path))
    assert stopped.output.startswith("The server is not running: nothing is received or delivered.")
    assert json.loads(run("status", "--json", "--data", str(tmp_path)).output)["serverRunning"] is False
    with RoleLock(tmp_path, "ingest"):
        assert "not running" not in run("status", "--data", str(tmp_path)).output
        assert json.loads(run("status", "--json", "--data", str(tmp_path)).output)["serverRunning"] is True


def test_looking_at_a_lock_takes_nothing(tmp_path: Path) -> None:
    """A lock that was looked at can be had, and one that is held stays held."""
    assert not is_held(tmp_path, "ingest")
    with RoleLock(tmp_path, "ingest"):
        assert is_held(tmp_path, "ingest")
        with pytest.raises(LockedError), RoleLock(tmp_path, "ingest"):
            pass
    assert not is_held(tmp_path, "ingest")
    with RoleLock(tmp_path, "ingest"):
        assert is_held(tmp_path, "ingest")
