"""The sandbox's two endpoints that take messages: the classic clickstream and the Events Framework."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.tenant import DEMO_SHARED_SECRET, DEMO_TENANT_ID
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox

CLICKSTREAM = "/clickstream/segmentio/event"
EVENTS = "/v1.0/api/eventManager/event"
PUBLISHER = {
    "sharedSecret": DEMO_SHARED_SECRET,
    "tenantId": DEMO_TENANT_ID,
    "topicName": "Product Usage",
    "eventName": "ReportViewed",
    "eventVersion": "v01",
}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db") as running:
        yield running


async def test_the_clickstream_keeps_messages_as_they_came(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """200 with result true and nothing more; the message is stored whole."""
    message = {"type": "track", "userId": "u", "event": "Report Viewed", "properties": {"a": [1, None, "é"]}}
    answer = await api.post(CLICKSTREAM, json=message)
    assert (answer.status_code, answer.json()) == (200, {"result": True})
    assert (await sandbox.control("GET", "state"))["clickstream"]["messages"] == [message]


async def test_the_clickstream_remembers_accounts(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Learned from identify and group, the last word counts; track teaches nothing."""
    messages: list[dict[str, Any]] = [
        {"type": "identify", "userId": "a", "traits": {"accountId": "one"}},
        {"type": "group", "userId": "a", "groupId": "two"},
        {"type": "identify", "userId": "a", "traits": {}},
        {"type": "group", "userId": 7, "groupId": 555},
        {"type": "track", "userId": "b", "properties": {"accountId": "three"}},
    ]
    for message in messages:
        assert (await api.post(CLICKSTREAM, json=message)).status_code == 200
    assert (await sandbox.control("GET", "state"))["clickstream"]["accounts"] == {"7": "555", "a": "two"}


async def test_the_clickstream_needs_the_key(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """401 without it, and nothing is stored."""
    answer = await api.post(CLICKSTREAM, json={"type": "track"}, headers={"accesskey": "wrong"})
    assert answer.status_code == 401
    assert (await sandbox.control("GET", "state"))["clickstream"]["messages"] == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'"text"'])
async def test_the_clickstream_takes_json_objects_only(api: httpx.AsyncClient, content: bytes) -> None:
    """Anything else is refused."""
    assert (await api.post(CLICKSTREAM, content=content)).status_code == 400


async def test_the_clickstream_costs_no_quota(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """It was another host, with no documented limit."""
    await api.post(CLICKSTREAM, json={"type": "track"})
    assert (await sandbox.control("GET", "quota"))["minutes"] == []


async def test_a_trigger_is_published(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The shared secret is enough; the event is kept with its topic, and no object gets a row."""
    before = (await sandbox.control("GET", "state"))["objects"]
    answer = await api.post(EVENTS, json={"report": "MRR"}, headers={**PUBLISHER, "accesskey": "wrong"})
    assert (answer.status_code, answer.json()["result"]) == (200, True)
    state = await sandbox.control("GET", "state")
    (published,) = state["published_events"]
    assert (published["topic_name"], published["event_name"], published["body"]) == (
        "Product Usage",
        "ReportViewed",
        {"report": "MRR"},
    )
    assert state["objects"] == before


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sharedSecret": "wrong"}, 401),
        ({"tenantId": "wrong"}, 401),
        ({"eventName": "Nothing"}, 400),
        ({"eventVersion": "v02"}, 400),
        ({"topicName": "Another"}, 400),
    ],
)
async def test_a_publisher_must_be_known(api: httpx.AsyncClient, changed: dict[str, str], status: int) -> None:
    """A wrong secret or tenant is 401, an event that was not set up 400."""
    assert (await api.post(EVENTS, json={}, headers=PUBLISHER | changed)).status_code == status


async def test_events_are_set_up_by_control(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The topic of a call may be left out."""
    topics = [{"topic_name": "T", "event_name": "E", "event_version": "v09"}]
    assert await sandbox.control("PUT", "topics", topics) == topics
    headers = {name: value for name, value in PUBLISHER.items() if name != "topicName"}
    answer = await api.post(EVENTS, json={}, headers=headers | {"eventName": "E", "eventVersion": "v09"})
    assert answer.status_code == 200
    assert (await api.post(EVENTS, json={}, headers=PUBLISHER)).status_code == 400
