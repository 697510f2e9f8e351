"""The sandbox's People API: upsert by e-mail, links to companies, and up to fifty people in the background."""

from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox
from gainsight_destination.testing import ManualClock

PATHS = ["/v1/peoplemgmt/v1.0/people", "/v1.0/api/people"]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def company_gsids(sandbox: RunningSandbox) -> list[str]:
    return [row["Gsid"] for row in await sandbox.rows("Company")]


async def test_a_person_is_created_then_changed(api: httpx.AsyncClient, sandbox: RunningSandbox, path: str) -> None:
    """The first call inserts, the next changes what it names; the e-mail matches in any case and stays as sent last."""
    first = (await api.put(path, json={"Email": "Ada@Example.com", "FirstName": "Ada", "Location": "Here"})).json()
    second = (await api.put(path, json={"Email": "ada@example.com", "FirstName": "Augusta"})).json()
    assert first["data"]["Gsid"] == second["data"]["Gsid"]
    (row,) = await sandbox.rows("person")
    assert (row["Email"], row["FirstName"], row["Location"]) == ("ada@example.com", "Augusta", "Here")
    assert (await api.get("/v1.0/api/people")).json()["result"] is True


async def test_companies_add_and_change_links(api: httpx.AsyncClient, sandbox: RunningSandbox, path: str) -> None:
    """Each company of a call is linked once; links that are not named stay."""
    one, two, *_ = await company_gsids(sandbox)
    for companies in (
        [{"Company_ID": one, "Title": "CTO"}],
        [{"Company_ID": two}, {"Company_ID": one, "Title": "CEO"}],
    ):
        answer = await api.put(path, json={"Email": "a@example.com", "companies": companies})
        assert answer.status_code == 200
    (person,) = await sandbox.rows("person")
    links = {row["Company_ID"]: row for row in await sandbox.rows("company_person")}
    assert {gsid: row["Title"] for gsid, row in links.items()} == {one: "CEO", two: None}
    assert {row["Person_ID"] for row in links.values()} == {person["Gsid"]}


@pytest.mark.parametrize(
    "person",
    [
        {},
        {"FirstName": "Ada"},
        {"Email": None},
        {"Email": ""},
        {"Email": "nobody"},
        {"Email": 7},
        {"Email": "a@example.com", "Nonsense": 1},
        {"Email": "a@example.com", "CreatedDate": "2026-01-01T00:00:00Z"},
        {"Email": "a@example.com", "companies": {"Company_ID": "x"}},
        {"Email": "a@example.com", "companies": [{}]},
        {"Email": "a@example.com", "companies": [{"Company_ID": "1P02" + "A" * 32}]},
        {"Email": "a@example.com", "companies": [{"Company_ID": None, "Title": "CTO"}]},
    ],
)
async def test_a_person_that_cannot_be_written_leaves_nothing(
    api: httpx.AsyncClient, sandbox: RunningSandbox, person: dict[str, Any]
) -> None:
    """Missing or odd e-mail, unknown fields and unknown companies are 400, and nothing is written."""
    answer = await api.put(PATHS[0], json=person)
    assert (answer.status_code, answer.json()["result"]) == (400, False)
    assert answer.json()["errorCode"].startswith("GSOBJ_")
    assert await sandbox.rows("person") == []
    assert await sandbox.rows("company_person") == []


async def test_fifty_people_in_the_background(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock, path: str
) -> None:
    """INIT, INPROGRESS, COMPLETED by the clock; good people are written, bad ones told by their row."""
    one, *_ = await company_gsids(sandbox)
    people = [
        {"Email": "a@example.com", "companies": [{"Company_ID": one}]},
        {"Email": "b@example.com", "companies": [{"Company_ID": "1P02" + "A" * 32}]},
        {"FirstName": "Nobody"},
        {"Email": "d@example.com"},
    ]
    submitted = (await api.put(f"{path}/async", json={"records": people})).json()
    status = f"{path}/async/{submitted['data']['statusId']}"

    async def look() -> dict[str, Any]:
        data: dict[str, Any] = (await api.get(status)).json()["data"]
        return data

    assert (await look())["status"] == "INIT"
    assert await sandbox.rows("person") == []
    clock.advance(1)
    assert (await look())["status"] == "INPROGRESS"
    clock.advance(1)
    done = await look()
    assert (done["status"], done["count"]) == ("COMPLETED", {"success": 2, "failed": 2})
    assert [(row["row"], row["Email"]) for row in done["records"]] == [(0, "a@example.com"), (3, "d@example.com")]
    assert [(row["row"], row["field"]) for row in done["errors"]] == [(1, "Company_ID"), (2, "Email")]
    assert all(row["code"] and row["message"] for row in done["errors"])
    rows = {row["Email"]: row["Gsid"] for row in await sandbox.rows("person")}
    assert rows == {row["Email"]: row["Gsid"] for row in done["records"]}
    assert len(await sandbox.rows("company_person")) == 1
    assert (await look()) == done


@pytest.mark.parametrize("wrap", ["list", "people"])
async def test_other_shapes_of_the_asynchronous_body(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock, wrap: str
) -> None:
    """A bare list and `{"people": [...]}` are taken too, since the vendor's shape is not public."""
    people = [{"Email": "a@example.com"}]
    body = people if wrap == "list" else {"people": people}
    assert (await api.put(f"{PATHS[0]}/async", json=body)).status_code == 200
    clock.advance(2)
    assert len(await sandbox.rows("person")) == 1


async def test_rows_count_from_one_when_switched(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """The first row is 0 unless the switch says 1; `job_seconds` is the length of the work."""
    await sandbox.control("PUT", "switches", {"people_first_row": 1, "job_seconds": 0})
    people = {"records": [{"Email": "a@example.com"}, {}]}
    status_id = (await api.put(f"{PATHS[0]}/async", json=people)).json()["data"]["statusId"]
    done = (await api.get(f"{PATHS[0]}/async/{status_id}")).json()["data"]
    assert (done["records"][0]["row"], done["errors"][0]["row"]) == (1, 2)


@pytest.mark.parametrize("body", [{}, [], {"records": [{"Email": "a@example.com"}] * 51}, "x"])
async def test_a_malformed_asynchronous_request_is_refused(api: httpx.AsyncClient, body: object) -> None:
    """No people, or more than fifty, is 400; so is an unknown status id."""
    assert (await api.put(f"{PATHS[0]}/async", json=body)).status_code == 400
    assert (await api.get(f"{PATHS[0]}/async/nothing")).status_code == 400


async def test_people_and_links_are_read_by_query(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """An e-mail is found in any case; a link leads to its company and person by dot paths."""
    one, *_ = await company_gsids(sandbox)
    await api.put(PATHS[0], json={"Email": "Ada@Example.com", "companies": [{"Company_ID": one}]})
    where = {
        "conditions": [{"name": "Email", "alias": "A", "operator": "IN", "value": ["ADA@EXAMPLE.COM"]}],
        "expression": "A",
    }
    found = await api.post("/v1/data/objects/query/person", json={"select": ["Email"], "where": where})
    assert found.json()["data"]["records"] == [{"Email": "Ada@Example.com"}]
    select = ["Person_ID__gr.Email", "Company_ID__gr.Name"]
    found = await api.post("/v1/data/objects/query/company_person", json={"select": select})
    assert found.json()["data"]["records"] == [dict(zip(select, ["Ada@Example.com", "Northwind Traders"], strict=True))]
