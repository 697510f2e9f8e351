"""What the public port answers besides messages: browsers' questions, health, wrong paths, and trouble."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from tests.support.ingest import WEBSITE, FullLog, running_ingest

from gainsight_destination.errors import StorageFullError, UnavailableError
from gainsight_destination.eventlog.contract import Entry
from gainsight_destination.runtime.testing import write_sources
from gainsight_destination.workspace.model import Source

AUTH = ("website-key", "")
ORIGIN = {"Origin": "https://app.acme.test"}


async def test_browsers_may_ask_first(tmp_path: Path) -> None:
    """A preflight is answered 200 for any origin, with the headers it asks for."""
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own,authorization"}
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        answer = await client.options("/v1/track", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.acme.test"
        assert answer.headers["access-control-allow-headers"] == "x-own,authorization"
        assert "POST" in answer.headers["access-control-allow-methods"]
        plain = await client.options("/v1/track", headers=ORIGIN)
        for name in ("Authorization", "Content-Type", "X-Retry-Count"):
            assert name in plain.headers["access-control-allow-headers"]


async def test_browsers_may_read_every_answer(tmp_path: Path) -> None:
    """Successes and refusals name the origin and expose what tells when to try again."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        for content in (b"{}", b"{"):
            answer = await client.post("/v1/track", content=content, auth=AUTH, headers=ORIGIN)
            assert answer.headers["access-control-allow-origin"] == "https://app.acme.test"
            assert answer.headers["access-control-expose-headers"] == "Retry-After, X-RateLimit-Reset"
            assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-origin" not in (await client.post("/v1/track", auth=AUTH, content=b"{}")).headers


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/tracks", "/metrics", "/v1/track/x", "/v2/track"])
async def test_other_paths_are_404_and_never_a_redirect(path: str, tmp_path: Path) -> None:
    """A wrong path is said in the one shape of errors."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient() as client:
        answer = await client.post(ingest.url + path, content=b"{}", auth=AUTH)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.json()["success"] is False


async def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    """200 while all is well, else 503 and the reasons in words."""
    reasons: list[str] = []

    def unwell() -> Sequence[str]:
        return reasons

    async with running_ingest(tmp_path, unwell=unwell) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        well = await client.get("/health")
        assert (well.status_code, well.json()) == (200, {"status": "ok"})
        reasons.append("the engine is not running")
        ill = await client.get("/health")
        assert (ill.status_code, ill.json()) == (503, {"status": "unwell", "reasons": ["the engine is not running"]})


async def test_a_full_disk_is_503_and_recovers_by_itself(tmp_path: Path) -> None:
    """Nothing of a refused request is stored, nothing acknowledged is lost, and space alone ends the trouble."""
    log = FullLog(tmp_path / "log.db")
    body = b'{"batch":["' + b"x" * 100_000 + b'"]}'
    async with running_ingest(tmp_path, log=log) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        assert (await client.post("/v1/batch", content=body, auth=AUTH)).status_code == 200
        log.fill()
        refused = await client.post("/v1/batch", content=body, auth=AUTH)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"]
        assert int(refused.headers["retry-after"]) > 0
        assert (refused.json()["success"], refused.json()["code"]) == (False, "unavailable")
        assert "disk is full" in refused.json()["message"]
        assert ingest.commits.failure is not None
        assert log.end() == 1
        log.empty()
        assert (await client.post("/v1/batch", content=body, auth=AUTH)).status_code == 200
        assert ingest.commits.failure is None
        assert [entry.body for entry in ingest.entries()] == [body, body]


async def test_too_much_waiting_is_503(tmp_path: Path) -> None:
    """Past its watermark the port pushes back instead of filling memory."""
    async with (
        running_ingest(tmp_path, max_queued_bytes=600) as ingest,
        httpx.AsyncClient(base_url=ingest.url) as client,
    ):
        answer = await client.post("/v1/track", content=b'{"a":"' + b"x" * 100 + b'"}', auth=AUTH)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.post("/v1/track", content=b"{}", auth=AUTH)).status_code == 200
        assert log_bodies(ingest.entries()) == [b"{}"]


def log_bodies(entries: Sequence[Entry]) -> list[bytes]:
    return [entry.body for entry in entries]


async def test_a_bug_is_a_500_in_the_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks, the sender gets JSON and keeps its message."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        monkeypatch.setattr(ingest.sources, "source_of", lambda _: 1 / 0)
        answer = await client.post("/v1/track", content=b"{}", auth=AUTH)
        assert (answer.status_code, answer.json()["success"]) == (500, False)
        assert ingest.log.end() == 0


async def test_a_changed_configuration_counts_without_a_restart(tmp_path: Path) -> None:
    """A source that was added is known after the next look, one that was disabled as well."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        await client.post("/v1/track", content=b"{}", auth=("new-key", ""))
        write_sources(
            tmp_path / "state.db", [Source(1, "website", "website-key", enabled=False), Source(7, "n", "new-key")]
        )
        await asyncio.to_thread(ingest.sources.refresh)
        await client.post("/v1/track", content=b"{}", auth=("new-key", ""))
        await client.post("/v1/track", content=b"{}", auth=AUTH)
        assert [(entry.source_id, entry.kind.name) for entry in ingest.entries()] == [
            (0, "UNKNOWN_SOURCE"),
            (7, "TRACK"),
            (1, "SOURCE_DISABLED"),
        ]


async def test_an_unreadable_configuration_keeps_the_last_known(tmp_path: Path) -> None:
    """While the database is away the known sources go on, and health can say why."""
    async with running_ingest(tmp_path) as ingest:
        (tmp_path / "state.db").rename(tmp_path / "away.db")
        ingest.sources.refresh()
        assert ingest.sources.source_of("website-key") == WEBSITE
        assert ingest.sources.failure is not None
        (tmp_path / "away.db").rename(tmp_path / "state.db")
        ingest.sources.refresh()
        assert ingest.sources.failure is None


async def test_an_unknown_configuration_refuses_rather_than_discards(tmp_path: Path) -> None:
    """Before the sources were ever read nobody is told 200 for a message that would be thrown away."""
    async with running_ingest(tmp_path) as ingest, httpx.AsyncClient(base_url=ingest.url) as client:
        ingest.sources._version = None
        assert (await client.post("/v1/track", content=b"{}", auth=AUTH)).status_code == 503
        assert ingest.log.end() == 0


async def test_stopping_finishes_what_is_under_way(tmp_path: Path) -> None:
    """A request that has begun when the server stops is still stored and answered."""
    async with running_ingest(tmp_path) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Basic d2Vic2l0ZS1rZXk6\r\n")
        writer.write(b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        await reader.readuntil(b"Continue\r\n\r\n")
        ingest.server.stop()
        writer.write(b"{}")
        assert b"200 OK" in await reader.read()
        writer.close()
        assert log_bodies(ingest.entries()) == [b"{}"]


def test_a_full_disk_is_a_kind_of_unavailable() -> None:
    """What answers 503 is one family of errors."""
    assert issubclass(StorageFullError, UnavailableError)
