"""The sandbox's control API looks inside and changes what a rehearsal needs; what opens doors is never kept."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox, running_sandbox_in_thread
from gainsight_destination.testing import START_MS, ManualClock

KEY = "0f0f0f0f-1111-4222-8333-444444444444"
EVENTS = "/v1/data/objects/Segment_Event__gc"


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.db"


@pytest.fixture
async def sandbox(database_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(database_path, clock=ManualClock(), access_key=KEY) as running:
        yield running


@pytest.fixture
async def api(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with sandbox.client() as client:
        yield client


async def test_the_state_shows_every_field_of_every_row(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rows have all fields, null where nothing was written; one object stands under the name asked for."""
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m", "Event_Time__gc": "2026-01-01T00:00:00Z"}]})
    everything = (await sandbox.control("GET", "state"))["objects"]
    (row,) = everything["Segment_Event__gc"]
    assert (row["Message_Id__gc"], row["Event_Time__gc"], row["Company_Id__gc"]) == ("m", START_MS, None)
    assert set(everything) >= {"Company", "person", "company_person", "gsuser", "Segment_Usage_Daily__gc"}
    assert (await sandbox.control("GET", "state?object=segment_event__gc"))["objects"] == {"segment_event__gc": [row]}
    with pytest.raises(httpx.HTTPStatusError):
        await sandbox.control("GET", "state?object=nope")


