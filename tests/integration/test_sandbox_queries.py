"""The sandbox's query call selects, filters, sorts and pages as Gainsight documents it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.sandbox import SandboxOptions
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import START_MS, ManualClock

QUERY = "/v1/data/objects/query"
DAY_MS = 86_400_000
ROWS: list[dict[str, Any]] = [
    {"Name": "Alpha", "Employees": 10, "RenewalDate": "2026-01-01", "Stage": "Churn", "Tags": ["Beta", "Reference"]},
    {"Name": "Beta", "Employees": 20, "RenewalDate": "2026-01-02", "Stage": "Launched", "Tags": ["Beta"]},
    {"Name": "Gamma", "Employees": 30, "Industry": "Software"},
    {"Name": "alpha beta", "SfdcAccountId": "0015000000abcDE"},
]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    options = SandboxOptions(companies=ROWS)
    async with running_sandbox(tmp_path / "sandbox.db", clock=ManualClock(), options=options) as running:
        yield running


def condition(name: str, operator: str, *values: Any, alias: str = "A") -> dict[str, Any]:
    return {"name": name, "alias": alias, "operator": operator, "value": list(values)}


async def names(api: httpx.AsyncClient, *conditions: dict[str, Any], expression: str = "A", **rest: Any) -> list[str]:
    """The names of the Companies that the conditions find."""
    where = {"where": {"conditions": list(conditions), "expression": expression}} if conditions else {}
    answer = await api.post(f"{QUERY}/Company", json={"select": ["Name"], **where, **rest})
    assert answer.status_code == 200, answer.text
    return [row["Name"] for row in answer.json()["data"]["records"]]


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (condition("Name", "EQ", "Alpha"), ["Alpha"]),
        (condition("Name", "NE", "Alpha"), ["Beta", "Gamma", "alpha beta"]),
        (condition("Name", "IN", "Alpha", "Gamma", "None"), ["Alpha", "Gamma"]),
        (condition("Name", "CONTAINS", "a b"), ["alpha beta"]),
        (condition("Name", "STARTS_WITH", "Al"), ["Alpha"]),
        (condition("Name", "ENDS_WITH", "ta"), ["Beta", "alpha beta"]),
        (condition("Employees", "LT", 20), ["Alpha"]),
        (condition("Employees", "LTE", 20), ["Alpha", "Beta"]),
        (condition("Employees", "GT", 20), ["Gamma"]),
        (condition("Employees", "GTE", 20), ["Beta", "Gamma"]),
        (condition("Employees", "BTW", 15, 30), ["Beta", "Gamma"]),
        (condition("Employees", "IN", 10, 30), ["Alpha", "Gamma"]),
        (condition("Industry", "IS_NULL"), ["Alpha", "Beta", "alpha beta"]),
        (condition("Industry", "IS_NOT_NULL"), ["Gamma"]),
        (condition("Stage", "EQ", "Churn"), ["Alpha"]),
        (condition("Stage", "INCLUDES", "Churn", "Launched"), ["Alpha", "Beta"]),
        (condition("Tags", "INCLUDES", "Reference"), ["Alpha"]),
        (condition("RenewalDate", "EQ", "2026-01-02"), ["Beta"]),
        (condition("RenewalDate", "GTE", "2026-01-01T00:00:00Z"), ["Alpha", "Beta"]),
        (condition("RenewalDate", "LTE", START_MS), ["Alpha"]),
        (condition("SfdcAccountId", "EQ", "0015000000abcDE"), ["alpha beta"]),
        (condition("SfdcAccountId", "EQ", "0015000000abcDEAAY"), []),
        (condition("SfdcAccountId", "IN", "0015000000ABCDE"), []),
    ],
)
async def test_each_operator(api: httpx.AsyncClient, one: dict[str, Any], found: list[str]) -> None:
    """Each operator finds exactly the rows that satisfy it; text compares with its case."""
    assert await names(api, one) == found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("A AND B", ["Beta"]),
        ("A OR B", ["Alpha", "Beta", "Gamma"]),
        ("A OR B AND C", ["Alpha", "Beta"]),
        ("(A OR B) AND C", ["Beta"]),
        ("((A) or (B)) and (C)", ["Beta"]),
    ],
)
async def test_expressions(api: httpx.AsyncClient, expression: str, found: list[str]) -> None:
    """AND binds tighter than OR, and parentheses tighter than both."""
    conditions = [
        condition("Employees", "LTE", 20, alias="A"),
        condition("Employees", "GTE", 20, alias="B"),
        condition("Name", "EQ", "Beta", alias="C"),
    ]
    used = [one for one in conditions if one["alias"] in expression.replace("AND", "").replace("OR", "")]
    assert await names(api, *used, expression=expression) == found


async def test_order_limit_and_offset(api: httpx.AsyncClient) -> None:
    """Rows sort by several fields, nulls last; limit and offset cut pages out of them."""
    assert await names(api, orderBy={"Employees": "desc"}) == ["Gamma", "Beta", "Alpha", "alpha beta"]
    assert await names(api, orderBy={"Name": "asc"}, limit=2, offset=1) == ["Beta", "Gamma"]
    assert await names(api, limit=10, offset=4) == []


async def test_dot_paths_lead_through_lookups(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A relation name leads to the row that a lookup points at, in select and in where."""
    (manager, *_), (company, *_) = await sandbox.rows("gsuser"), await sandbox.rows("Company")
    record = {"Gsid": company["Gsid"], "Csm": manager["Gsid"]}
    await api.put("/v1/data/objects/Company", params={"keys": "Gsid"}, json={"records": [record]})
    await api.post(
        "/v1/data/objects/Segment_Event__gc",
        json={"records": [{"Message_Id__gc": "m", "Company_Id__gc": company["Gsid"]}, {"Message_Id__gc": "n"}]},
    )
    path = "Company_Id__gr.Csm__gr.Email"
    body = {"select": ["Message_Id__gc", path], "orderBy": {"Message_Id__gc": "asc"}}
    rows = (await api.post(f"{QUERY}/Segment_Event__gc", json=body)).json()["data"]["records"]
    assert [(row["Message_Id__gc"], row[path]) for row in rows] == [("m", manager["Email"]), ("n", None)]
    where = {"conditions": [condition(path, "EQ", manager["Email"])], "expression": "A"}
    rows = (await api.post(f"{QUERY}/Segment_Event__gc", json={**body, "where": where})).json()["data"]["records"]
    assert [row["Message_Id__gc"] for row in rows] == ["m"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"select": []},
        {"select": ["Nope"]},
        {"select": ["Nope__gr.Name"]},
        {"select": ["Name"], "limit": 5_001},
        {"select": ["Name"], "limit": 0},
        {"select": ["Name"], "offset": -1},
        {"select": ["Name"], "orderBy": {"Name": "up"}},
        {"select": ["Name"], "where": {"conditions": [], "expression": ""}},
        {"select": ["Name"], "where": {"conditions": [condition("Name", "EQ", "x")], "expression": "B"}},
        {"select": ["Name"], "where": {"conditions": [condition("Name", "EQ", "x")], "expression": "A AND"}},
        {"select": ["Name"], "where": {"conditions": [condition("Name", "EQ", "x")], "expression": "(A"}},
        {"select": ["Name"], "where": {"conditions": [condition("Name", "LIKE", "x")], "expression": "A"}},
        {"select": ["Name"], "where": {"conditions": [condition("Employees", "EQ", "x")], "expression": "A"}},
        {"select": ["Name"], "where": {"conditions": [condition("Name", "EQ") | {"value": "x"}], "expression": "A"}},
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Unknown fields, operators, aliases, and limits beyond 5,000 are 400."""
    answer = await api.post(f"{QUERY}/Company", json=body)
    assert (answer.status_code, answer.json()["result"]) == (400, False)


async def test_the_shape_of_answers_is_a_switch(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rows come in `data.records`, or as a list in `data`."""
    await sandbox.control("PUT", "switches", {"query_data": "list"})
    answer = await api.post(f"{QUERY}/Company", json={"select": ["Name"], "limit": 1})
    assert answer.json()["data"] == [{"Name": "Alpha"}]


