"""What opens doors is never kept by the sandbox, wherever a caller puts it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

from gainsight_destination.sandbox.tenant import DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET, DEMO_SHARED_SECRET
from gainsight_destination.sandbox.testing import running_sandbox
from gainsight_destination.testing import ManualClock

KEY = "0f0f0f0f-1111-4222-8333-444444444444"


async def test_neither_file_nor_log_holds_a_secret(tmp_path: Path) -> None:
    """Access Key, token, OAuth secret and shared secret are in no table, also when sent in a path or a body."""
    path = tmp_path / "sandbox.db"
    async with running_sandbox(path, clock=ManualClock(), access_key=KEY) as sandbox:
        async with sandbox.client() as api:
            await api.get("/v1.0/api/people", params={"accesskey": KEY})
            await api.post("/v1/data/objects/Company", json={"records": [{"Nonsense": KEY}]})
            await api.post("/v1.0/api/eventManager/event", headers={"sharedSecret": DEMO_SHARED_SECRET}, json={})
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
            form = {"grant_type": "client_credentials"}
            answer = await stranger.post(
                "/v1/users/m2m/oauth/token", data=form, auth=(DEMO_OAUTH_KEY, DEMO_OAUTH_SECRET)
            )
            token = answer.json()["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            assert (await stranger.get("/v1.0/api/people", headers=headers)).status_code == 200
        calls = await sandbox.calls()
    with closing(sqlite3.connect(path)) as connection:
        kept = "\n".join(connection.iterdump())
    assert len(calls) == 5
    for secret in (KEY, token, DEMO_OAUTH_SECRET, DEMO_SHARED_SECRET):
        assert secret not in kept
        assert secret not in str(calls)
