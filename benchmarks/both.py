"""Taking in and resolving at once: the highest rate at which the backlog does not grow.

The real `serve`, ingest and engine, with daily usage and event rows; its destination is a loopback port that refuses
connections, so that nothing is delivered. A client in a process of its own sends batches of 100 over 16 connections
at a steady rate, open loop. Twice a second the end of the log and the reader's place are read from the files; their
distance is the lag. A rate is sustained when at least 99 % of what was offered is acknowledged, and the lag of the
last third of the run is on average not higher than that of the third before by more than 1 % of what came in a third.
First the goal is run for the whole time; then shorter runs halve the interval around the highest sustained rate, and
the best of them is run for the whole time. No process is pinned to a core: three processes share the machine.
"""

import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Load, Sent, Traffic, send
from benchmarks.options import Options
from benchmarks.plot import Chart, Series, draw
from benchmarks.processes import clients
from benchmarks.product import HOST, resolved_until, running_product, state_of, write_workspace
from benchmarks.report import Result, Table, goal, percentile
from gainsight_destination.eventlog.sqlite import SqliteEventLog

GOAL_PER_SECOND = 40_000
SECONDS = {"full": 60.0, "quick": 6.0, "tiny": 1.5}
SEARCH_STEPS = {"full": 5, "quick": 1, "tiny": 0}
SEARCH_SHARE = 0.25
"""A run of the search takes this share of the whole time."""
SAMPLE_SECONDS = 0.5
GROWTH_EVENTS = 1_000
"""Lag moves by about this much anyway: the engine takes messages in portions."""
CONNECTIONS, BATCH = 16, 100
COLUMNS = ("run", "seconds", "offered/s", "acknowledged/s", "resolved/s", "ack p99 ms", "lag at end", "RSS MB at end")


class Sample(NamedTuple):
    """At a time of the run: messages in the log, and messages resolved."""

    seconds: float
    stored: int
    resolved: int

    @property
    def lag(self) -> int:
        return self.stored - self.resolved


class Run(NamedTuple):
    """One rate for some time."""

    what: str
    seconds: float
    offered_per_second: float
    acknowledged_per_second: float
    resolved_per_second: float
    ack_p99_ms: float
    samples: list[Sample]
    end_mb: float

    def name(self) -> str:
        return f"{self.offered_per_second:,.0f}/s offered"

    def sustained(self) -> bool:
        third = len(self.samples) // 3
        before, last = self.samples[third : 2 * third], self.samples[2 * third : 3 * third]
        growth = sum(sample.lag for sample in last) / third - sum(sample.lag for sample in before) / third
        came = self.acknowledged_per_second * self.seconds / 3
        return (
            growth <= max(0.01 * came, GROWTH_EVENTS) and self.acknowledged_per_second >= 0.99 * self.offered_per_second
        )

    def row(self) -> tuple[object, ...]:
        return (*self[:6], self.samples[-1].lag, self.end_mb, "yes" if self.sustained() else "no")


def measure(what: str, events_per_second: float, seconds: float) -> Run:
    """A fresh product under a steady load."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_workspace(folder)
        with running_product(folder) as product, clients() as client:
            product.wait_healthy()
            traffic, load = Traffic(BATCH, templates=1_000), Load(CONNECTIONS, 0.2, 20)
            warm = client.submit(send, HOST, product.ingest_port, traffic, load).result()  # it makes its templates now
            traffic = traffic._replace(first_number=warm.offered)
            load = Load(CONNECTIONS, seconds, events_per_second / BATCH)
            sending = client.submit(send, HOST, product.ingest_port, traffic, load)
            samples = sample(folder, sending)
            sent, end_mb = sending.result(), product.rss_mb()
    first, last = samples[0], samples[-1]
    return Run(
        what,
        sent.seconds,
        sent.offered * BATCH / sent.seconds,
        len(sent.acks) * BATCH / sent.seconds,
        (last.resolved - first.resolved) / (last.seconds - first.seconds),
        percentile(sent.latencies_ms(), 99),
        [sample for sample in samples if sample.seconds <= seconds],
        end_mb,
    )


def sample(folder: Path, sending: "Future[Sent]") -> list[Sample]:
    """Look at log and state until everything is sent."""
    log, started, found = SqliteEventLog(folder / "data" / "log.db", read_only=True), time.monotonic(), list[Sample]()
    with state_of(folder) as state:
        while not sending.done():
            time.sleep(max(0.0, started + SAMPLE_SECONDS * len(found) - time.monotonic()))
            resolved = resolved_until(state)
            found.append(Sample(time.monotonic() - started, log.end(), resolved))
    log.close()
    return found


def search(first: Run, steps: int, seconds: float) -> list[Run]:
    """Shorter runs that close in on the highest sustained rate."""
    reached = float(GOAL_PER_SECOND) if first.sustained() else first.resolved_per_second
    low, high = (reached, 2.5 * reached) if first.sustained() else (0.7 * reached, 1.5 * reached)
    runs: list[Run] = []
    for _ in range(steps):
        rate = (low + high) / 2
        runs.append(measure("search", rate, seconds))
        low, high = (rate, high) if runs[-1].sustained() else (low, rate)
    return runs


def confirm(tried: list[Run], seconds: float) -> list[Run]:
    """The best of the search for the whole time; then less and less of it until a rate is sustained."""
    best = max((run.offered_per_second for run in tried if run.sustained()), default=0.0)
    runs: list[Run] = []
    for share in (1.0, 0.9, 0.8, 0.7, 0.6):
        if best and not (runs and runs[-1].sustained()):
            runs.append(measure("highest", best * share, seconds))
    return runs


def per_second(run: Run, pick: str) -> Series:
    """How fast a count grew, over the last two seconds of each sample."""
    span = round(2 / SAMPLE_SECONDS)
    pairs = zip(run.samples, run.samples[span:], strict=False)
    points = [(b.seconds, (getattr(b, pick) - getattr(a, pick)) / (b.seconds - a.seconds)) for a, b in pairs]
    return Series(run.name(), points)


def plot(runs: list[Run]) -> str:
    lags = [
        Chart(f"lag, {run.name()}", ("seconds", "events"), [Series("lag", [(s.seconds, s.lag) for s in run.samples])])
        for run in runs
    ]
    axes, wanted = ("seconds", "events/s"), (GOAL_PER_SECOND, "goal")
    stored = Chart("acknowledged", axes, [per_second(run, "stored") for run in runs], goal=wanted)
    resolved = Chart("resolved", axes, [per_second(run, "resolved") for run in runs], goal=wanted)
    return draw([*lags, stored, resolved])


def run(options: Options) -> Result:
    seconds = options.seconds or SECONDS[options.scale]
    first = measure("goal", GOAL_PER_SECOND, seconds)
    tried = search(first, SEARCH_STEPS[options.scale], max(4.0, seconds * SEARCH_SHARE))
    whole = [first, *confirm(tried, seconds)]
    best = max((run.offered_per_second for run in whole if run.sustained()), default=0.0)
    table = Table((*COLUMNS, "sustained"), [run.row() for run in (*whole, *tried)])
    verdict = f"Highest rate sustained for {seconds:g} s: {best:,.0f} events/s"
    return Result(
        [table],
        [f"{verdict} ({goal(best, at_least=GOAL_PER_SECOND)})."],
        {"both.svg": plot(whole if len(whole) == 1 else [whole[0], whole[-1]])},
    )