@pytest.mark.parametrize(
    ("switch", "status", "result", "code"),
    [("empty", 200, True, None), ("not_found", 400, False, "GSOBJ_1011"), ("result_false", 200, False, "GSOBJ_1XXX")],
)
async def test_no_rows(
    api: httpx.AsyncClient, sandbox: RunningSandbox, switch: str, status: int, result: bool, code: str | None
) -> None:
    """Nothing found is an empty list, or one of two errors when switched."""
    await sandbox.control("PUT", "switches", {"no_rows": switch})
    where = {"conditions": [condition("Name", "EQ", "nobody")], "expression": "A"}
    answer = await api.post(f"{QUERY}/Company", json={"select": ["Name"], "where": where})
    assert (answer.status_code, answer.json()["result"], answer.json()["errorCode"]) == (status, result, code)


@pytest.mark.parametrize(
    ("form", "date", "moment"),
    [
        ("epoch_ms", START_MS + DAY_MS, START_MS),
        ("iso", "2026-01-02", "2026-01-01T00:00:00.000+0000"),
        ("plain", "2026-01-02 00:00:00.0", "2026-01-01 00:00:00.0"),
    ],
)
async def test_the_form_of_dates_is_a_switch(
    api: httpx.AsyncClient, sandbox: RunningSandbox, form: str, date: object, moment: object
) -> None:
    """Dates are read as epoch milliseconds, ISO-8601 or plain; empty ones as null or blank."""
    await sandbox.control("PUT", "switches", {"dates_in_reads": form, "empty_dates": "blank"})
    body = {"select": ["RenewalDate", "CreatedDate"], "offset": 1, "limit": 2}
    first, second = (await api.post(f"{QUERY}/Company", json=body)).json()["data"]["records"]
    assert (first["RenewalDate"], first["CreatedDate"], second["RenewalDate"]) == (date, moment, "")


