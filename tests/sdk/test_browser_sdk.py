"""Segment's SDK for browsers from its registry, unchanged, in a real Chromium, on pages of another origin."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Error
from tests.support.arrivals import Arrivals
from tests.support.browser import NEWEST_SDK, Elsewhere, Site, Visitor, running, running_browser, snippet
from tests.support.fault_proxy import Fault, fault_proxy
from tests.support.sdks import LIMITED_WRITE_KEY, Call
from tests.support.system import WRITE_KEY, System, wait_until

FAULTS: Final = {
    "429": Fault(HTTPStatus.TOO_MANY_REQUESTS, retry_after_seconds=1),
    "503": Fault(HTTPStatus.SERVICE_UNAVAILABLE),
    "answer-lost": Fault(HTTPStatus.GATEWAY_TIMEOUT, forwarded=True),
}


def batches(size: int, timeout_ms: int) -> dict[str, Any]:
    """The load options with which the SDK sends batches."""
    strategy = {"strategy": "batching", "config": {"size": size, "timeout": timeout_ms}}
    return {"integrations": {"Segment.io": {"deliveryStrategy": strategy}}}


A_LONG_TIME_MS: Final = 3_600_000
OPTIONS: Final = {"single": {}, "batches": batches(10, 100)}
either_way = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running(Site()) as site:
        yield site


@pytest.fixture(scope="module")
def browser_and_elsewhere() -> Iterator[tuple[Browser, Elsewhere]]:
    with running_browser() as running:
        yield running


@pytest.fixture
def visitor(browser_and_elsewhere: tuple[Browser, Elsewhere], site: Site) -> Iterator[Visitor]:
    """A visitor who was never here. He may ask the site and the product, and nobody else."""
    browser, elsewhere = browser_and_elsewhere
    elsewhere.hosts.clear()
    with browser.new_context() as context:
        visitor = Visitor(context, site)
        yield visitor
        assert {host.partition(":")[0] for host in visitor.hosts()} == {"127.0.0.1"}
    assert elsewhere.hosts == []


def visit(who: str, tracks: int = 24) -> list[Call]:
    """One call of each type and many tracks, of which Gainsight gets nothing: the account is told by somebody else."""
    calls: list[dict[str, Any]] = [
        {"type": "identify", "userId": who, "traits": {"plan": "Größe S", "logins": 7, "tags": ["a", "b"]}},
        {"type": "page", "category": "Docs", "name": "API", "properties": {"section": "Ü"}},
        {"type": "screen", "category": "App", "name": "Start", "properties": {"tab": 2}},
        {"type": "alias", "userId": who, "previousId": f"{who}-before"},
    ]
    for number in range(tracks):
        properties = {"number": number, "price": 19.99, "deep": {"list": [1, None, "ü"]}}
        calls.append({"type": "track", "event": "Report Viewed", "properties": properties})
    calls = [{**call, "userId": who} for call in calls]
    group = {"type": "group", "groupId": "g", "traits": {"size": 9}, "integrations": {"Gainsight": False}}
    calls += [{"type": "reset"}, group]
    return [{**call, "messageId": f"{who}-{number}"} for number, call in enumerate(calls)]


def messages(calls: list[Call]) -> list[Call]:
    """What is to arrive of calls: `reset` makes a stranger of the visitor, and sends nothing."""
    return [call for call in calls if call["type"] != "reset"]


def own_host(url: str) -> str:
    return url.removeprefix("http://")


@either_way
def test_every_call_arrives_once(options: dict[str, Any], visitor: Visitor, system: System, who: str) -> None:
    """With nothing but cdnURL set, all that a page says arrives as it was said, and nobody else is asked anything."""
    arrivals, calls = Arrivals(system), visit(who)
    visitor.load({"writeKey": WRITE_KEY, "cdnURL": system.ingest_url}, options)
    visitor.make(calls)
    arrivals.check(messages(calls))
    assert visitor.hosts() == {visitor.site.host, own_host(system.ingest_url)}
    assert visitor.failed_answers == []


@pytest.mark.parametrize("faults", [[], [FAULTS["429"]]], ids=["none", "429"])
def test_the_sdk_before_1_84(faults: list[Fault], visitor: Visitor, system: System, who: str) -> None:
    """The older SDK has its write key in the body alone."""
    arrivals, calls = Arrivals(system), visit(who)
    with fault_proxy(system.ingest_url, *faults) as proxy:
        visitor.load({"writeKey": WRITE_KEY, "cdnURL": proxy.url}, sdk="analytics-next-1.83")
        visitor.make(calls)
        arrivals.check(messages(calls))
        assert visitor.hosts() == {visitor.site.host, own_host(proxy.url)}
        assert [status for status, _path in visitor.failed_answers] == [fault.status for fault in faults]
        assert not any("Authorization" in passed.headers for passed in proxy.posts())


@either_way
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost_to_a_fault(
    fault: Fault, options: dict[str, Any], visitor: Visitor, system: System, who: str
) -> None:
    """What was refused for a while is sent again and arrives; what was stored already counts once."""
    arrivals, calls = Arrivals(system), visit(who)
    with fault_proxy(system.ingest_url, fault) as proxy:
        visitor.load({"writeKey": WRITE_KEY, "cdnURL": proxy.url}, options)
        visitor.make(calls)
        arrivals.check(messages(calls), repeated=fault.forwarded)
        assert visitor.hosts() == {visitor.site.host, own_host(proxy.url)}
        assert [status for status, _path in visitor.failed_answers] == [fault.status]


@either_way
def test_a_wait_is_obeyed(options: dict[str, Any], visitor: Visitor, system: System, who: str) -> None:
    """A page of another origin can read Retry-After, and waits as long as it says."""
    arrivals, (call, *_) = Arrivals(system), visit(who)
    with fault_proxy(system.ingest_url, FAULTS["429"]) as proxy:
        visitor.load({"writeKey": WRITE_KEY, "cdnURL": proxy.url}, options)
        visitor.make([call])
        arrivals.check([call])
        refused, again = proxy.posts()
    assert again.at_seconds - refused.at_seconds >= 1
    assert again.headers["X-Retry-Count"] == "1"


def test_a_source_over_its_limit(visitor: Visitor, system: System, who: str) -> None:
    """A page can read the server's own 429; what is more than its source may send arrives a little later."""
    arrivals, calls = Arrivals(system), visit(who)
    visitor.load({"writeKey": LIMITED_WRITE_KEY, "cdnURL": system.ingest_url})
    visitor.make(calls)
    arrivals.check(messages(calls))
    assert {status for status, _path in visitor.failed_answers} == {HTTPStatus.TOO_MANY_REQUESTS}


