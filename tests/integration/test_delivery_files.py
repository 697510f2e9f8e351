"""Files for Gainsight's Bulk API: when they go, what is in them, and that nothing is lost or doubled whatever fails."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import EVENTS, USAGE, Delivery, delivery_at_sandbox
from tests.support.pipeline import identify, track

from gainsight_destination.deliver import calls, quota
from gainsight_destination.deliver.outcomes import LONGEST_JOB_MS
from gainsight_destination.destinations.contract import Draft, Limits, Record
from gainsight_destination.destinations.gainsight import files
from gainsight_destination.destinations.gainsight.files import CsvFile, doubtful_rows

IMPORT = "/v1.0/admin/connector/job/bulkimport"
JOBS = {EVENTS: "segment-event", USAGE: "segment-usage-daily"}
MANY = 700
FEW = 20
"""Makes a file worth its while where the test says so."""


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UPLOAD_FROM_RECORDS", FEW)


def some(account: str, count: int, *, prefix: str = "t") -> list[dict[str, Any]]:
    return [
        track(f"u{n % 7}", f"E{n % 3}", messageId=f"{prefix}{n}", properties={"accountId": account})
        for n in range(count)
    ]


async def account_of(delivery: Delivery) -> str:
    account: str = (await delivery.accounts())[0]["SfdcAccountId"]
    return account


async def by_path(delivery: Delivery) -> Counter[tuple[str, str]]:
    return Counter((method, path.split("/status/")[0]) for method, path, _ in await delivery.writes())


async def imported(delivery: Delivery) -> list[list[dict[str, str]]]:
    """The rows of each file that was sent."""
    found = []
    for call in await delivery.sandbox.calls():
        if call["path"] == IMPORT:
            text = call["request_body"].split("Content-Type: text/csv\r\n\r\n")[1].rsplit("\r\n--", 1)[0]
            found.append(list(csv.DictReader(io.StringIO(text, newline=""))))
    return found


async def test_a_backlog_goes_as_a_file(tmp_path: Path) -> None:
    """700 rows are one file and not 14 calls; each row is there once, with its lookups, and the books balance."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        delivery.send(identify("u1", {"email": "u1@x.test"}))
        await delivery.drain()
        delivery.send(*some(account, MANY))
        await delivery.drain(minutes=60)
        seen = await by_path(delivery)
        assert seen["POST", IMPORT] == 1
        assert seen["POST", f"/v1/data/objects/{EVENTS}"] == 0
        rows = await delivery.rows(EVENTS)
        assert Counter(row["Message_Id__gc"] for row in rows) == Counter(f"t{n}" for n in range(MANY))
        assert all(row["Company_Id__gc"] for row in rows)
        assert all(bool(row["Person_Id__gc"]) == (row["User_Id__gc"] == "u1") for row in rows)
        books = await delivery.books()
        assert (books["pending"], books["delivered"], books["rows"]["event"]["held"]) == (0, MANY + 1, MANY)
        assert books["uploads"] == {"hour": 1, "day": 1, "records": {}}


async def test_a_file_holds_what_calls_would_have_written(tmp_path: Path) -> None:
    """Whether rows go by calls or by file, Gainsight holds the same; what one delivered the other does not repeat."""
    held = []
    for way in ({}, {"bulkJobs": JOBS}):
        directory = tmp_path / str(len(way))
        directory.mkdir()
        async with delivery_at_sandbox(directory, **way) as delivery:
            account = await account_of(delivery)
            odd = ['a "quoted", text', "two\nlines", "=SUM(A1)", "+49 30 123", "-", "@ada", "Zürich 🚲", "\tTab"]
            delivery.send(
                *some(account, MANY),
                *(
                    track(name, name, messageId=f"o{n}", properties={"accountId": account})
                    for n, name in enumerate(odd)
                ),
            )
            await delivery.drain(minutes=90)
            assert (await delivery.books())["pending"] == 0
            assert len(await imported(delivery)) == len(way)
            drop = ("Gsid", "CreatedDate", "ModifiedDate", "CreatedBy", "ModifiedBy", "Company_Id__gc")
            rows = [row for name in (EVENTS, USAGE) for row in await delivery.rows(name)]
            held.append(sorted(str(sorted((k, v) for k, v in row.items() if k not in drop)) for row in rows))
            before = len(await delivery.writes())
            await delivery.restart(bulkJobs={})
            await delivery.database.write(lambda c: c.execute("UPDATE records SET state = 'dirty'"))
            await delivery.drain()
            assert len(await delivery.writes()) - before <= 1  # the look at the companies
    assert held[0] == held[1]


