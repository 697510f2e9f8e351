"""The sandbox's quota: fixed windows of the minute and the day, on its own clock."""

from typing import Any

import httpx

from gainsight_destination.sandbox.testing import RunningSandbox
from gainsight_destination.testing import START_MS, ManualClock

PING = "/v1.0/api/people"


async def ping(api: httpx.AsyncClient, times: int) -> list[int]:
    return [(await api.get(PING)).status_code for _ in range(times)]


async def test_a_hundred_calls_fit_into_a_minute(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """The 101st call of a clock minute is 429 GU_2400 without Retry-After; the next minute is fresh."""
    clock.advance(59)
    assert await ping(api, 100) == [200] * 100
    refused = await api.get(PING)
    assert (refused.status_code, refused.json()["errorCode"]) == (429, "GU_2400")
    assert "retry-after" not in refused.headers
    clock.advance(0.999)
    assert await ping(api, 1) == [429]
    clock.advance(0.001)
    assert await ping(api, 1) == [200]
    quota = await sandbox.control("GET", "quota")
    assert [(one["start_ms"], one["accepted"], one["refused"]) for one in quota["minutes"]] == [
        (START_MS, 100, 2),
        (START_MS + 60_000, 1, 0),
    ]
    assert (quota["accepted"], quota["refused"], quota["limits"]["minute"]) == (101, 2, 100)


async def test_the_day_is_a_utc_day(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """Past the day's calls everything is refused until midnight UTC."""
    await sandbox.control("PUT", "switches", {"calls_per_day": 3})
    assert await ping(api, 4) == [200, 200, 200, 429]
    clock.advance(86_399)
    assert await ping(api, 1) == [429]
    clock.advance(1)
    assert await ping(api, 1) == [200]


async def test_refused_calls_do_not_use_up_the_day(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """A throttled call counts as refused, and only so."""
    await sandbox.control("PUT", "switches", {"calls_per_minute": 1, "calls_per_day": 2})
    assert await ping(api, 5) == [200, 429, 429, 429, 429]
    clock.advance(60)
    assert await ping(api, 1) == [200]


async def test_switches_of_the_quota(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The throttle's code is a switch; null takes a limit off."""
    await sandbox.control("PUT", "switches", {"calls_per_minute": 1, "throttle_code": "GS_APIG_2404"})
    await ping(api, 1)
    assert (await api.get(PING)).json()["errorCode"] == "GS_APIG_2404"
    await sandbox.control("PUT", "switches", {"calls_per_minute": None})
    assert await ping(api, 150) == [200] * 150


async def test_a_throttled_write_does_nothing(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A call beyond the quota writes nothing."""
    await sandbox.control("PUT", "switches", {"calls_per_minute": 1})
    await ping(api, 1)
    answer = await api.post("/v1/data/objects/Company", json={"records": [{"Name": "x"}]})
    assert answer.status_code == 429
    assert len(await sandbox.rows("Company")) == 12


async def test_calls_without_the_key_cost_nothing(sandbox: RunningSandbox) -> None:
    """A stranger cannot use up the tenant's quota; looking inside costs nothing either."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
        assert (await stranger.get(PING)).status_code == 401
        assert (await stranger.get("/")).status_code == 200
    assert (await sandbox.control("GET", "quota"))["accepted"] == 0


async def test_imports_have_an_hour_of_their_own(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """Ten CSV imports fit into an hour, beside the other calls."""

    async def submit() -> int:
        parts: dict[str, Any] = {"jobId": (None, "segment-event"), "file": ("a.csv", b"Message_Id__gc\nm-1\n")}
        return (await api.post("/v1.0/admin/connector/job/bulkimport", files=parts)).status_code

    assert [await submit() for _ in range(11)] == [200] * 10 + [429]
    assert await ping(api, 1) == [200]
    clock.advance(3_600)
    assert await submit() == 200
