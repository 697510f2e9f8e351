"""How fast the public port stores: the real ingest process, durable log, client in a process of its own."""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.load import event, request, run_client
from benchmarks.report import Figure
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.runtime.testing import running_serve, write_sources
from gainsight_destination.workspace.model import Source

WRITE_KEY = "benchmark-write-key"
CONNECTIONS = 32
BATCH = 100


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    what: str
    messages_per_second: float
    ack_p50_ms: float
    ack_p99_ms: float
    failed: int
    stored: int
    rss_mb: float


def measure(what: str, requests: list[bytes], messages_each: int, seconds: float) -> Measured:
    """Load a fresh server, then compare what was acknowledged with what the log holds."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_sources(data / "state.db", [Source(1, "benchmark", WRITE_KEY)])
        with running_serve(data) as serve, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients:
            clients.submit(run_client, serve.host, serve.port, requests, CONNECTIONS, 1.0).result()
            started = time.perf_counter()
            load = clients.submit(run_client, serve.host, serve.port, requests, CONNECTIONS, seconds).result()
            took = time.perf_counter() - started
            rss_mb = peak_rss_mb(serve.process.pid)
            serve.stop()
        log = SqliteEventLog(data / "log.db", read_only=True)
        stored = log.end()
        log.close()
    assert stored >= load.acknowledged * messages_each, "acknowledged messages are missing from the log"
    percentiles = statistics.quantiles(load.latencies_seconds, n=100)
    rate = load.acknowledged * messages_each / took
    return Measured(what, rate, percentiles[49] * 1_000, percentiles[98] * 1_000, load.failed, stored, rss_mb)


def peak_rss_mb(process_id: int) -> float:
    """The most memory the process ever took."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1_024
    return float("nan")


def run(*, seconds: float) -> list[Figure]:
    """Measure both shapes of load."""
    batches = [
        request("/v1/batch", {"batch": [event(start + i) for i in range(BATCH)]}, WRITE_KEY)
        for start in range(0, 64 * BATCH, BATCH)
    ]
    singles = [request("/v1/track", event(number), WRITE_KEY) for number in range(1_000)]
    return [
        Figure(
            f"ingest, {measured.what}, {CONNECTIONS} connections",
            measured.messages_per_second,
            "events/s",
            f"ack p50 {measured.ack_p50_ms:.1f} ms, p99 {measured.ack_p99_ms:.1f} ms; {measured.failed} failed; "
            f"peak {measured.rss_mb:.0f} MB",
        )
        for measured in (
            measure(f"batches of {BATCH}", batches, BATCH, seconds),
            measure("single posts", singles, 1, seconds),
        )
    ]