def test_a_page_that_is_left_sends_its_batch(visitor: Visitor, system: System, who: str) -> None:
    """What waits for its batch to fill is sent when the page is left, and needs no other page for that."""
    arrivals, calls = Arrivals(system), visit(who)
    visitor.load({"writeKey": WRITE_KEY, "cdnURL": system.ingest_url}, batches(1_000, A_LONG_TIME_MS))
    visitor.make(calls)
    assert arrivals.items() == []
    visitor.leave()
    arrivals.check(messages(calls))


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batches"])
def test_what_was_refused_outlives_its_page(batched: bool, visitor: Visitor, system: System, who: str) -> None:
    """Calls that wait for Retry-After when their page is left are not lost: a batch goes at once, single calls with the
    next page."""
    arrivals, calls = Arrivals(system), visit(who)
    count = len(messages(calls))
    come_later = Fault(HTTPStatus.TOO_MANY_REQUESTS, retry_after_seconds=300)
    with fault_proxy(system.ingest_url, *[come_later] * (1 if batched else count)) as proxy:
        settings, options = {"writeKey": WRITE_KEY, "cdnURL": proxy.url}, batches(count, A_LONG_TIME_MS)
        visitor.load(settings, options if batched else {})
        visitor.make(calls)
        proxy.wait_for_refusals()
        assert arrivals.items() == []
        visitor.leave()
        visitor.load(settings)
        arrivals.check(messages(calls))


def test_calls_without_a_network_arrive_with_the_next_page(visitor: Visitor, system: System, who: str) -> None:
    """What is said while the visitor has no network waits in his browser."""
    arrivals, calls, settings = Arrivals(system), visit(who), {"writeKey": WRITE_KEY, "cdnURL": system.ingest_url}
    visitor.load(settings)
    visitor.context.set_offline(True)
    visitor.make(calls)
    visitor.context.set_offline(False)
    visitor.leave()
    visitor.load(settings)
    arrivals.check(messages(calls), repeated=None)


