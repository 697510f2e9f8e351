"""The sandbox's other endpoints: keys and tokens, the Events Framework, the clickstream and CSV imports."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.tenant import (
    DEMO_OAUTH_KEY,
    DEMO_OAUTH_SECRET,
    DEMO_SHARED_SECRET,
    DEMO_TENANT_ID,
)
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

PING = "/v1.0/api/people"
TOKEN = "/v1/users/m2m/oauth/token"
EVENT = "/v1.0/api/eventManager/event"
CLICKSTREAM = "/clickstream/segmentio/event"
IMPORT = "/v1.0/admin/connector/job/bulkimport"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def sandbox(tmp_path: Path, clock: ManualClock) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db", clock=clock) as running:
        yield running


@pytest.fixture
async def api(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with sandbox.client() as client:
        yield client


@pytest.fixture
async def stranger(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, {"accesskey": ""}, {"accesskey": "wrong"}, {"authorization": "Bearer wrong"}])
async def test_a_wrong_key_is_refused(
    stranger: httpx.AsyncClient, sandbox: RunningSandbox, headers: dict[str, str]
) -> None:
    """401 GS_APIG_2401 without data, or 400 GSOBJ_1024 when switched; nothing is done."""
    answer = await stranger.get(PING, headers=headers)
    assert (answer.status_code, answer.json()["errorCode"]) == (401, "GS_APIG_2401")
    assert "data" not in answer.json()
    await sandbox.control("PUT", "switches", {"auth_fault": "400"})
    answer = await stranger.get(PING, headers=headers)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1024")


@pytest.mark.parametrize("header", ["accesskey", "AccessKey", "Accesskey"])
async def test_the_header_is_found_in_any_case(
    stranger: httpx.AsyncClient, sandbox: RunningSandbox, header: str
) -> None:
    """HTTP header names have no case."""
    assert (await stranger.get(PING, headers={header: sandbox.access_key})).status_code == 200


async def test_a_token_opens_for_a_day(
    stranger: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """Client credentials give a Bearer token that expires by the sandbox's clock, and is not in the log."""
    form = {"grant_type": "client_credentials"}
    answer = await stranger.post(TOKEN, data=form, auth=(DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET))
    given = answer.json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 86_400)
    headers = {"authorization": f"Bearer {given['access_token']}"}
    assert (await stranger.get(PING, headers=headers)).status_code == 200
    assert given["access_token"] not in str(await sandbox.calls())
    clock.advance(86_399)
    assert (await stranger.get(PING, headers=headers)).status_code == 200
    clock.advance(1)
    assert (await stranger.get(PING, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("auth", "form", "status"),
    [
        ((DEMO_OAUTH_KEY, "wrong"), {"grant_type": "client_credentials"}, 401),
        (None, {"grant_type": "client_credentials"}, 401),
        ((DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET), {"grant_type": "password"}, 400),
        ((DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET), {}, 400),
    ],
)
async def test_a_token_is_not_given_to_anybody(
    stranger: httpx.AsyncClient, auth: tuple[str, str] | None, form: dict[str, str], status: int
) -> None:
    """Wrong credentials are 401, another grant is 400."""
    assert (await stranger.post(TOKEN, data=form, auth=auth)).status_code == status


async def test_an_event_is_published(stranger: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A registered event needs the shared secret and no Access Key; it makes no row."""
    headers = {
        "sharedSecret": DEMO_SHARED_SECRET,
        "tenantId": DEMO_TENANT_ID,
        "topicName": "Product Usage",
        "eventName": "ReportViewed",
        "eventVersion": "v01",
    }
    assert (await stranger.post(EVENT, headers=headers, json={"report": "MRR"})).json()["result"] is True
    for header, status in (("sharedSecret", 401), ("tenantId", 401), ("eventName", 400), ("eventVersion", 400)):
        answer = await stranger.post(EVENT, headers={**headers, header: "wrong"}, json={})
        assert (header, answer.status_code) == (header, status)
    (event,) = (await sandbox.control("GET", "state"))["published_events"]
    assert (event["event_name"], event["body"]) == ("ReportViewed", {"report": "MRR"})
    await sandbox.control("PUT", "topics", [{"topic_name": "T", "event_name": "E", "event_version": "v02"}])
    changed = {**headers, "topicName": "T", "eventName": "E", "eventVersion": "v02"}
    assert (await stranger.post(EVENT, headers=changed, json={})).status_code == 200


async def test_the_classic_clickstream(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Each message is stored as it came; identify and group say who belongs to which account; the latest counts."""
    messages: list[dict[str, Any]] = [
        {"type": "identify", "userId": "u", "traits": {"accountId": "a1"}},
        {"type": "identify", "userId": 7, "traits": {"accountId": "a1"}},
        {"type": "identify", "userId": "v", "traits": None},
        {"type": "track", "userId": "w", "event": "E", "properties": {"accountId": "a9"}},
        {"type": "group", "userId": "u", "groupId": "a2"},
    ]
    for message in messages:
        answer = await api.post(CLICKSTREAM, json=message)
        assert (answer.status_code, answer.json()) == (200, {"result": True})
    kept = (await sandbox.control("GET", "state"))["clickstream"]
    assert kept == {"messages": messages, "accounts": {"u": "a2", "7": "a1"}}
    assert (await api.post(CLICKSTREAM, content=b"{")).status_code == 400
    assert (await api.post(CLICKSTREAM, json={}, headers={"accessKey": "wrong"})).status_code == 401


def parts(content: bytes, job: str = "segment-event") -> dict[str, Any]:
    return {"jobId": (None, job), "file": ("rows.csv", content, "text/csv")}


async def test_a_csv_import_upserts(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """A job inserts and updates by its keys in the background; a bad row fails alone."""
    await api.post("/v1/data/objects/Segment_Event__gc", json={"records": [{"Message_Id__gc": "m-1"}]})
    rows = b'Message_Id__gc,Event_Name__gc,Event_Time__gc\r\nm-1,"Report, ""Viewed""",2026-01-01T00:00:00Z\r\n'
    rows += "m-2,Größe,\r\nm-3,x,never\r\n".encode()
    status_id = (await api.post(IMPORT, files=parts(rows))).json()["data"]["statusId"]
    seen = []
    for _ in range(3):
        data = (await api.get(f"{IMPORT}/status/{status_id}")).json()["data"]
        seen.append(data["status"])
        clock.advance(1)
    assert seen == ["INIT", "IN_PROGRESS", "COMPLETED"]
    assert data["count"] == {"success": 2, "failed": 1}
    found = {row["Message_Id__gc"]: row["Event_Name__gc"] for row in await sandbox.rows("Segment_Event__gc")}
    assert found == {"m-1": 'Report, "Viewed"', "m-2": "Größe"}


async def test_an_import_writes_high_volume_objects(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """The way into a High Volume object: columns are mapped, numbers read, companies looked up."""
    fields = [
        {"name": "Key__gc"},
        {"name": "Count__gc", "data_type": "NUMBER"},
        {"name": "Company_Id__gc", "data_type": "LOOKUP", "lookup": "Company"},
    ]
    await sandbox.control("PUT", "schema/Big__gc", {"volume": "high", "fields": fields})
    job = {
        "object": "Big__gc",
        "keys": ["Key__gc"],
        "columns": {"key": "Key__gc", "n": "Count__gc"},
        "lookups": {"Company_Id__gc": {"fields": {"acct": "SfdcAccountId"}, "objectName": "company"}},
    }
    await sandbox.control("PUT", "bulk-jobs/big", job)
    company = (await sandbox.rows("Company"))[0]
    content = f"key,n,acct\nk,12,{company['SfdcAccountId']}\n".encode()
    assert (await api.post(IMPORT, files=parts(content, "big"))).status_code == 200
    clock.advance(2)
    (row,) = await sandbox.rows("Big__gc")
    assert (row["Key__gc"], row["Count__gc"], row["Company_Id__gc"]) == ("k", 12, company["Gsid"])


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (parts(b"Message_Id__gc\n"), "GS_7571"),
        (parts(b"Message_Id__gc\nm-1\n", "nope"), "GSOBJ_1002"),
        (parts(b""), "GSOBJ_1002"),
        (parts(b"a,b\n1\n"), "GSOBJ_1002"),
        (parts(b"\xff\xfe\n\xff\n"), "GSOBJ_1002"),
        ({"jobId": (None, "segment-event")}, "GSOBJ_1002"),
    ],
)
async def test_a_file_that_cannot_be_imported_is_refused(
    api: httpx.AsyncClient, files: dict[str, Any], code: str
) -> None:
    """No rows, no such job, no file, or what is no CSV is 400."""
    answer = await api.post(IMPORT, files=files)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)


async def test_describing_several_objects(api: httpx.AsyncClient) -> None:
    """One call describes several objects; an unknown one is OBJECT_NOT_FOUND."""
    path = "/v1/meta/services/objects/describe"
    answer = await api.post(path, json={"objectNames": ["company", "Segment_Event__gc"], "host": "MDA"})
    assert len(answer.json()["data"]) == 2
    assert (await api.post(path, json={"objectNames": ["nope"]})).json()["title"] == "OBJECT_NOT_FOUND"
    assert (await api.post(path, json={})).status_code == 400
    listed = await api.post("/v1/meta/services/objects/", json={"externalUse": "true"})
    assert {"company", "gsuser", "person"} <= {one["objectName"].lower() for one in listed.json()["data"]}


async def test_a_described_field(api: httpx.AsyncClient) -> None:
    """Describe tells type, length, and whether a field may be written and where a lookup leads."""
    data = (await api.get("/v1/meta/services/objects/Segment_Event__gc/describe")).json()["data"]
    (described,) = data if isinstance(data, list) else [data]
    fields = {field["fieldName"]: field for field in described["fields"]}
    assert (fields["Message_Id__gc"]["dataType"], fields["Message_Id__gc"]["meta"]["length"]) == ("STRING", 255)
    assert fields["Gsid"]["meta"]["readOnly"] is True
    lookup = fields["Company_Id__gc"]["meta"]["lookupDetail"]
    assert lookup["lookupName"] == "Company_Id__gr"
    assert lookup["lookupObjects"][0]["objectName"].lower() == "company"
