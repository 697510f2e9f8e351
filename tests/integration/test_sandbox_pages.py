"""The sandbox's pages show what the tenant holds, to people, and run nothing that a record brings along."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gainsight_destination.sandbox.pages.views import plural
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

HOSTILE = "\"'><script>alert(1)</script>{{ 7*7 }}"
EVENTS = "/v1/data/objects/Segment_Event__gc"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db", clock=ManualClock()) as running:
        yield running


async def page(api: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await api.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


async def test_the_overview_counts(api: httpx.AsyncClient) -> None:
    """Rows per object, the quota, the demo key and the latest calls, each call a link."""
    assert "No call has come yet." in await page(api, "/")
    await api.get("/v1.0/api/people")
    text = await page(api, "/")
    assert '<span class="figure">12</span><span class="label">Companies</span>' in text
    assert '<span class="figure">1 <span class="of">of 100</span></span><span class="label">This minute</span>' in text
    assert "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc" in text
    assert '<a href="/calls/1">GET /v1.0/api/people</a>' in text


async def test_calls_show_how_many_records_they_are_about(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Sent or read records are counted; the fault's column is there only when a call failed by one."""
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": str(number)} for number in range(3)]})
    await api.put("/v1.0/api/people", json={"Email": "a@x.example"})
    text = await page(api, "/calls")
    assert re.findall(r'<td class="number">(\d*)</td>', text) == ["1", "3"]
    assert "<th>Fault</th>" not in text
    await sandbox.control("PUT", "faults", [{"fault": 503, "match": {"path": "/v1/*"}}])
    await api.post(EVENTS, json={"records": []})
    assert "<th>Fault</th>" in await page(api, "/calls")


@pytest.mark.parametrize(
    ("label", "many"),
    [("Person", "People"), ("Company", "Companies"), ("Survey", "Surveys"), ("Usage Daily", "Usage Daily")],
)
def test_labels_of_many(label: str, many: str) -> None:
    """One is called by its label, any other number by its plural."""
    assert (plural(label, 1), plural(label, 0), plural(label, 2)) == (label, many, many)


async def test_a_key_of_ones_own_is_not_shown(tmp_path: Path) -> None:
    """Only the documented demo key stands on a page."""
    key = "00000000-0000-4000-8000-000000000000"
    async with running_sandbox(tmp_path / "own.db", access_key=key) as sandbox, sandbox.client() as client:
        assert key not in await page(client, "/")


async def test_the_overview_shows_what_is_set_up_to_fail(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rules with how often they were seen and fired."""
    await sandbox.control("PUT", "faults", [{"fault": 503, "match": {"path": "/v1/*"}}, {"fault": "slow"}])
    text = await page(api, "/")
    assert "<td>503</td>" in text
    assert "<td>slow</td>" in text


async def test_companies_show_names_for_ids(api: httpx.AsyncClient) -> None:
    """Picklists by label, lookups by name, dates for people."""
    text = await page(api, "/objects/Company")
    for shown in ("Northwind Traders", "0015000000abcDEAAY", "Adopting", "Ada Lovelace", "2027-03-31"):
        assert f">{shown}</td>" in text


async def test_people_show_their_companies(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Each person once, with every company and the title there."""
    one, two = (await sandbox.rows("Company"))[:2]
    companies = [{"Company_ID": one["Gsid"], "Title": "CTO"}, {"Company_ID": two["Gsid"]}]
    await api.put("/v1.0/api/people", json={"Email": "a@x.example", "FirstName": "A", "companies": companies})
    text = await page(api, "/people")
    assert "a@x.example" in text
    assert f'<li>{one["Name"]} <span class="quiet">· CTO</span></li>' in text
    assert f"<li>{two['Name']}</li>" in text


async def test_rows_and_calls_are_paged(api: httpx.AsyncClient) -> None:
    """Fifty to a page, newest first, with links to both sides."""
    for start in (0, 40):
        records = [{"Message_Id__gc": f"m-{number}"} for number in range(start, start + 40)]
        await api.post(EVENTS, json={"records": records})
    first, second = await page(api, "/objects/Segment_Event__gc"), await page(api, "/objects/Segment_Event__gc?page=2")
    assert ">m-79</td>" in first
    assert ">m-29</td>" not in first
    assert '<a href="?page=2">Older</a>' in first
    assert ">m-29</td>" in second
    assert '<a href="?page=1">Newer</a>' in second
    assert "No rows on this page" in await page(api, "/objects/Segment_Event__gc?page=3")
    for _ in range(60):
        await api.get("/v1.0/api/people")
    calls = await page(api, "/calls")
    assert '<a href="/calls?before=13">Older</a>' in calls
    assert 'href="/calls/1"' in await page(api, "/calls?before=13")


async def test_a_call_shows_both_bodies(api: httpx.AsyncClient) -> None:
    """What was sent and what it was answered, laid out."""
    await api.post(EVENTS, json={"records": [{"Message_Id__gc": "m"}]})
    text = await page(api, "/calls/1")
    assert "&#34;Message_Id__gc&#34;: &#34;m&#34;" in text
    assert "&#34;result&#34;: true" in text


async def test_hostile_data_is_shown_and_not_run(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Whatever a record, a path or a schema says is text, on every page."""
    company = (await sandbox.control("POST", "companies", {"companies": [{"Name": HOSTILE}]}))["companies"][0]
    await api.put(
        "/v1.0/api/people",
        json={
            "Email": "<i>@x.example",
            "Name": HOSTILE,
            "companies": [{"Company_ID": company["Gsid"], "Title": HOSTILE}],
        },
    )
    record = {"Message_Id__gc": HOSTILE, "Properties__gc": HOSTILE * 10, "Company_Id__gc": company["Gsid"]}
    await api.post(EVENTS, json={"records": [record]})
    await api.get("/v1/<script>alert(1)</script>", params={"q": HOSTILE})
    await sandbox.control("PUT", "schema/Segment_Event__gc", {"label": HOSTILE})
    await sandbox.control("PUT", "faults", [{"fault": "500", "match": {"path": HOSTILE}}])
    paths = ["/", "/people", "/calls", *(f"/calls/{call}" for call in (1, 2, 3))]
    for path in [*paths, "/objects/Company", "/objects/person", "/objects/Segment_Event__gc", "/objects/<script>"]:
        answer = await api.get(path)
        assert answer.status_code in (200, 404)
        assert "<script" not in answer.text
        assert "<i>@" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "{{ 7*7 }}" in await page(api, "/people")


async def test_pages_need_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    """The style sheet is the only asset, and it is the sandbox's own."""
    text = await page(api, "/")
    assert '<link rel="stylesheet" href="/style.css">' in text
    for sign in ("http://fonts", "https://", "<script", "<img", "style="):
        assert sign not in text
    answer = await api.get("/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text


@pytest.mark.parametrize("path", ["/objects/nothing", "/calls/999"])
async def test_what_is_not_there_is_said_on_a_page(api: httpx.AsyncClient, path: str) -> None:
    """404 with a way back."""
    assert "<h1>Not found</h1>" in await page(api, path, 404)


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=" + "9" * 30, "before=x", "before=²"])
async def test_odd_page_numbers_are_harmless(api: httpx.AsyncClient, query: str) -> None:
    """They show the first page."""
    assert "Northwind Traders" in await page(api, f"/objects/Company?{query}")
    await page(api, f"/calls?{query}")


async def test_pages_and_their_readers_are_not_calls(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Looking costs no quota and leaves no line in the log."""
    await page(api, "/")
    assert await sandbox.calls() == []
