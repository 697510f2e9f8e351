"""The engine stands still while messages come: senders are told to wait, everybody is told why, and nothing is lost."""

import os
import signal
from collections.abc import Callable

import httpx
from tests.support.system import WRITE_KEY, System, wait_until

from gainsight_destination.ingest.levels import read_refused

BACKLOG_BYTES = 20_000
MESSAGES = 40


def test_senders_wait_for_an_engine_that_stands_still(make_system: Callable[..., System]) -> None:
    """429 past the mark; /health, `status` and the metrics say so; with the engine all goes on by itself."""
    system = make_system(environment={"GAINSIGHT_DESTINATION_MAX_BACKLOG_GB": str(BACKLOG_BYTES / 1e9)})
    engine = system.engine_pid()
    assert engine is not None
    stored = 0

    def post() -> int:
        nonlocal stored
        message = {"userId": "u", "event": "E", "messageId": f"m{stored}", "properties": {"pad": "x" * 1_000}}
        answer = client.post("/v1/track", json=message)
        stored += answer.status_code == 200
        return answer.status_code

    with httpx.Client(base_url=system.ingest_url, auth=(WRITE_KEY, ""), trust_env=False) as client:
        assert post() == 200
        wait_until(lambda: system.status_in_files()["log"]["unread"] == 0, "the engine to read")
        os.kill(engine, signal.SIGSTOP)
        try:
            for _ in range(MESSAGES):
                post()
            wait_until(lambda: post() == 429, "messages to be refused")
            health = client.get("/health")
            assert health.status_code == 503
            assert "all messages are refused since" in health.text
            assert "--max-backlog-gb" in health.text
            said = system.cli("status", "--data", str(system.data))
            assert said.startswith("All messages are refused since ")
            assert system.status_in_files()["log"]["unreadBytes"] > BACKLOG_BYTES
        finally:
            os.kill(engine, signal.SIGCONT)
        wait_until(lambda: post() == 200, "messages to be taken again")
        wait_until(lambda: client.get("/health").status_code == 200, "the public port to be well")
        wait_until(lambda: read_refused(system.data)["everything"] is None, "status to say so")
        refused = httpx.get(f"{system.console_url}/metrics", trust_env=False).text
        assert 'ingest_refused_total{reason="backlog",source=""}' in refused
        wait_until(lambda: system.status_in_files()["sources"]["website"]["accepted"] == stored, "all to be resolved")
