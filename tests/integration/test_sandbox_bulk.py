"""The sandbox's Bulk API: a CSV file for a job that an administrator set up, done in the background."""

from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox
from gainsight_destination.testing import ManualClock

IMPORT = "/v1.0/admin/connector/job/bulkimport"
USAGE = "Segment_Usage_Daily__gc"
HEADER = "Usage_Key__gc,Usage_Date__gc,Event_Count__gc,Event_Name__gc\n"


async def submit(api: httpx.AsyncClient, text: str | bytes, job: str = "segment-usage-daily") -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return await api.post(IMPORT, files={"file": ("data.csv", content, "text/csv")}, data={"jobId": job})


async def status(api: httpx.AsyncClient, accepted: httpx.Response) -> dict[str, Any]:
    assert accepted.status_code == 200, accepted.text
    data: dict[str, Any] = (await api.get(f"{IMPORT}/status/{accepted.json()['data']['statusId']}")).json()["data"]
    return data


async def test_an_import_passes_through_its_states(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """INIT, IN_PROGRESS, COMPLETED by the clock; the rows are there only at the end."""
    accepted = await submit(api, HEADER + 'k-1,2026-03-01,3,"Report, ""Viewed"""\nk-2,2026-03-01,,\n')
    assert (await status(api, accepted))["status"] == "INIT"
    clock.advance(1)
    assert (await status(api, accepted))["status"] == "IN_PROGRESS"
    assert await sandbox.rows(USAGE) == []
    clock.advance(1)
    done = await status(api, accepted)
    assert (done["status"], done["count"]) == ("COMPLETED", {"success": 2, "failed": 0})
    first, second = await sandbox.rows(USAGE)
    assert (first["Event_Count__gc"], first["Event_Name__gc"]) == (3, 'Report, "Viewed"')
    assert (second["Usage_Key__gc"], second["Event_Count__gc"]) == ("k-2", None)


async def test_an_upsert_changes_the_row_with_the_key(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """The same key twice, in one file or in two, is one row with the last values."""
    for text in ("k,2026-03-01,1,a\nk,2026-03-01,2,b\n", "k,2026-03-02,3,c\n"):
        await submit(api, HEADER + text)
        clock.advance(2)
    (row,) = await sandbox.rows(USAGE)
    assert (row["Event_Count__gc"], row["Event_Name__gc"]) == (3, "c")


async def test_a_bad_row_fails_alone(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """The others are written; the status tells the row and the field."""
    accepted = await submit(api, HEADER + "k-1,not a day,1,a\nk-2,2026-03-01,2,b\n")
    clock.advance(2)
    done = await status(api, accepted)
    assert done["count"] == {"success": 1, "failed": 1}
    (error,) = done["errors"]
    assert (error["rowNumber"], error["fieldName"], error["errorCode"]) == (1, "Usage_Date__gc", "GSOBJ_1006")
    assert [row["Usage_Key__gc"] for row in await sandbox.rows(USAGE)] == ["k-2"]


async def test_a_job_maps_headers_and_looks_companies_up(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """The mapping and the lookups live in the job; a High Volume object takes imports."""
    await sandbox.control("PUT", f"schema/{USAGE}", {"volume": "high"})
    job = {
        "object": USAGE,
        "operation": "insert",
        "columns": {"key": "Usage_Key__gc"},
        "lookups": {
            "Company_Id__gc": {
                "fields": {"account": "SfdcAccountId"},
                "lookupField": "Gsid",
                "objectName": "company",
                "onNoMatch": "ERROR",
            }
        },
    }
    assert "mapped" in await sandbox.control("PUT", "bulk-jobs/mapped", job)
    accepted = await submit(api, "key,account\nk,0015000000abcDEAAY\nk,nobody\n", "mapped")
    clock.advance(2)
    assert (await status(api, accepted))["count"] == {"success": 1, "failed": 1}
    (row,) = await sandbox.rows(USAGE)
    companies = {one["Gsid"]: one["SfdcAccountId"] for one in await sandbox.rows("company")}
    assert companies[row["Company_Id__gc"]] == "0015000000abcDEAAY"


async def test_an_update_needs_the_row(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """A job that only updates inserts nothing."""
    await sandbox.control("PUT", "bulk-jobs/only", {"object": USAGE, "operation": "update", "keys": ["Usage_Key__gc"]})
    accepted = await submit(api, "Usage_Key__gc\nk\n", "only")
    clock.advance(2)
    assert (await status(api, accepted))["errors"][0]["errorCode"] == "GSOBJ_1011"
    assert await sandbox.rows(USAGE) == []


@pytest.mark.parametrize(
    ("text", "job", "code"),
    [
        (HEADER, "segment-usage-daily", "GS_7571"),
        (b"", "segment-usage-daily", "GSOBJ_1002"),
        (b"\xff\xfe\x00", "segment-usage-daily", "GSOBJ_1002"),
        ("a,b\n1\n", "segment-usage-daily", "GSOBJ_1002"),
        ('a,b\n"1,2\n', "segment-usage-daily", "GSOBJ_1002"),
        (HEADER + "k,2026-03-01,1,a\n", "nothing", "GSOBJ_1002"),
    ],
)
async def test_files_that_are_refused(api: httpx.AsyncClient, text: str | bytes, job: str, code: str) -> None:
    """A header without rows has Gainsight's own code; no CSV and no job are refused at once."""
    answer = await submit(api, text, job)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=x"])
async def test_a_body_that_is_no_form_is_refused(api: httpx.AsyncClient, content_type: str) -> None:
    """The file comes as multipart/form-data."""
    answer = await api.post(IMPORT, content=b"nothing", headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1002")


@pytest.mark.parametrize(
    "job",
    [
        {"object": "person", "keys": ["Email"]},
        {"object": USAGE},
        {"object": USAGE, "keys": ["Nothing__gc"]},
        {"object": "Nothing__gc", "keys": ["A"]},
        {"object": USAGE, "keys": ["Usage_Key__gc"], "lookups": {"Company_Id__gc": {}}},
        {"object": USAGE, "keys": ["Usage_Key__gc"], "lookups": {"Company_Id__gc": 1}},
        {"keys": []},
    ],
)
async def test_jobs_that_cannot_work_are_refused(sandbox: RunningSandbox, job: object) -> None:
    """People and users are no target; keys and fields must exist."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await sandbox.control("PUT", "bulk-jobs/bad", job)
    assert refused.value.response.status_code in (400, 404)


async def test_an_unknown_status_is_refused(api: httpx.AsyncClient) -> None:
    """No import has that id."""
    assert (await api.get(f"{IMPORT}/status/nothing")).json()["errorCode"] == "GSOBJ_1011"
