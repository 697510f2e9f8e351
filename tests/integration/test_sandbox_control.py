"""The sandbox's control API: reset, look inside, and change what a rehearsal needs."""

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gainsight_destination.sandbox.sandbox import SandboxOptions
from gainsight_destination.sandbox.switches import Switches
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox, running_sandbox_in_thread
from gainsight_destination.testing import START_MS, ManualClock

EVENTS = "/v1/data/objects/Segment_Event__gc"
PING = "/v1.0/api/people"


async def refused(sandbox: RunningSandbox, method: str, path: str, body: Any = None) -> tuple[int, str]:
    with pytest.raises(httpx.HTTPStatusError) as error:
        await sandbox.control(method, path, body)
    return error.value.response.status_code, error.value.response.json()["error"]


async def everything(sandbox: RunningSandbox) -> list[Any]:
    names = ("state", "calls", "quota", "faults", "switches", "topics", "bulk-jobs", "schema/Company")
    return [await sandbox.control("GET", name) for name in names]


async def test_reset_makes_all_as_new(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rows, schema, switches, faults, quota, calls, jobs and topics are those of a fresh tenant, GSIDs included."""
    fresh = await everything(sandbox)
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m"}]})
    await api.put("/v1.0/api/people/async", json=[{"Email": "a@x.example"}])
    await sandbox.control("PUT", "faults", {"hold_seconds": 1, "rules": [{"fault": "500"}]})
    await sandbox.control("PUT", "switches", {"query_data": "list"})
    await sandbox.control("PUT", "topics", [])
    await sandbox.control("DELETE", "schema/Company/fields/Industry")
    await sandbox.control("DELETE", "schema/Segment_Event__gc")
    assert await everything(sandbox) != fresh
    await sandbox.control("POST", "reset")
    after = await everything(sandbox)
    for was, now in zip(fresh, after, strict=True):
        assert now == was


async def test_a_restart_goes_on_where_it_ended(tmp_path: Path, clock: ManualClock) -> None:
    """The file keeps rows, faults with their counts, switches, the quota and calls; GSIDs do not repeat."""
    path = tmp_path / "sandbox.db"
    async with running_sandbox(path, clock=clock) as sandbox, sandbox.client() as client:
        await client.post(EVENTS, json={"records": [{"Message_Id__gc": "m"}]})
        await client.put("/v1.0/api/people/async", json=[{"Email": "a@x.example"}])
        await sandbox.control("PUT", "switches", {"query_data": "list"})
        await sandbox.control("PUT", "faults", [{"match": {"nth": 2}, "fault": "500"}])
        await client.get(PING)
        before = await everything(sandbox)
    async with running_sandbox(path, clock=clock) as sandbox, sandbox.client() as client:
        assert await everything(sandbox) == before
        assert (await client.get(PING)).status_code == 500
        await client.post(EVENTS, json={"records": [{"Message_Id__gc": "n"}]})
        assert len({row["Gsid"] for row in await sandbox.rows("Segment_Event__gc")}) == 2
        clock.advance(2)
        assert [row["Email"] for row in await sandbox.rows("person")] == ["a@x.example"]


async def test_runs_repeat_with_their_seed(tmp_path: Path, clock: ManualClock) -> None:
    """The same seed gives the same GSIDs, another seed others."""
    states = []
    for number, seed in enumerate(("one", "one", "two")):
        options = SandboxOptions(random_seed=seed)
        async with running_sandbox(tmp_path / f"{number}.db", clock=clock, options=options) as sandbox:
            states.append(await sandbox.control("GET", "state"))
    assert states[0] == states[1] != states[2]


async def test_the_state_shows_every_field_of_every_row(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rows have all fields as stored, null where nothing was written."""
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m", "Event_Time__gc": "2026-01-01T00:00:00Z"}]})
    objects = (await sandbox.control("GET", "state"))["objects"]
    (row,) = objects["Segment_Event__gc"]
    assert (row["Message_Id__gc"], row["Event_Time__gc"], row["Company_Id__gc"]) == ("m", START_MS, None)
    assert set(objects) >= {"Company", "person", "company_person", "gsuser", "Segment_Usage_Daily__gc"}


async def test_the_state_of_one_object(sandbox: RunningSandbox) -> None:
    """It stands under the name that was asked for; object names have no case; an unknown one is 404."""
    assert len(await sandbox.rows("Company")) == 12
    assert list((await sandbox.control("GET", "state?object=company"))["objects"]) == ["company"]
    assert (await refused(sandbox, "GET", "state?object=nothing"))[0] == 404


async def test_companies_come_with_a_later_sync(sandbox: RunningSandbox) -> None:
    """A known Salesforce id changes its Company, another one adds a Company."""
    known = (await sandbox.rows("Company"))[0]
    companies = [
        {"Name": "Renamed", "SfdcAccountId": known["SfdcAccountId"]},
        {"Name": "New", "SfdcAccountId": "0015000000NEWxxIAE"},
        {"Name": "No id"},
    ]
    added = (await sandbox.control("POST", "companies", {"companies": companies}))["companies"]
    assert [company["Name"] for company in added] == ["Renamed", "New", "No id"]
    assert added[0]["Gsid"] == known["Gsid"]
    assert len(await sandbox.rows("Company")) == 14


@pytest.mark.parametrize(
    "companies",
    [
        [{"Name": "Good"}, {"Name": None}],
        [{"Name": "Good"}, {"SfdcAccountId": "x"}],
        [{"Name": "Good"}, {"Name": "a", "Nothing": 1}],
    ],
)
async def test_companies_are_added_all_or_none(sandbox: RunningSandbox, companies: list[dict[str, Any]]) -> None:
    """One that does not fit keeps all of them out."""
    assert (await refused(sandbox, "POST", "companies", {"companies": companies}))[0] == 400
    assert len(await sandbox.rows("Company")) == 12


async def test_the_log_of_calls(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """Oldest first, from an id on: time, method, path with its query, status, code, both bodies."""
    await api.put(EVENTS, params={"keys": "Message_Id__gc"}, json={"records": [{"Message_Id__gc": "m"}]})
    clock.advance(5)
    await api.get(PING)
    first, second = await sandbox.calls()
    assert first["at_ms"] + 5_000 == second["at_ms"]
    assert (first["method"], first["path"]) == ("PUT", f"{EVENTS}?keys=Message_Id__gc")
    assert (first["status"], first["error_code"], first["fault"]) == (400, "GSOBJ_1011", None)
    assert json.loads(first["request_body"]) == {"records": [{"Message_Id__gc": "m"}]}
    assert json.loads(first["response_body"])["errorCode"] == "GSOBJ_1011"
    assert await sandbox.calls(after=first["id"]) == [second]
    limited = await sandbox.control("GET", "calls?limit=1")
    assert (limited["calls"], limited["last"]) == ([first], first["id"])
    assert (await refused(sandbox, "GET", "calls?after=x"))[0] == 400


async def test_long_bodies_are_cut_in_the_log(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """At 64 KiB, with a word about the rest."""
    await api.post(EVENTS, content=b"x" * 70_000)
    (call,) = await sandbox.calls()
    assert call["request_body"].endswith("[4464 more bytes]")


async def test_control_calls_are_not_calls(sandbox: RunningSandbox) -> None:
    """Neither logged nor counted."""
    await everything(sandbox)
    assert await sandbox.calls() == []
    assert (await sandbox.control("GET", "quota"))["accepted"] == 0


async def test_switches_are_changed_one_by_one(sandbox: RunningSandbox) -> None:
    """Those not named stay as they are."""
    await sandbox.control("PUT", "switches", {"query_data": "list"})
    switches = await sandbox.control("PUT", "switches", {"no_rows": "not_found"})
    assert switches == msgspec.to_builtins(Switches()) | {"query_data": "list", "no_rows": "not_found"}
    assert await sandbox.control("GET", "switches") == switches


@pytest.mark.parametrize("changes", [{"nothing": 1}, {"query_data": "map"}, {"calls_per_minute": 0}, [], None])
async def test_switches_that_do_not_exist_are_refused(sandbox: RunningSandbox, changes: object) -> None:
    """A name or value that is none is an error, and nothing changes."""
    assert (await refused(sandbox, "PUT", "switches", changes))[0] == 400
    assert await sandbox.control("GET", "switches") == msgspec.to_builtins(Switches())


async def test_a_field_can_be_missing(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A removed field is unknown to writes, reads and describe; added again, its values are there and found."""
    record = {"Message_Id__gc": "m", "User_Id__gc": "u"}
    await api.post(EVENTS, json={"records": [record]})
    await sandbox.control("DELETE", "schema/Segment_Event__gc/fields/User_Id__gc")
    answer = await api.post(EVENTS, json={"records": [record]})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1002")
    assert "User_Id__gc" in answer.json()["errorDesc"]
    described = await api.get("/v1/meta/services/objects/Segment_Event__gc/describe")
    assert "User_Id__gc" not in {field["fieldName"] for field in described.json()["data"]["fields"]}
    await sandbox.control("PUT", "schema/Segment_Event__gc/fields/User_Id__gc", {"length": 50})
    answer = await api.put(EVENTS, params={"keys": "User_Id__gc"}, json={"records": [{"User_Id__gc": "u"}]})
    assert answer.status_code == 200


async def test_a_field_can_be_changed(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Only the given properties change."""
    changed = await sandbox.control("PUT", "schema/company/fields/Industry", {"length": 5})
    field = next(field for field in changed["fields"] if field["name"] == "Industry")
    assert (field["length"], field["group"]) == (5, "STANDARD")
    answer = await api.post("/v1/data/objects/Company", json={"records": [{"Name": "a", "Industry": "sixsix"}]})
    assert answer.json()["errorCode"] == "GSOBJ_1001"


async def test_rows_are_found_by_a_field_that_became_a_key(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A long text is not indexed; shortened, it finds the rows that were written before."""
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m", "Properties__gc": "p"}]})
    await sandbox.control("PUT", "schema/Segment_Event__gc/fields/Properties__gc", {"length": 40})
    record = {"Properties__gc": "p", "User_Id__gc": "u"}
    answer = await api.put(EVENTS, params={"keys": "Properties__gc"}, json={"records": [record]})
    assert answer.status_code == 200
    assert [row["User_Id__gc"] for row in await sandbox.rows("Segment_Event__gc")] == ["u"]


async def test_objects_come_and_go(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A new custom object has the system fields; a removed one takes its rows along."""
    made = await sandbox.control("PUT", "schema/Thing__gc", {"label": "Thing", "fields": [{"name": "A__gc"}]})
    assert [field["name"] for field in made["fields"]][:1] == ["Gsid"]
    assert (await api.post("/v1/data/objects/thing__gc", json={"records": [{"A__gc": "a"}]})).status_code == 200
    await sandbox.control("DELETE", "schema/Thing__gc")
    answer = await api.post("/v1/data/objects/Thing__gc", json={"records": [{"A__gc": "a"}]})
    assert answer.json()["title"] == "OBJECT_NOT_FOUND"
    await sandbox.control("PUT", "schema/Thing__gc", {"fields": [{"name": "A__gc"}]})
    assert await sandbox.rows("Thing__gc") == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "schema/Company/fields/Gsid", {"length": 3}),
        ("DELETE", "schema/Company/fields/Gsid", None),
        ("DELETE", "schema/Company/fields/Nothing", None),
        ("DELETE", "schema/record_delete_log", None),
        ("DELETE", "schema/Nothing__gc", None),
        ("GET", "schema/Nothing__gc", None),
        ("PUT", "schema/Thing", {}),
        ("PUT", "schema/Company", {"volume": "huge"}),
        ("PUT", "schema/Company/fields/A__gc", {"data_type": "LOOKUP"}),
        ("PUT", "schema/Company/fields/A__gc", {"data_type": "TEXT"}),
        ("PUT", "schema/Company/fields/A__gc", []),
    ],
)
async def test_a_schema_that_cannot_be_is_refused(
    sandbox: RunningSandbox, method: str, path: str, body: object
) -> None:
    """System fields and objects stay; types and names must be such; the schema is as before."""
    before = await sandbox.control("GET", "schema/Company")
    assert (await refused(sandbox, method, path, body))[0] in (400, 404)
    assert await sandbox.control("GET", "schema/Company") == before


async def test_pages_of_other_origins_are_kept_out(sandbox: RunningSandbox) -> None:
    """A page in the person's browser cannot reset or read the sandbox; one of its own origin could."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        foreign = await client.post("/_sandbox/reset", headers={"origin": "https://evil.example"})
        null = await client.get("/_sandbox/state", headers={"origin": "null"})
        own = await client.get("/_sandbox/switches", headers={"origin": sandbox.url})
    assert (foreign.status_code, null.status_code, own.status_code) == (403, 403, 200)


def test_a_sandbox_in_a_thread(tmp_path: Path) -> None:
    """Callers without an event loop get one that runs beside them."""
    with running_sandbox_in_thread(tmp_path / "sandbox.db") as sandbox:
        answer = httpx.get(f"{sandbox.url}{PING}", headers={"accesskey": sandbox.access_key}, trust_env=False)
        assert answer.json()["result"] is True
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{sandbox.url}{PING}", trust_env=False)
