"""What `serve` takes: memory of all its processes together, and the time to start.

Memory is the sum of RSS over both processes (pages they share count twice; PSS divides them). Idle: ten seconds after
the start with an empty data directory. Full load: batches of 100 over 32 connections as fast as they are
acknowledged, while the engine resolves; the highest of looks four times a second. Start-up runs from the execution of
`serve` until /health of both ports answers 200, the median of several starts; and until a message posted right then is
resolved. The large data directory holds real messages in its log that the real resolver turned into dirty records. The
destination is a loopback port that refuses connections.
"""

import http.client
import statistics
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Load, Sent, Traffic, send, templates
from benchmarks.options import Options
from benchmarks.processes import afresh, clients, pss_mb, tree
from benchmarks.product import HOST, Product, resolved_until, running_product, state_of, write_workspace
from benchmarks.report import Result, Table, goal
from benchmarks.resolving import fill, gainsight, resolve_log

EVENTS = {"full": 1_000_000, "quick": 20_000, "tiny": 1_000}
MESSAGES_PER_RECORD = 0.54
"""A track makes an event row and, of so many users, almost always a usage record of its own."""
STARTS = {"full": (5, 3), "quick": (1, 1), "tiny": (1, 1)}
LOAD_SECONDS = {"full": 20.0, "quick": 3.0, "tiny": 1.0}
SETTLE_SECONDS = {"full": 10.0, "quick": 1.0, "tiny": 0.5}
RESOLVE_SECONDS = 60.0


class Start(NamedTuple):
    """One start: seconds until healthy, seconds until a message was resolved, and memory some time later."""

    healthy_seconds: float
    resolved_seconds: float
    rss_mb: float
    pss_mb: float


def build(data: Path, events: int) -> None:
    """A data directory with an unread configuration, a log, and what came of it."""
    now_ms = round(time.time() * 1_000)
    data.mkdir()
    fill(data, events, users=max(1_000, events), time_of_ms=lambda number: now_ms)
    for _ in resolve_log(data, gainsight(rows=True)):
        pass


def start(folder: Path, settle_seconds: float) -> Start:
    """Start `serve` once, post a message when it is healthy, and look at its memory later."""
    with running_product(folder) as product:
        healthy_seconds = product.wait_healthy()
        post(product)
        resolved_seconds = wait_resolved(product)
        time.sleep(settle_seconds)
        pss = sum(pss_mb(process_id) for process_id in tree(product.process.pid))
        return Start(healthy_seconds, resolved_seconds, product.rss_mb(), pss)


def post(product: Product) -> None:
    """One message on the public port."""
    head, _, body = templates(1, 1, 2, False)[1].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    connection = http.client.HTTPConnection(HOST, product.ingest_port, timeout=10)
    connection.request("POST", "/v1/track", body, headers)
    assert connection.getresponse().status == 200
    connection.close()


def wait_resolved(product: Product) -> float:
    """Seconds from the execution of `serve` until everything in its log is resolved."""
    with state_of(product.folder) as state:
        first = resolved_until(state)
        while resolved_until(state) == first:
            if time.monotonic() > product.started + RESOLVE_SECONDS:
                raise RuntimeError("the engine does not resolve")
            time.sleep(0.002)
    return time.monotonic() - product.started


def loaded_mb(seconds: float) -> float:
    """The most memory that all processes took under full load."""
    with tempfile.TemporaryDirectory() as name:
        write_workspace(Path(name))
        with running_product(Path(name)) as product, clients() as client:
            product.wait_healthy()
            load = Load(32, seconds)
            sending = client.submit(send, HOST, product.ingest_port, Traffic(100, templates=1_000), load)
            return highest_mb(product, sending)


def highest_mb(product: Product, sending: "Future[Sent]") -> float:
    highest = 0.0
    while not sending.done():
        highest = max(highest, product.rss_mb())
        time.sleep(0.25)
    assert not sending.result().failed, "some requests were refused"
    return highest


def dirty_records(folder: Path) -> int:
    with state_of(folder) as state:
        (count,) = state.execute("SELECT count(*) FROM records WHERE state = 'dirty'").fetchone()
    return int(count)


def run(options: Options) -> Result:
    records = options.events or EVENTS[options.scale]
    empty_starts, large_starts = STARTS[options.scale]
    settle_seconds = SETTLE_SECONDS[options.scale]
    empty = []
    for _ in range(empty_starts):
        with tempfile.TemporaryDirectory() as name:
            write_workspace(Path(name))
            empty.append(start(Path(name), settle_seconds))
    load_mb = loaded_mb(options.seconds or LOAD_SECONDS[options.scale])
    with tempfile.TemporaryDirectory() as name:
        afresh(build, Path(name) / "data", round(records * MESSAGES_PER_RECORD / 100) * 100)
        write_workspace(Path(name))
        dirty = dirty_records(Path(name))
        large = [start(Path(name), settle_seconds) for _ in range(large_starts)]
    return Result([memory_table(empty, load_mb, large, dirty), start_table(empty, large, dirty)])


def memory_table(empty: list[Start], load_mb: float, large: list[Start], dirty: int) -> Table:
    idle_mb = statistics.median(start.rss_mb for start in empty)
    idle_pss = statistics.median(start.pss_mb for start in empty)
    rows = [
        ("idle, empty", idle_mb, idle_pss, goal(idle_mb, at_most=120)),
        ("full load, highest", load_mb, None, goal(load_mb, at_most=400)),
        (f"started with {dirty:,} dirty records", max(s.rss_mb for s in large), max(s.pss_mb for s in large), ""),
    ]
    return Table(("memory of all processes", "RSS MB", "PSS MB", "goal RSS"), rows)


def start_table(empty: list[Start], large: list[Start], dirty: int) -> Table:
    rows = []
    for what, starts, at_most in (("empty", empty, 1), (f"with {dirty:,} dirty records", large, 10)):
        healthy = statistics.median(start.healthy_seconds for start in starts)
        resolved = statistics.median(start.resolved_seconds for start in starts)
        rows.append((what, len(starts), healthy, resolved, goal(healthy, at_most=at_most)))
    return Table(("start-up", "starts", "s until healthy", "s until a message is resolved", "goal healthy"), rows)
