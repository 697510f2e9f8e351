"""The sandbox's web page shows what the tenant holds and every call, and trusts none of it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db", clock=ManualClock()) as running:
        yield running


@pytest.fixture
async def browser(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        yield client


async def fill(sandbox: RunningSandbox) -> None:
    """Put hostile text wherever a caller can put text."""
    company = (await sandbox.rows("Company"))[0]["Gsid"]
    person = {"Email": "a@example.com", "Name": HOSTILE, "companies": [{"Company_ID": company, "Title": HOSTILE}]}
    async with sandbox.client() as api:
        for path, body in (
            ("/v1/data/objects/Company", {"records": [{"Name": HOSTILE}]}),
            ("/v1/data/objects/Segment_Event__gc", {"records": [{"Event_Name__gc": HOSTILE, "Message_Id__gc": "m"}]}),
            ("/v1/data/objects/Segment_Event__gc", {"records": [{HOSTILE: 1}]}),
        ):
            await api.post(path, json=body)
        assert (await api.put("/v1.0/api/people", json=person)).status_code == 200
        await api.get(f"/v1/{HOSTILE}")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/objects/Company",
        "/objects/Segment_Event__gc",
        "/people",
        "/calls",
        *(f"/calls/{number}" for number in range(1, 6)),
    ],
)
async def test_every_page_escapes_what_callers_send(
    sandbox: RunningSandbox, browser: httpx.AsyncClient, path: str
) -> None:
    """Hostile names, titles, paths and bodies come out as text, under a policy that runs no script."""
    await fill(sandbox)
    page = await browser.get(path)
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert "49" not in re.findall(r"&amp;(\d+)", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_the_pages_need_nothing_from_elsewhere(browser: httpx.AsyncClient) -> None:
    """No page names another host; the style sheet knows light and dark."""
    page = (await browser.get("/")).text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    style = await browser.get("/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in style.text or "light-dark(" in style.text
    assert "url(" not in style.text
    assert "@import" not in style.text


async def test_what_the_pages_show(sandbox: RunningSandbox, browser: httpx.AsyncClient) -> None:
    """Companies by name, people with their companies, calls with their bodies, and how to begin again."""
    await fill(sandbox)
    assert "Northwind Traders" in (await browser.get("/objects/Company")).text
    people = (await browser.get("/people")).text
    assert "a@example.com" in people
    assert "Northwind Traders" in people
    assert "GSOBJ_1002" in (await browser.get("/calls")).text
    assert "/_sandbox/reset" in (await browser.get("/")).text


async def test_calls_are_paged(sandbox: RunningSandbox, browser: httpx.AsyncClient) -> None:
    """Older calls are one link away, and every call stands on exactly one page."""
    async with sandbox.client() as api:
        for _ in range(60):
            await api.get("/v1.0/api/people")
    first = (await browser.get("/calls")).text
    link = re.search(r"""href=["'](/calls)?(\?before=\d+)["']""", first)
    assert link is not None
    second = (await browser.get(f"/calls{link[2]}")).text
    numbers = [set(re.findall(r"/calls/(\d+)", page)) for page in (first, second)]
    assert len(numbers[0] | numbers[1]) == 60
    assert not numbers[0] & numbers[1]


@pytest.mark.parametrize("path", ["/objects/Nope__gc", "/calls/999", "/objects/%3Cscript%3E"])
async def test_what_is_not_there(browser: httpx.AsyncClient, path: str) -> None:
    """A page about nothing is 404 and says so."""
    page = await browser.get(path)
    assert page.status_code == 404
    assert "<script" not in page.text


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=99999999999999999999", "page=-1", "page=99999999999"])
async def test_odd_page_numbers(browser: httpx.AsyncClient, query: str) -> None:
    """A page number that makes no sense is no server error."""
    assert (await browser.get(f"/objects/Company?{query}")).status_code == 200
