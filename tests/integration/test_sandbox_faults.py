"""The sandbox fails on purpose: each fault does to a call what its name says, and only to the calls it is for."""

import asyncio
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox
from gainsight_destination.testing import ManualClock

EVENTS = "/v1/data/objects/Segment_Event__gc"
BODY = {"records": [{"Message_Id__gc": "m"}]}


async def written(sandbox: RunningSandbox) -> int:
    return len(await sandbox.rows("Segment_Event__gc"))


async def sleeping(clock: ManualClock) -> None:
    """Wait until a call is held."""
    while not clock.sleepers:  # noqa: ASYNC110 - a call over a real socket takes real time
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("429", 429, "GU_2400"),
        ("429-apig", 429, "GS_APIG_2404"),
        ("500", 500, "GU_1101"),
        ("result-false", 200, "GU_1101"),
        ("unauthorized", 401, "GS_APIG_2401"),
        ("forbidden-ip", 403, "GS_APIG_2402"),
        ("400", 400, "GSOBJ_1007"),
        ("403", 403, None),
        ("404", 404, "GS_APIG_1000"),
    ],
)
async def test_faults_with_an_envelope(
    api: httpx.AsyncClient, sandbox: RunningSandbox, fault: str, status: int, code: str | None
) -> None:
    """These answer with Gainsight's own error, and the call does nothing."""
    await sandbox.control("PUT", "faults", [{"fault": fault}])
    answer = await api.post(EVENTS, json=BODY)
    assert (answer.status_code, answer.json()["result"], answer.json()["errorCode"]) == (status, False, code)
    assert "retry-after" not in answer.headers
    assert await written(sandbox) == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [("408", 408), ("413", 413), ("502", 502), ("503", 503), ("504", 504), ("not-json", 200)],
)
async def test_faults_of_something_in_between(
    api: httpx.AsyncClient, sandbox: RunningSandbox, fault: str, status: int
) -> None:
    """A gateway answers with HTML, and the call does nothing."""
    await sandbox.control("PUT", "faults", [{"fault": fault}])
    answer = await api.post(EVENTS, json=BODY)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, "text/html")
    assert answer.text.startswith("<html>")
    assert await written(sandbox) == 0


