"""The sandbox lets in who Gainsight lets in: the Access Key, or a Bearer token got with client credentials."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY, DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox
from gainsight_destination.testing import ManualClock

PING = "/v1.0/api/people"
TOKEN = "/v1/users/m2m/oauth/token"
OTHER_KEY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def nobody(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client without any key."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        yield client


def basic(key: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


async def get_token(client: httpx.AsyncClient) -> str:
    answer = await client.post(
        TOKEN, data={"grant_type": "client_credentials"}, headers=basic(DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET)
    )
    assert answer.status_code == 200
    return str(answer.json()["access_token"])


@pytest.mark.parametrize("name", ["accesskey", "Accesskey", "AccessKey"])
async def test_the_key_opens_under_any_spelling_of_its_header(nobody: httpx.AsyncClient, name: str) -> None:
    """HTTP header names have no case."""
    answer = await nobody.get(PING, headers={name: DEMO_ACCESS_KEY})
    assert (answer.status_code, answer.json()["result"]) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accesskey": OTHER_KEY},
        {"accesskey": ""},
        {"accesskey": DEMO_ACCESS_KEY.upper()},
        {"authorization": "Bearer " + OTHER_KEY},
        {"authorization": "Bearer"},
        {"authorization": DEMO_ACCESS_KEY},
    ],
)
async def test_without_the_key_nothing_opens(nobody: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """401 GS_APIG_2401 with the text twice and without data, as the gateway answers."""
    answer = await nobody.get(PING, headers=headers)
    body = answer.json()
    assert (answer.status_code, body["errorCode"], body["result"]) == (401, "GS_APIG_2401", False)
    assert body["errorDesc"] == body["message"] == "Unauthorized"
    assert "data" not in body


async def test_the_other_form_of_the_refusal(nobody: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The switch auth_fault answers as the object API is documented: 400 GSOBJ_1024."""
    await sandbox.control("PUT", "switches", {"auth_fault": "400"})
    answer = await nobody.get(PING)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1024")


async def test_another_key_can_be_set(tmp_path: Path) -> None:
    """A sandbox started with a key of its own refuses the demo key."""
    async with running_sandbox(tmp_path / "other.db", access_key=OTHER_KEY) as sandbox, sandbox.client() as client:
        assert (await client.get(PING)).status_code == 200
        assert (await client.get(PING, headers={"accesskey": DEMO_ACCESS_KEY})).status_code == 401


async def test_a_token_holds_for_a_day(nobody: httpx.AsyncClient, clock: ManualClock) -> None:
    """A Bearer token opens until 86,400 seconds have passed, not longer."""
    bearer = {"Authorization": f"Bearer {await get_token(nobody)}"}
    clock.advance(86_399)
    assert (await nobody.get(PING, headers=bearer)).status_code == 200
    clock.advance(1)
    assert (await nobody.get(PING, headers=bearer)).status_code == 401


async def test_a_wrong_key_beside_a_good_token_is_refused(nobody: httpx.AsyncClient) -> None:
    """A token is for calls without an accesskey header."""
    token = await get_token(nobody)
    answer = await nobody.get(PING, headers={"Authorization": f"Bearer {token}", "accesskey": OTHER_KEY})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (basic(DEMO_OAUTH_KEY, "wrong"), {"grant_type": "client_credentials"}, 401),
        (basic("wrong", DEMO_OAUTH_SECRET), {"grant_type": "client_credentials"}, 401),
        ({}, {"grant_type": "client_credentials"}, 401),
        ({"Authorization": "Basic ???"}, {"grant_type": "client_credentials"}, 401),
        (basic(DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET), {"grant_type": "password"}, 400),
        (basic(DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET), {}, 400),
    ],
)
async def test_no_token_without_credentials(
    nobody: httpx.AsyncClient, headers: dict[str, str], body: dict[str, str], status: int
) -> None:
    """Key, secret and grant type must all be right."""
    assert (await nobody.post(TOKEN, data=body, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "GS_APIG_1000"),
        ("POST", "/", 404, "GS_APIG_1000"),
        ("DELETE", "/v1/peoplemgmt/v1.0/people", 404, "GS_APIG_1000"),
        ("PATCH", "/v1/data/objects/Company", 400, "GSOBJ_1023"),
        ("GET", "/v1/data/objects/query/Company", 400, "GSOBJ_1023"),
        ("PUT", "/v1/data/objects/Company/" + "A" * 36, 400, "GSOBJ_1023"),
    ],
)
async def test_unknown_paths_and_methods(
    sandbox: RunningSandbox, method: str, path: str, status: int, code: str
) -> None:
    """The gateway knows no such route; the object API calls it an invalid API."""
    async with sandbox.client() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