async def test_a_reset_makes_the_tenant_as_new(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rows, calls, switches, faults and fields are those of a fresh tenant, with the same GSIDs."""
    fresh = await sandbox.rows("Company")
    await api.post("/v1/data/objects/Company", json={"records": [{"Name": "x"}]})
    await sandbox.control("PUT", "switches", {"calls_per_minute": 7})
    await sandbox.control("PUT", "faults", [{"fault": "500"}])
    await sandbox.control("DELETE", "schema/Segment_Event__gc")
    await sandbox.control("POST", "reset")
    assert await sandbox.rows("Company") == fresh
    assert await sandbox.calls() == []
    assert (await sandbox.control("GET", "switches"))["calls_per_minute"] == 100
    assert (await sandbox.control("GET", "faults"))["rules"] == []
    assert await sandbox.rows("Segment_Event__gc") == []


async def test_companies_arrive_later(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Companies are added as by a Salesforce sync: all of them, or none when one does not fit."""
    await sandbox.control("POST", "companies", {"companies": [{"Name": "Late", "SfdcAccountId": "001late"}]})
    assert [row["Name"] for row in await sandbox.rows("Company")][-1] == "Late"
    with pytest.raises(httpx.HTTPStatusError):
        await sandbox.control("POST", "companies", {"companies": [{"Name": "Good"}, {"Nonsense": 1}]})
    assert len(await sandbox.rows("Company")) == 13


async def test_the_log_of_calls(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Every call of the API stands there with its answer; `after` gives what is new."""
    await api.get("/v1.0/api/people")
    first = await sandbox.calls()
    await api.post(EVENTS, json={"records": [{"Nonsense": 1}]})
    (call,) = await sandbox.calls(after=first[-1]["id"])
    assert (call["method"], call["path"], call["status"], call["error_code"]) == ("POST", EVENTS, 400, "GSOBJ_1002")
    assert call["request_body"] == '{"records":[{"Nonsense":1}]}'
    assert "GSOBJ_1002" in call["response_body"]
    assert call["at_ms"] == START_MS


async def test_what_opens_doors_is_never_kept(
    api: httpx.AsyncClient, sandbox: RunningSandbox, database_path: Path
) -> None:
    """Neither the file nor the log holds the Access Key, wherever a caller puts it."""
    await api.get("/v1.0/api/people", params={"accesskey": KEY})
    await api.post(EVENTS, json={"records": [{"Nonsense": KEY}]})
    assert KEY not in str(await sandbox.calls())
    with closing(sqlite3.connect(database_path)) as connection:
        assert KEY not in "\n".join(connection.iterdump())


async def test_a_field_may_be_missing(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A removed field is unknown to writes and to describe; it may return, and refuses what does not fit."""
    record = {"records": [{"Message_Id__gc": "m", "Properties__gc": "long enough"}]}
    await sandbox.control("DELETE", "schema/Segment_Event__gc/fields/Properties__gc")
    answer = await api.post(EVENTS, json=record)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1002")
    described = (await api.get("/v1/meta/services/objects/Segment_Event__gc/describe")).text
    assert "Properties__gc" not in described
    await sandbox.control("PUT", "schema/Segment_Event__gc/fields/Properties__gc", {"length": 4})
    assert (await api.post(EVENTS, json=record)).json()["errorCode"] == "GSOBJ_1001"
    await sandbox.control("PUT", "schema/Segment_Event__gc/fields/Properties__gc", {"length": 100})
    assert (await api.post(EVENTS, json=record)).status_code == 200


async def test_an_object_may_be_missing(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A removed object is not found; a new one takes rows."""
    await sandbox.control("DELETE", "schema/Segment_Event__gc")
    assert (await api.post(EVENTS, json={"records": [{}]})).json()["title"] == "OBJECT_NOT_FOUND"
    await sandbox.control("PUT", "schema/New__gc", {"fields": [{"name": "Key__gc"}]})
    answer = await api.post("/v1/data/objects/New__gc", json={"records": [{"Key__gc": "k"}]})
    assert answer.status_code == 200
    listed = (await api.get("/v1/meta/services/objects/list", params={"po": "company", "em": "false"})).json()["data"]
    (new,) = [one for one in listed if one["objectName"].lower() == "new__gc"]
    assert (new["objectType"], new["transactional"], new["createable"]) == ("CUSTOM", True, True)


async def test_wrong_switches_are_told(sandbox: RunningSandbox) -> None:
    """An unknown switch or value is refused, and the others stay."""
    for wrong in ({"nope": 1}, {"query_data": "table"}, {"calls_per_minute": 0}, []):
        with pytest.raises(httpx.HTTPStatusError):
            await sandbox.control("PUT", "switches", wrong)
    assert (await sandbox.control("GET", "switches"))["query_data"] == "records"


async def test_pages_of_other_origins_cannot_reach_the_control_api(sandbox: RunningSandbox) -> None:
    """A request that a browser sends for another site is refused."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as browser:
        answer = await browser.post("/_sandbox/reset", headers={"origin": "https://elsewhere.example"})
        assert answer.status_code == 403
        assert (await browser.post("/_sandbox/reset", headers={"origin": sandbox.url})).status_code == 200


async def test_a_restart_forgets_nothing(database_path: Path) -> None:
    """Rows, links, quota, switches, faults and the log survive; new GSIDs never repeat old ones."""
    clock = ManualClock()
    async with running_sandbox(database_path, clock=clock) as first, first.client() as api:
        await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m"}]})
        await first.control("PUT", "switches", {"calls_per_minute": 2})
        await first.control("PUT", "faults", [{"fault": "503", "match": {"method": "DELETE"}}])
        before = await first.control("GET", "state")
    async with running_sandbox(database_path, clock=clock) as second, second.client() as api:
        assert await second.control("GET", "state") == before
        assert len(await second.calls()) == 1
        assert (await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m"}]})).status_code == 200
        assert (await api.get("/v1.0/api/people")).status_code == 429
        assert (await second.control("GET", "faults"))["rules"][0]["fault"] == "503"
        rows = await second.rows("Segment_Event__gc")
        assert len({row["Gsid"] for row in rows}) == 2


async def test_runs_repeat(tmp_path: Path) -> None:
    """The same calls at the same time give the same ids in another file."""
    states = []
    for name in ("one.db", "two.db"):
        async with running_sandbox(tmp_path / name, clock=ManualClock()) as sandbox, sandbox.client() as api:
            await api.put("/v1.0/api/people", json={"Email": "a@example.com"})
            states.append(await sandbox.control("GET", "state"))
    assert states[0] == states[1]


def test_a_sandbox_in_a_thread(database_path: Path) -> None:
    """Callers without an event loop run it in a thread."""
    with running_sandbox_in_thread(database_path) as sandbox:
        answer = httpx.get(f"{sandbox.url}/v1.0/api/people", headers={"accesskey": sandbox.access_key}, trust_env=False)
        assert answer.json()["result"] is True
