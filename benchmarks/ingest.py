"""How fast the public port stores, and how soon it acknowledges.

The real ingest process with its durable log (an engine that only waits takes the place of the resolver) and a client
in a process of its own on the same machine, in a closed loop: each connection sends its next request when the last one
is acknowledged. Batches of 100 calls and single posts of one call, about 545 bytes each. Each line is a fresh server
with an empty log, warmed up for a second. Afterwards the log must hold every acknowledged message. The system decides
which core does what; the CPU columns say how much of one core the server and the client took.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import WRITE_KEY, Load, Sent, Traffic, send
from benchmarks.options import Options
from benchmarks.plot import Chart, Series, draw
from benchmarks.processes import clients, cpu_seconds, peak_rss_mb
from benchmarks.report import Result, Table, goal, percentile
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.runtime.testing import running_serve, write_sources
from gainsight_destination.workspace.model import Source

CONNECTIONS = {"full": (1, 4, 16, 32, 64), "quick": (1, 32), "tiny": (4,)}
SECONDS = {"full": 8.0, "quick": 1.5, "tiny": 0.3}
WARM_UP_SECONDS = {"full": 1.0, "quick": 0.3, "tiny": 0.1}
GOAL_CONNECTIONS = 32
GOAL_P99_MS = 25
SHAPES = {100: ("batches of 100", 150_000), 1: ("single posts", 12_000)}
COLUMNS = ("load", "connections", "events/s", "ack p50 ms", "ack p99 ms", "failed", "server CPU %", "client CPU %")


class Measured(NamedTuple):
    """One line of the table."""

    batch: int
    connections: int
    events_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    server_cpu_percent: float
    client_cpu_percent: float
    peak_mb: float

    def row(self) -> tuple[object, ...]:
        what, at_least = SHAPES[self.batch]
        counts = self.connections == GOAL_CONNECTIONS
        rate_goal = goal(self.events_per_second, at_least=at_least) if counts else ""
        p99_goal = goal(self.p99_ms, at_most=GOAL_P99_MS) if counts else ""
        return (what, *self[1:], rate_goal, p99_goal)


def measure(batch: int, connections: int, seconds: float, warm_up_seconds: float) -> Measured:
    """Load a fresh server, then compare what was acknowledged with what the log holds."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_sources(data / "state.db", [Source(1, "benchmark", WRITE_KEY)])
        with running_serve(data, log_path=data / "serve.txt") as serve, clients() as client:
            server_id = serve.process.pid

            def load(first_number: int, load_seconds: float) -> Sent:
                traffic = Traffic(batch, templates=200 if batch > 1 else 2_000, first_number=first_number)
                how = Load(connections, load_seconds)
                return client.submit(send, serve.host, serve.port, traffic, how).result()

            warm = load(0, warm_up_seconds)
            cpu = cpu_seconds(server_id)
            sent = load(warm.offered, seconds)
            cpu = cpu_seconds(server_id) - cpu
            peak_mb = peak_rss_mb(server_id)
            serve.stop()
        log = SqliteEventLog(data / "log.db", read_only=True)
        stored = log.end()
        log.close()
    assert stored >= (len(warm.acks) + len(sent.acks)) * batch, "acknowledged messages are missing from the log"
    latencies_ms = sent.latencies_ms()
    return Measured(
        batch,
        connections,
        len(sent.acks) * batch / sent.seconds,
        percentile(latencies_ms, 50),
        percentile(latencies_ms, 99),
        sent.failed,
        100 * cpu / sent.seconds,
        100 * sent.cpu_seconds / sent.seconds,
        peak_mb,
    )


def plot(found: list[Measured]) -> str:
    charts = []
    for batch, (what, goal_rate) in SHAPES.items():
        lines = [line for line in found if line.batch == batch]
        connections = [line.connections for line in lines]
        rates = [(line.connections, line.events_per_second) for line in lines]
        charts.append(
            Chart(
                f"{what}: throughput",
                ("connections", "events/s"),
                [Series("events/s", rates)],
                x_ticks=connections,
                log_x=True,
                goal=(goal_rate, "goal"),
            )
        )
        delays = [
            Series("p50", [(line.connections, line.p50_ms) for line in lines]),
            Series("p99", [(line.connections, line.p99_ms) for line in lines]),
        ]
        axes = ("connections", "milliseconds")
        charts.append(
            Chart(
                f"{what}: acknowledgement",
                axes,
                delays,
                x_ticks=connections,
                log_x=True,
                goal=(GOAL_P99_MS, "goal for p99"),
            )
        )
    return draw(charts)


def run(options: Options) -> Result:
    seconds = options.seconds or SECONDS[options.scale]
    found = [
        measure(batch, connections, seconds, WARM_UP_SECONDS[options.scale])
        for batch in SHAPES
        for connections in CONNECTIONS[options.scale]
    ]
    table = Table((*COLUMNS, "peak RSS MB", "goal events/s", "goal p99 ms"), [line.row() for line in found])
    return Result([table], [f"{seconds:g} s each."], {"ingest.svg": plot(found)})
