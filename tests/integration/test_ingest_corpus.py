"""Every request of tests/data/ingest, sent to the real port: the answer, and what the log holds afterwards."""

import base64
import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support.ingest import NOW_MS, running_ingest

from gainsight_destination.eventlog.contract import Entry, EntryKind

CORPUS = Path(__file__).parent.parent / "data" / "ingest"


def cases(file: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load((CORPUS / file).read_text("utf-8"))]


def body_of(case: dict[str, Any]) -> bytes:
    times = case.get("times", 0)
    repeated = case.get("repeat", "") * times + case.get("then", "") + case.get("mirror", "") * times
    return (case["body"] + repeated + case.get("after", "")).encode()


def request_of(case: dict[str, Any], url: str) -> httpx.Request:
    headers = dict(case.get("headers", {}))
    if "auth" in case:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{case['auth']}:".encode()).decode()
    body = body_of(case)
    content = gzip.compress(body) if case.get("gzip") else body
    return httpx.Request(case.get("method", "POST"), url + case["path"], headers=headers, content=content)


@pytest.mark.parametrize("case", cases("accepted.yaml"))
async def test_an_accepted_request_is_in_the_log(case: dict[str, Any], tmp_path: Path) -> None:
    """200 with exactly {"success":true}, and the entry as the case says."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient() as client:
        answer = await client.send(request_of(case, ingest.url))
        expected = [
            Entry(source, EntryKind[kind], NOW_MS, count, body[0].encode() if body else body_of(case))
            for source, kind, count, *body in case["log"]
        ]
        assert (answer.status_code, answer.content) == (200, b'{"success":true}')
        assert answer.headers["content-type"] == "application/json"
        assert ingest.entries() == expected


@pytest.mark.parametrize("case", cases("refused.yaml"))
async def test_a_refused_request_leaves_nothing(case: dict[str, Any], tmp_path: Path) -> None:
    """400 with a JSON object that every SDK can read, and an empty log."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient() as client:
        answer = await client.send(request_of(case, ingest.url))
        assert answer.status_code == 400
        refusal = answer.json()
        assert set(refusal) == {"success", "error", "code", "message"}
        assert (refusal["success"], refusal["code"]) == (False, "invalid_request")
        assert refusal["error"] == refusal["message"]
        assert refusal["message"].startswith(case["message"])
        assert ingest.log.end() == 0