async def test_the_zone_of_a_filter_without_an_offset_is_the_tenants(
    api: httpx.AsyncClient, sandbox: RunningSandbox
) -> None:
    """A moment without an offset is US Pacific unless switched."""
    where = {"conditions": [condition("CreatedDate", "LTE", "2025-12-31 16:00:00")], "expression": "A"}
    body = {"select": ["Name"], "where": where}
    assert len((await api.post(f"{QUERY}/Company", json=body)).json()["data"]["records"]) == 4
    await sandbox.control("PUT", "switches", {"utc_offset_hours": 0})
    assert (await api.post(f"{QUERY}/Company", json=body)).json()["data"]["records"] == []


async def test_picklists_are_read_as_item_ids_that_dropdowns_explain(api: httpx.AsyncClient) -> None:
    """A picklist value is the Gsid of an item; describe names its category, and the dropdown its label."""
    (row,) = (await api.post(f"{QUERY}/Company", json={"select": ["Stage"], "limit": 1})).json()["data"]["records"]
    described = (await api.get("/v1/meta/services/objects/company/describe", params={"idd": "true"})).json()["data"]
    if isinstance(described, list):
        (described,) = described
    stage = next(field for field in described["fields"] if field["fieldName"] == "Stage")
    assert next(option["label"] for option in stage["options"] if option["value"] == row["Stage"]) == "Churn"
    category = stage["meta"]["properties"]["PICKLIST_CATEGORY_ID"]
    items = (await api.get(f"/v1/meta/services/dropdowns/{category}")).json()["data"]["childItems"]
    assert next(item["name"] for item in items if item["gsid"] == row["Stage"]) == "Churn"
