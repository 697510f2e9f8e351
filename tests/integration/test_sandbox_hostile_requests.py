"""Whatever a caller sends, the sandbox answers with a refusal: never a 500, never a page that breaks."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

COMPANY, EVENTS, QUERY = (
    "/v1/data/objects/Company",
    "/v1/data/objects/Segment_Event__gc",
    "/v1/data/objects/query/Company",
)
MALFORMED = [b"", b"{", b"null", b"[]", b'"text"', b"1e999", b"\xff\xfe", b'{"records":"\\ud800"}', b"[" * 100_000]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db", clock=ManualClock()) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", COMPANY),
        ("PUT", f"{COMPANY}?keys=Name"),
        ("POST", QUERY),
        ("PUT", "/v1/peoplemgmt/v1.0/people"),
        ("PUT", "/v1/peoplemgmt/v1.0/people/async"),
        ("POST", "/v1/meta/services/objects/describe"),
        ("POST", "/v1.0/admin/connector/job/bulkimport"),
        ("POST", "/clickstream/segmentio/event"),
        ("PUT", "/_sandbox/switches"),
        ("PUT", "/_sandbox/faults"),
        ("PUT", "/_sandbox/topics"),
        ("PUT", "/_sandbox/bulk-jobs/job"),
        ("PUT", "/_sandbox/schema/Company/fields/A__gc"),
        ("POST", "/_sandbox/companies"),
    ],
)
async def test_bodies_that_are_none(api: httpx.AsyncClient, sandbox: RunningSandbox, method: str, path: str) -> None:
    """No JSON, or JSON of another shape, is 400, and the tenant stays as it was."""
    before = (await sandbox.control("GET", "state"))["objects"]
    await sandbox.control("PUT", "switches", {"bulk_calls_per_hour": None})
    for body in MALFORMED:
        answer = await api.request(method, path, content=body)
        empty_rules = path == "/_sandbox/faults" and body == b"[]"
        no_topics = path == "/_sandbox/topics" and body == b"[]"
        assert answer.status_code == (200 if empty_rules or no_topics else 400), (body[:20], answer.text)
    assert (await sandbox.control("GET", "state"))["objects"] == before


@pytest.mark.parametrize(
    ("path", "record", "code"),
    [
        (EVENTS, {"Event_Time__gc": "0001-01-01T00:00:00+14:00"}, "GSOBJ_1005"),
        (EVENTS, {"Event_Time__gc": "9999-12-31T23:59:59.999-14:00"}, "GSOBJ_1005"),
        (EVENTS, {"Event_Time__gc": "2026-01-01T00:00:00+99:99"}, "GSOBJ_1005"),
        (COMPANY, {"Name": "a", "RenewalDate": 999_999_999_999_999}, "GSOBJ_1006"),
        (COMPANY, {"Name": "a", "RenewalDate": -99_999_999_999_999}, "GSOBJ_1006"),
        (COMPANY, {"Name": "a\0b"}, "GSOBJ_1002"),
        (COMPANY, {"Name": ["a"]}, "GSOBJ_1002"),
        (COMPANY, {"Name": "a", "Employees": True}, "GSOBJ_1002"),
        (COMPANY, {"Name": "a", "Tags": {"a": 1}}, "GSOBJ_1002"),
        (COMPANY, {"Name": "a", "Stage": {"a": 1}}, "GSOBJ_1012"),
        (COMPANY, {"Name": "a", "Csm": {"a": 1}}, "GSOBJ_1002"),
        (COMPANY, {"": 1, "Name": "a"}, "GSOBJ_1002"),
    ],
)
async def test_values_that_fit_nothing(api: httpx.AsyncClient, path: str, record: object, code: str) -> None:
    """Refused with the code of their type."""
    answer = await api.post(path, json={"records": [record]})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)


async def test_extreme_values_that_fit_can_be_read_and_shown(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """What a write accepts, queries in every form and pages can show."""
    for day, number in (("0001-01-01", 10**30), ("9999-12-31", 1e308), (99_999_999_999_999, -0.0)):
        record = {"Name": "x", "RenewalDate": day, "Employees": number}
        assert (await api.post(COMPANY, json={"records": [record]})).status_code == 200
    for form in ("epoch_ms", "iso", "plain"):
        await sandbox.control("PUT", "switches", {"dates_in_reads": form})
        body = {"select": ["RenewalDate", "Employees"], "orderBy": {"Employees": "desc"}, "offset": 10**25}
        assert (await api.post(QUERY, json=body)).json()["data"]["records"] == []
        assert (await api.post(QUERY, json=body | {"offset": 0})).status_code == 200
    assert (await api.get("/objects/Company")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/data/objects/%00", "/v1/data/objects/%ff", "/v1/data/objects/query/%F0%9F%98%80"]
)
async def test_names_of_objects_that_are_none(api: httpx.AsyncClient, path: str) -> None:
    """They are objects that do not exist."""
    answer = await api.post(path, json={"records": [{}], "select": ["Gsid"]})
    assert (answer.status_code, answer.json()["title"]) == (400, "OBJECT_NOT_FOUND")


async def test_an_expression_may_not_nest_without_end(api: httpx.AsyncClient) -> None:
    """Depth is bounded."""
    condition = {"name": "Name", "alias": "A", "operator": "EQ", "value": ["x"]}
    where = {"conditions": [condition], "expression": "(" * 5_000 + "A" + ")" * 5_000}
    answer = await api.post(QUERY, json={"select": ["Gsid"], "where": where})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1002")
