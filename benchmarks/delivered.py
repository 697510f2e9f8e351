"""From sending an event to its row in Gainsight, for the benchmark `latency`."""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.load import Ack, Load, Traffic, send
from benchmarks.messages import account_of
from benchmarks.processes import clients
from benchmarks.product import HOST, running_product, write_workspace
from gainsight_destination.events.account_ids import normalise_account_id
from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox_in_thread

EVENTS_PER_SECOND, FLUSH_SECONDS, USERS = 5, 5, 20
WAIT_SECONDS = 90.0
EVENTS = "/v1/data/objects/Segment_Event__gc"


def delivered_delays_ms(seconds: float) -> list[float]:
    """Of each event sent at a steady rate to a real `serve` that delivers to the sandbox."""
    with tempfile.TemporaryDirectory() as name, running_sandbox_in_thread(Path(name) / "sandbox.db") as sandbox:
        folder = Path(name)
        asyncio.run(seed(sandbox))
        settings = {"accessKey": sandbox.access_key, "domain": sandbox.url, "flushSeconds": FLUSH_SECONDS}
        write_workspace(folder, **settings)
        with running_product(folder) as product, clients() as client:
            product.wait_healthy()
            traffic = Traffic(1, USERS, templates=600, only_track=True)
            load = Load(2, seconds, EVENTS_PER_SECOND)
            acks = client.submit(send, HOST, product.ingest_port, traffic, load).result().acks
            written_ms = wait_for_rows(sandbox, acks)
    wall = time.time() - time.monotonic()
    return [written_ms[ack.number] - (ack.due + wall) * 1_000 for ack in acks]


async def seed(sandbox: RunningSandbox) -> None:
    """The Companies that the events point at."""
    accounts = [normalise_account_id(account_of(user)) for user in range(USERS)]
    companies = [{"Name": f"Company {account}", "SfdcAccountId": account} for account in accounts]
    await sandbox.control("POST", "companies", {"companies": companies})


def wait_for_rows(sandbox: RunningSandbox, acks: list[Ack]) -> dict[int, int]:
    """Number of each request -> when its event row was written, as the sandbox recorded it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        written_ms: dict[int, int] = {}
        for call in asyncio.run(sandbox.calls()):
            for message_id in rows_of(call):
                written_ms.setdefault(int(message_id[:8], 16), call["at_ms"])
        if written_ms.keys() >= {ack.number for ack in acks}:
            return written_ms
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(acks) - len(written_ms)} of {len(acks)} events were not delivered in time")
        time.sleep(1)


def rows_of(call: dict[str, Any]) -> Iterator[str]:
    """Message ids of the event rows that a call inserted."""
    if call["method"] == "POST" and call["path"] == EVENTS and call["status"] == 200:
        for record in json.loads(call["request_body"])["records"]:
            yield record["Message_Id__gc"]