@pytest.mark.usefixtures("small_files")
async def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """What a spreadsheet would take for a formula never gets into a file; it goes by a call, unchanged."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        evil = '=HYPERLINK("http://x.test")'
        delivery.send(*some(account, FEW), track("u", evil, messageId="evil", properties={"accountId": account}))
        await delivery.drain(minutes=90)
        (rows,) = await imported(delivery)
        assert len(rows) == FEW
        assert not any(cell[:1] in files.FORMULA for row in rows for cell in row.values() if cell)
        (row,) = [row for row in await delivery.rows(EVENTS) if row["Message_Id__gc"] == "evil"]
        assert row["Event_Name__gc"] == evil


async def test_few_records_go_by_calls(tmp_path: Path) -> None:
    """Up to ten calls' worth no file is sent."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        delivery.send(*some(await account_of(delivery), files.UPLOAD_FROM_RECORDS - 1))
        await delivery.drain()
        assert await imported(delivery) == []
        assert len(await delivery.rows(EVENTS)) == files.UPLOAD_FROM_RECORDS - 1


@pytest.mark.usefixtures("small_files")
async def test_live_rows_go_by_calls_while_a_file_is_under_way(tmp_path: Path) -> None:
    """A file that takes half an hour holds up nothing; what came for its own records meanwhile goes after it."""
    async with delivery_at_sandbox(tmp_path, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        await delivery.sandbox.control("PUT", "switches", {"job_seconds": 1_800})
        delivery.send(*some(account, FEW * 2))
        await delivery.resolve()
        await delivery.step_until(minutes=2)
        assert await delivery.rows(EVENTS) == []
        assert (await delivery.books())["uploads"]["records"] == {"event": FEW * 2, "usage": 21}
        assert (await delivery.books())["forecast"]["records"] == 0
        delivery.send(*some(account, FEW, prefix="live"))
        await delivery.resolve()
        await delivery.step_until(minutes=2)
        assert {row["Message_Id__gc"] for row in await delivery.rows(EVENTS)} == {f"live{n}" for n in range(FEW)}
        await delivery.drain(minutes=90)
        books = await delivery.books()
        assert (books["pending"], books["delivered"]) == (0, FEW * 3)
        counted = {row["Usage_Key__gc"]: row["Event_Count__gc"] for row in await delivery.rows(USAGE)}
        assert (len(counted), sum(counted.values())) == (21, FEW * 3)


@pytest.mark.usefixtures("small_files")
async def test_the_quota_of_files_is_kept(tmp_path: Path) -> None:
    """Ten an hour, across restarts; more waits go by calls, and no file is refused."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        for number in range(13):
            delivery.send(*some(account, FEW, prefix=f"r{number}-"))
            await delivery.drain()
            await delivery.restart()
        sent = [status for _, path, status in await delivery.writes() if path == IMPORT]
        assert sent == [200] * files.FILES_PER_HOUR
        assert len(await delivery.rows(EVENTS)) == 13 * FEW
        delivery.clock.advance(3_600)
        delivery.send(*some(account, FEW, prefix="later-"))
        await delivery.drain()
        assert len(await imported(delivery)) == files.FILES_PER_HOUR + 1


def test_a_day_of_files() -> None:
    """100 a day and 10 an hour, wherever hour and day begin."""
    from tests.unit.test_quota import NOON_MS, ledger

    connection, limits = ledger(), Limits(60, 30_000, 15, uploads_per_hour=10, uploads_per_day=100)
    sent: list[int] = []
    for minute in range(0, 3 * 1_440, 3):
        now_ms = NOON_MS + minute * 60_000
        if quota.uploads_left(connection, 1, limits, now_ms) > 0:
            quota.spend_upload(connection, 1, now_ms)
            sent.append(now_ms)
    for width_ms, most in ((3_600_000, 10), (86_400_000, 100)):
        assert max(sum(at <= other < at + width_ms for other in sent) for at in sent) == most
    assert quota.uploads_left(connection, 2, limits, NOON_MS) == 10


FAULTS = (
    *("429", "429-apig", "500", "502", "503", "504", "408", "400", "403", "404", "413", "redirect", "not-json"),
    *("truncated-json", "result-false", "unauthorized", "disconnect-before", "disconnect-after"),
    *("timeout-before-commit", "timeout-after-commit"),
)
LOST = ("500", "truncated-json", "disconnect-after", "timeout-before-commit", "timeout-after-commit")
"""What leaves it open whether the file was taken."""


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("what", ["file", "status"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_fails(fault: str, what: str, memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a look at it fails, in every way: each row is there once and nobody is buried."""
    monkeypatch.setattr(calls, "TIMEOUT_SECONDS", 0.2)
    match = {"method": "POST", "path": IMPORT} if what == "file" else {"method": "GET", "path": f"{IMPORT}/status/*"}
    async with delivery_at_sandbox(memory_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        await delivery.sandbox.control("PUT", "faults", [{"fault": fault, "match": match, "times": 1}])
        delivery.send(*some(account, FEW))
        await delivery.drain(minutes=120)
        rows = Counter(row["Message_Id__gc"] for row in await delivery.rows(EVENTS))
        assert rows == Counter(f"t{n}" for n in range(FEW))
        books = await delivery.books()
        assert (books["pending"], books["delivered"], books["dead"], books["pauses"]) == (0, FEW, 0, [])
        assert books["rows"]["event"]["held"] == FEW
        if what == "file" and fault in LOST:  # not sent again before it must have been worked off, and looked for first
            paths = [(path, call["at_ms"]) for call in await delivery.sandbox.calls() for path in (call["path"],)]
            sent_at_ms = dict(reversed(paths))[IMPORT]
            path, at_ms = paths[[path for path, _ in paths].index(IMPORT) + 1]
            assert path == f"/v1/data/objects/query/{EVENTS}"
            assert at_ms >= sent_at_ms + LONGEST_JOB_MS


@pytest.mark.usefixtures("small_files")
async def test_a_bad_row_of_a_file_is_buried_alone(tmp_path: Path) -> None:
    """The rows that a file's errors may mean go by calls, which bury the culprit with its own request and answer."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        await delivery.sandbox.control("PUT", "switches", {"unique_fields": {EVENTS: ["User_Id__gc"]}})
        messages = [track(f"u{n}", messageId=f"t{n}", properties={"accountId": account}) for n in range(FEW * 2)]
        messages[17]["userId"] = "u3"
        delivery.send(*messages)
        await delivery.drain(minutes=90)
        books = await delivery.books()
        assert (books["dead"], books["delivered"], books["pending"]) == (1, FEW * 2 - 1, 0)
        ((name, request),) = await delivery.read("SELECT record_key, request FROM dead_letters")
        assert name in ("t3", "t17")
        assert '"u3"' in request
        assert '"u4"' not in request
        assert len(await imported(delivery)) == 1


@pytest.mark.usefixtures("small_files")
async def test_a_job_that_is_not_there(tmp_path: Path) -> None:
    """A file that Gainsight refuses is told of, and its records go by calls."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs={EVENTS: "no-such-job"}) as delivery:
        delivery.send(*some(await account_of(delivery), FEW))
        await delivery.drain()
        books = await delivery.books()
        assert (books["delivered"], books["dead"], books["state"]) == (FEW, 0, "running")
        assert books["notices"]["upload_refused"] == {"event": 1}
        assert len(await imported(delivery)) == 1


@pytest.mark.usefixtures("small_files")
async def test_a_file_that_never_ends(tmp_path: Path) -> None:
    """After 45 minutes its rows are looked up by their keys; those that are not there go by calls."""
    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        await delivery.sandbox.control("PUT", "switches", {"job_seconds": 1_000_000})
        delivery.send(*some(account, FEW))
        await delivery.resolve()
        await delivery.step_until(minutes=44)
        assert await delivery.rows(EVENTS) == []
        await delivery.restart(bulkJobs={})
        await delivery.drain(minutes=30)
        books = await delivery.books()
        assert (len(await delivery.rows(EVENTS)), books["delivered"], books["dead"]) == (FEW, FEW, 0)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_around_a_file(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before or after the file is taken, and remembers nothing of it: each row is there once."""

    class CrashError(BaseException):
        pass

    async with delivery_at_sandbox(tmp_path, usageObject=None, bulkJobs=JOBS) as delivery:
        account = await account_of(delivery)
        client = delivery.worker._calls._client
        request = client.request

        async def dies(method: str, path: str, **more: Any) -> Any:
            if path != IMPORT:
                return await request(method, path, **more)
            if when == "after":
                await request(method, path, **more)
            raise CrashError

        monkeypatch.setattr(client, "request", dies)
        delivery.send(*some(account, FEW))
        with pytest.raises(CrashError):
            await delivery.drain()
        await delivery.restart()
        await delivery.drain(minutes=120)
        rows = Counter(row["Message_Id__gc"] for row in await delivery.rows(EVENTS))
        assert rows == Counter(f"t{n}" for n in range(FEW))
        assert (await delivery.books())["delivered"] == FEW


def test_what_csv_cannot_say() -> None:
    """Empty text, what looks like a formula and a field to be emptied have no line; all else has, as it is."""
    file = CsvFile(("a", "b"))
    assert file.line_of({"a": 'x "y", z\n', "b": -5}, clears=False) == b'"x ""y"", z\n",-5\r\n'
    assert file.line_of({"a": True, "b": None}, clears=False) == b"true,\r\n"
    assert file.line_of({"a": "x", "b": None}, clears=True) is None
    for text in ("", "=1", "+1", "-1", "@a", "\ta", "\ra", "\ud800"):
        assert file.line_of({"a": text}, clears=False) is None


def test_a_file_is_never_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that would not fit is not taken, and one that fits is."""
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 12)
    file = CsvFile(("a",))
    assert file.add(b"123456\r\n")
    assert not file.add(b"12\r\n")
    assert file.add(b"")
    assert file.content() == b"a\r\n123456\r\n"


@pytest.mark.parametrize(
    ("errors", "written", "doubtful"),
    [
        ([], 10, set()),
        (None, 10, set()),
        ([], 9, set(range(10))),
        ([{"rowNumber": 5}], 9, {3, 4, 5}),
        ([{"rowNumber": 5}, {"rowNumber": 5}, {"row": 0}], 8, {0, 3, 4, 5}),
        ([{"rowNumber": 11}], 9, {9}),
        ([{"rowNumber": 5}], 8, set(range(10))),
        ([{"rowNumber": "5"}], 9, set(range(10))),
        (["odd"], 9, set(range(10))),
        ([{"rowNumber": 5}], None, set(range(10))),
    ],
)
def test_rows_that_may_be_meant(errors: Any, written: Any, doubtful: set[int]) -> None:
    """Counted from 0, from 1 or with the header; when the numbers do not add up, any row may be meant."""
    assert doubtful_rows(errors, 10, written) == doubtful


def test_a_draft_names_no_field_that_the_header_lacks(pipeline: Any) -> None:
    """Every field that a row can have is a column, mapped ones too."""
    pipeline.reconfigure(eventFields={"plan": "Location"})
    pipeline.send(
        identify("u1", {"email": "a@x.test"}), track("u1", properties={"accountId": "0019X00000Zz9ZzQAJ", "plan": "x"})
    )
    pipeline.resolve()
    drafts: list[Draft] = [draft for draft in pipeline.drafts() if draft.record.object in ("event", "usage")]
    assert {draft.record.object for draft in drafts} == {"event", "usage"}
    for draft in drafts:
        assert isinstance(draft.record, Record)
        assert draft.fields.keys() <= set(files.columns(draft.record.object, pipeline.destination.settings))