async def test_a_redirect(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A 302 with a location, and the call does nothing."""
    await sandbox.control("PUT", "faults", [{"fault": "redirect"}])
    answer = await api.post(EVENTS, json=BODY)
    assert answer.status_code == 302
    assert answer.headers["location"]
    assert await written(sandbox) == 0


async def test_truncated_json_does_the_work(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The row is written; of the answer only the first half comes."""
    await sandbox.control("PUT", "faults", [{"fault": "truncated-json"}])
    answer = await api.post(EVENTS, json=BODY)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert await written(sandbox) == 1


@pytest.mark.parametrize(("fault", "rows"), [("disconnect-before", 0), ("disconnect-after", 1)])
async def test_a_disconnect_loses_the_answer_at_once(
    api: httpx.AsyncClient, sandbox: RunningSandbox, fault: str, rows: int
) -> None:
    """The connection closes without an answer, before or after the row was written; the next call is answered."""
    await sandbox.control("PUT", "faults", [{"fault": fault, "times": 1}])
    with pytest.raises(httpx.RemoteProtocolError):
        await api.post(EVENTS, json=BODY)
    assert await written(sandbox) == rows
    assert (await api.post(EVENTS, json=BODY)).status_code == 200


@pytest.mark.parametrize(("fault", "rows"), [("timeout-before-commit", 0), ("timeout-after-commit", 1)])
async def test_a_timeout_holds_the_connection(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock, fault: str, rows: int
) -> None:
    """The connection stays open for `hold_seconds` of the sandbox's clock, then closes without an answer."""
    await sandbox.control("PUT", "faults", {"rules": [{"fault": fault}], "hold_seconds": 10})
    call = asyncio.create_task(api.post(EVENTS, json=BODY))
    await sleeping(clock)
    assert await written(sandbox) == rows
    clock.advance(9.9)
    await asyncio.sleep(0.02)
    assert not call.done()
    clock.advance(0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        await call


async def test_a_timeout_ends_when_the_caller_gives_up(
    api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock
) -> None:
    """A caller whose own timeout is shorter leaves nothing behind."""
    await sandbox.control("PUT", "faults", [{"fault": "timeout-after-commit"}])
    with pytest.raises(httpx.ReadTimeout):
        await api.post(EVENTS, json=BODY, timeout=0.2)
    while clock.sleepers:  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0.005)
    assert await written(sandbox) == 1


async def test_slow_answers_late(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """The work is done and the answer comes `seconds` later."""
    await sandbox.control("PUT", "faults", [{"fault": "slow", "seconds": 3}])
    call = asyncio.create_task(api.post(EVENTS, json=BODY))
    await sleeping(clock)
    clock.advance(3)
    assert (await call).json()["result"] is True


@pytest.mark.parametrize(
    ("match", "times", "failed"),
    [
        ({}, None, [1, 2, 3, 4, 5, 6]),
        ({}, 2, [1, 2]),
        ({"nth": 3}, None, [3]),
        ({"every": 2}, None, [2, 4, 6]),
        ({"every": 2}, 2, [2, 4]),
        ({"from": 2, "to": 4}, None, [2, 3, 4]),
        ({"method": "PUT"}, None, []),
        ({"method": "post"}, None, [1, 2, 3, 4, 5, 6]),
        ({"path": "/v1/data/objects/*"}, None, [1, 2, 3, 4, 5, 6]),
        ({"path": "*/Company"}, None, []),
        ({"probability": 0.0}, None, []),
        ({"probability": 1.0}, None, [1, 2, 3, 4, 5, 6]),
    ],
)
async def test_which_calls_a_rule_is_for(
    api: httpx.AsyncClient, sandbox: RunningSandbox, match: dict[str, Any], times: int | None, failed: list[int]
) -> None:
    """`nth`, `every`, `from` and `to` count the calls of the rule's method and path; `times` ends it."""
    await sandbox.control("PUT", "faults", [{"match": match, "fault": 500, "times": times}])
    answers = [(await api.post(EVENTS, json=BODY)).status_code for _ in range(6)]
    assert [number for number, status in enumerate(answers, 1) if status == 500] == failed
    (rule,) = (await sandbox.control("GET", "faults"))["rules"]
    assert rule["fired"] == len(failed)


async def test_chance_repeats_with_its_seed(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The same seed fails the same calls; another one others."""

    async def run(seed: int) -> list[int]:
        await sandbox.control("PUT", "faults", [{"match": {"probability": 0.5, "seed": seed}, "fault": "500"}])
        return [(await api.post(EVENTS, json=BODY)).status_code for _ in range(20)]

    first, again, other = await run(1), await run(1), await run(2)
    assert first == again
    assert first != other
    assert {200, 500} == set(first)


async def test_the_first_rule_that_fires_decides(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Rules are tried in order, and each counts for itself."""
    await sandbox.control("PUT", "faults", [{"match": {"nth": 2}, "fault": "503"}, {"fault": "500"}])
    assert [(await api.post(EVENTS, json=BODY)).status_code for _ in range(3)] == [500, 503, 500]


@pytest.mark.parametrize(
    "faults", [[{"fault": "explode"}], [{}], [{"fault": "500", "match": {"nth": 0}}], {"rule": []}, "x", 7]
)
async def test_rules_that_make_no_sense_are_refused(sandbox: RunningSandbox, faults: object) -> None:
    """A wrong rule is told, and the rules stay as they were."""
    await sandbox.control("PUT", "faults", [{"fault": "500"}])
    with pytest.raises(httpx.HTTPStatusError):
        await sandbox.control("PUT", "faults", faults)
    assert [rule["fault"] for rule in (await sandbox.control("GET", "faults"))["rules"]] == ["500"]


async def test_a_lost_call_stands_in_the_log(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The log shows the fault, and the answer that the call would have got."""
    await sandbox.control("PUT", "faults", [{"fault": "disconnect-after"}])
    with pytest.raises(httpx.RemoteProtocolError):
        await api.post(EVENTS, json=BODY)
    (call,) = await sandbox.calls()
    assert (call["fault"], call["method"], call["path"]) == ("disconnect-after", "POST", EVENTS)
    assert '"result":true' in call["response_body"]
