"""Segment's SDKs for servers, and RudderStack's, from their registries: unchanged, against the real product."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.arrivals import Arrivals
from tests.support.fault_proxy import Fault, fault_proxy
from tests.support.sdks import LIMITED_WRITE_KEY, Call, ServerSdk
from tests.support.system import WRITE_KEY, System

PYTHON: Final = {"timeout": 5}
NODE: Final = {"flushInterval": 100}
SDKS: Final = {
    "python-2.4": ServerSdk("segment.analytics", "segment-2-4", options=PYTHON),
    "python-2.3": ServerSdk("segment.analytics", "segment-2-3", options=PYTHON),
    "rudder-python": ServerSdk("rudderstack.analytics", "rudder", host="dataPlaneUrl", options=PYTHON),
    "node-3": ServerSdk("analytics-node-3", options=NODE),
    "node-2": ServerSdk("analytics-node-2", options=NODE),
}
FAULTS: Final = {
    "429": Fault(HTTPStatus.TOO_MANY_REQUESTS, retry_after_seconds=1),
    "503": Fault(HTTPStatus.SERVICE_UNAVAILABLE),
    "answer-lost": Fault(HTTPStatus.GATEWAY_TIMEOUT, forwarded=True),
}

every_sdk = pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)


def visit(who: str, tracks: int = 220) -> list[Call]:
    """One call of each type, and so many tracks that no SDK sends them with one request.

    Nothing of it costs a call to Gainsight: nobody says who the user is, nor his account.
    """
    integrations = {"Gainsight": False}
    calls: list[dict[str, Any]] = [
        {"type": "identify", "userId": who, "traits": {"plan": "Größe S", "logins": 7, "tags": ["a", "b"]}},
        {"type": "group", "userId": f"{who}-2", "groupId": "g", "traits": {"size": 9}, "integrations": integrations},
        {"type": "page", "userId": who, "category": "Docs", "name": "API", "properties": {"title": "API · Docs"}},
        {"type": "screen", "anonymousId": f"{who}-phone", "name": "Start", "properties": {"tab": 2}},
        {"type": "alias", "userId": who, "previousId": f"{who}-before"},
    ]
    for number in range(tracks):
        properties = {"number": number, "price": 19.99, "deep": {"list": [1, None, "ü"]}}
        calls.append({"type": "track", "userId": who, "event": "Report Viewed", "properties": properties})
    return [{**call, "messageId": f"{who}-{number}"} for number, call in enumerate(calls)]


@every_sdk
def test_every_call_arrives_once(sdk: ServerSdk, system: System, who: str, elsewhere: Path) -> None:
    """With nothing but its host set, all that an SDK is told arrives as it was told; it reaches for no other host."""
    arrivals, calls = Arrivals(system), visit(who)
    sent = sdk.send(calls, elsewhere, write_key=WRITE_KEY, url=system.ingest_url)
    assert (sent.code, sent.elsewhere) == (0, []), sent.words
    arrivals.check(calls)


@every_sdk
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost_to_a_fault(sdk: ServerSdk, fault: Fault, system: System, who: str, elsewhere: Path) -> None:
    """What was refused for a while is sent again and arrives; what was stored already counts once."""
    arrivals, calls = Arrivals(system), visit(who)
    with fault_proxy(system.ingest_url, fault) as proxy:
        sent = sdk.send(calls, elsewhere, write_key=WRITE_KEY, url=proxy.url)
    assert (sent.code, sent.elsewhere) == (0, []), sent.words
    arrivals.check(calls, repeated=fault.forwarded)
    assert [passed.status for passed in proxy.posts() if passed.status != HTTPStatus.OK] == [fault.status]


@pytest.mark.parametrize("name", ["python-2.4", "node-3"])
def test_a_wait_is_obeyed(name: str, system: System, who: str, elsewhere: Path) -> None:
    """The SDKs that read Retry-After wait as long as it says."""
    arrivals, calls = Arrivals(system), visit(who, tracks=0)
    with fault_proxy(system.ingest_url, FAULTS["429"]) as proxy:
        sent = SDKS[name].send(calls, elsewhere, write_key=WRITE_KEY, url=proxy.url)
    assert (sent.code, sent.elsewhere) == (0, []), sent.words
    arrivals.check(calls)
    refused, again = proxy.posts()
    assert again.at_seconds - refused.at_seconds >= 1


def test_a_source_over_its_limit(system: System, who: str, elsewhere: Path) -> None:
    """The server's own 429 is understood: what is more than a source may send in a second arrives a little later."""
    arrivals, calls = Arrivals(system), visit(who, tracks=40)
    with fault_proxy(system.ingest_url) as proxy:
        sent = SDKS["node-3"].send(calls, elsewhere, write_key=LIMITED_WRITE_KEY, url=proxy.url)
    assert (sent.code, sent.elsewhere) == (0, []), sent.words
    arrivals.check(calls)
    assert {passed.status for passed in proxy.posts()} == {HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS}


@every_sdk
def test_the_three_calls_reach_their_companies(sdk: ServerSdk, system: System, who: str, elsewhere: Path) -> None:
    """identify with accountId, track with accountId and group: each ends on the Company it names."""
    one, two, three = [row for row in system.rows("company") if len(row["SfdcAccountId"]) == 18][:3]
    email, size = f"{who}@example.com", int(who[1:7], 16)
    calls: list[Call] = [
        {"type": "identify", "userId": f"{who}-1", "traits": {"email": email, "accountId": one["SfdcAccountId"]}},
        {"type": "track", "userId": f"{who}-1", "event": "After Identify"},
        {"type": "track", "userId": f"{who}-2", "event": "Told", "properties": {"accountId": two["SfdcAccountId"]}},
        {"type": "group", "userId": f"{who}-3", "groupId": three["SfdcAccountId"], "traits": {"employees": size}},
        {"type": "track", "userId": f"{who}-3", "event": "After Group"},
    ]
    calls = [{**call, "messageId": f"{who}-{number}"} for number, call in enumerate(calls)]
    arrivals = Arrivals(system)
    sent = sdk.send(calls, elsewhere, write_key=WRITE_KEY, url=system.ingest_url)
    assert (sent.code, sent.elsewhere) == (0, []), sent.words
    arrivals.check(calls)
    rows = [row for row in system.rows("Segment_Event__gc") if row["User_Id__gc"].startswith(who)]
    assert sorted((row["Event_Name__gc"], row["Company_Id__gc"]) for row in rows) == [
        ("After Group", three["Gsid"]),
        ("After Identify", one["Gsid"]),
        ("Told", two["Gsid"]),
    ]
    (person,) = [row for row in system.rows("person") if row["Email"] == email]
    (link,) = [row for row in system.rows("company_person") if row["Person_ID"] == person["Gsid"]]
    assert link["Company_ID"] == one["Gsid"]
    assert next(row for row in system.rows("company") if row["Gsid"] == three["Gsid"])["Employees"] == size


@pytest.mark.parametrize("name", ["python-2.4", "node-3"])
def test_a_foreign_host_is_noticed(name: str, elsewhere: Path) -> None:
    """An SDK that is not told of our host reaches for Segment's, which is seen: the tests above can fail."""
    sdk = SDKS[name]
    giving_up = {"max_retries": 0} if sdk.group else {"maxRetries": 0}
    sent = sdk.send(visit("nobody", tracks=0), elsewhere, write_key=WRITE_KEY, **giving_up)
    assert sent.code == 1
    assert set(sent.elsewhere) == {"api.segment.io"}