def test_the_three_calls_reach_their_companies(visitor: Visitor, system: System, who: str) -> None:
    """identify with accountId, track with accountId and group: each ends on the Company it names."""
    one, two, three = [row for row in system.rows("company") if len(row["SfdcAccountId"]) == 18][:3]
    email, size = f"{who}@example.com", int(who[1:7], 16)
    calls: list[Call] = [
        {"type": "identify", "userId": f"{who}-1", "traits": {"email": email, "accountId": one["SfdcAccountId"]}},
        {"type": "track", "event": f"{who} After Identify", "properties": {}},
        {"type": "track", "event": f"{who} Told", "properties": {"accountId": two["SfdcAccountId"]}},
        {"type": "reset"},
        {"type": "group", "groupId": three["SfdcAccountId"], "traits": {"employees": size}},
        {"type": "track", "event": f"{who} After Group", "properties": {}},
    ]
    calls = [{**call, "messageId": f"{who}-{number}"} for number, call in enumerate(calls)]
    arrivals = Arrivals(system)
    visitor.load({"writeKey": WRITE_KEY, "cdnURL": system.ingest_url})
    visitor.make(calls)
    arrivals.check(messages(calls))
    rows = [row for row in system.rows("Segment_Event__gc") if row["Event_Name__gc"].startswith(who)]
    assert sorted((row["Event_Name__gc"].removeprefix(who), row["Company_Id__gc"]) for row in rows) == [
        (" After Group", three["Gsid"]),
        (" After Identify", one["Gsid"]),
        (" Told", two["Gsid"]),
    ]
    (person,) = [row for row in system.rows("person") if row["Email"] == email]
    (link,) = [row for row in system.rows("company_person") if row["Person_ID"] == person["Gsid"]]
    assert link["Company_ID"] == one["Gsid"]
    assert next(row for row in system.rows("company") if row["Gsid"] == three["Gsid"])["Employees"] == size


def test_the_snippet(visitor: Visitor, system: System, who: str) -> None:
    """Segment's snippet, with the library on the site and our settings: also calls made before it is there arrive."""
    arrivals = Arrivals(system)
    library = f"https://{visitor.site.host}"
    script = snippet(apiKey=WRITE_KEY, host=visitor.site.host, ajsPath=f"/{NEWEST_SDK}/standalone.js")
    assert library in script
    script = script.replace(library, f"http://{visitor.site.host}")
    page = f"""<!doctype html><title>Shop</title><script>
        window.analytics = []; analytics._cdn = "{system.ingest_url}"; {script}
        analytics.track("{who}", {{ early: true }})</script>"""
    visitor.site.pages["/snippet"] = page.encode()
    visitor.page.goto(visitor.site.url("/snippet"))
    wait_until(lambda: len(arrivals.items()) == 2, "a page and a track")
    assert {(item["type"], item.get("event")) for item in arrivals.items()} == {("page", None), ("track", who)}
    assert visitor.hosts() == {visitor.site.host, own_host(system.ingest_url)}
    assert visitor.failed_answers == []


def test_nothing_is_told_about_the_sdk(visitor: Visitor, system: System, who: str) -> None:
    """The SDK measures itself and tells Segment twice a minute, unless the settings that we serve forbid it."""
    arrivals, (call, *_) = Arrivals(system), visit(who)
    visitor.page.clock.install()
    visitor.load({"writeKey": WRITE_KEY, "cdnURL": system.ingest_url})
    visitor.make([call])
    visitor.page.clock.run_for(120_000)
    arrivals.check([call])
    assert visitor.hosts() == {visitor.site.host, own_host(system.ingest_url)}


def test_a_foreign_host_is_noticed(browser_and_elsewhere: tuple[Browser, Elsewhere], site: Site) -> None:
    """A page that does not say cdnURL asks Segment for its settings, which is seen: the tests above can fail."""
    browser, elsewhere = browser_and_elsewhere
    with browser.new_context() as context:
        visitor = Visitor(context, site)
        with pytest.raises(Error):
            visitor.load({"writeKey": WRITE_KEY})
        assert visitor.hosts() == {site.host, "cdn.segment.com"}
    assert set(elsewhere.hosts) == {"cdn.segment.com:443"}
