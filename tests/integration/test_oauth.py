"""Machine-to-machine OAuth in place of the Access Key: tokens come, are replaced in time, and cost what they cost."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import Delivery, delivery_at_sandbox
from tests.support.pipeline import identify, track

from gainsight_destination.destinations.gainsight.check import check_tenant
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.sandbox.tenant import DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET

TOKEN = "/v1/users/m2m/oauth/token"
OAUTH = {"clientId": DEMO_OAUTH_KEY, "clientSecret": DEMO_OAUTH_SECRET}


async def deliver(delivery: Delivery, name: str) -> dict[str, Any]:
    delivery.send(identify(name, {"email": f"{name}@x.test"}))
    await delivery.drain()
    return await delivery.books()


async def tokens(delivery: Delivery) -> int:
    return [path for _, path, _ in await delivery.writes()].count(TOKEN)


async def test_one_token_serves_until_it_ends(tmp_path: Path) -> None:
    """A token is got once, counted in our share, and replaced before its end, so that no call is refused."""
    async with delivery_at_sandbox(tmp_path, **OAUTH) as delivery:
        await delivery.sandbox.control("PUT", "switches", {"token_seconds": 3600})
        await deliver(delivery, "ana")
        await deliver(delivery, "ben")
        assert await tokens(delivery) == 1
        delivery.clock.advance(3301)
        books = await deliver(delivery, "cleo")
        assert await tokens(delivery) == 2
        calls = await delivery.sandbox.calls()
        assert {call["status"] for call in calls} == {200}
        assert (books["delivered"], books["calls"]["total"]) == (3, len(calls))
        assert DEMO_OAUTH_SECRET not in repr(delivery.destination.settings)  # type: ignore[attr-defined]


async def test_a_revoked_token_is_replaced_and_nothing_pauses(tmp_path: Path) -> None:
    """A token that ends before its time costs one refused call; an insert that met it is made once."""
    async with delivery_at_sandbox(tmp_path, **OAUTH) as delivery:
        await deliver(delivery, "ana")
        delivery.clock.advance(60)
        await delivery.sandbox.control("DELETE", "tokens")
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(track("ana", messageId="m1", properties={"accountId": account}))
        await delivery.drain()
        books = await delivery.books()
        assert (books["state"], books["delivered"], books["pauses"]) == ("running", 2, [])
        assert [call["status"] for call in await delivery.sandbox.calls()].count(401) == 1
        assert len(await delivery.rows("Segment_Event__gc")) == 1


async def test_a_token_that_is_refused_when_new_pauses(tmp_path: Path) -> None:
    """401 for a fresh token is no question of its age: the destination pauses as for a key, and loses nothing."""
    async with delivery_at_sandbox(tmp_path, **OAUTH) as delivery:
        await delivery.sandbox.control("PUT", "faults", [{"fault": "unauthorized", "match": {"path": "/v1/meta/*"}}])
        delivery.send(identify("ana", {"email": "ana@x.test"}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        books = await delivery.books()
        assert (books["state"], books["pending"]) == ("paused", 1)
        assert "Gainsight refuses the Access Key or OAuth token" in books["pauses"][0]["reason"]
        assert await tokens(delivery) == 1
        await delivery.sandbox.control("PUT", "faults", [])
        await delivery.step_until(minutes=6)
        assert (await delivery.books())["delivered"] == 1


@pytest.mark.parametrize(
    ("settings", "fault", "says"),
    [
        ({"clientSecret": "wrong"}, None, "Gainsight gives no OAuth token for this clientId and clientSecret"),
        ({}, "404", "this domain gives no OAuth tokens"),
        ({}, "forbidden-ip", "refuses this server's IP address"),
    ],
)
async def test_without_a_token_it_pauses_and_check_says_why(
    tmp_path: Path, settings: dict[str, Any], fault: str | None, says: str
) -> None:
    """No token: no other call is made, the whole destination waits, and both `status` and `check` say what is wrong."""
    async with delivery_at_sandbox(tmp_path, **OAUTH | settings) as delivery:
        if fault is not None:
            await delivery.sandbox.control("PUT", "faults", [{"fault": fault, "match": {"path": TOKEN}}])
        delivery.send(identify("ana", {"email": "ana@x.test"}))
        await delivery.resolve()
        await delivery.step_until(minutes=1)
        books = await delivery.books()
        assert (books["state"], books["pending"], books["dead"]) == ("paused", 1, 0)
        assert says in books["pauses"][0]["reason"]
        assert {call["path"] for call in await delivery.sandbox.calls()} == {TOKEN}
        destination = delivery.destination
        assert isinstance(destination, GainsightDestination)
        report = await check_tenant(destination.settings, delivery.worker._calls)
        assert not report.connected
        assert says in report.findings[0].what_to_do
        for secret in ("wrong", DEMO_OAUTH_SECRET):
            assert secret not in report.findings[0].what_to_do


async def test_trouble_at_the_token_endpoint_backs_off(tmp_path: Path) -> None:
    """5xx for a token is trouble like any other: tried again by itself, nothing paused."""
    async with delivery_at_sandbox(tmp_path, **OAUTH) as delivery:
        faults = [{"fault": fault, "match": {"path": TOKEN}, "times": 1} for fault in ("503", "truncated-json", "500")]
        await delivery.sandbox.control("PUT", "faults", faults)
        books = await deliver(delivery, "ana")
        assert (books["delivered"], books["pauses"], await tokens(delivery)) == (1, [], 4)
