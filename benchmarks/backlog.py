"""A backlog of dirty records being delivered: how fast, with how much memory, and how long a live event then waits.

The backlog is what an archive of real messages made of the real resolver. The real `serve` delivers it to the sandbox,
which sets no quota here and runs on the same two cores; meanwhile two live events a second come in. Memory is the
sum of RSS over both processes of `serve`, the highest of looks four times a second. A live event is delivered when its
row and its daily usage are in the sandbox and that is written down; `flushSeconds` of this is patience.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from benchmarks.footprint import MESSAGES_PER_RECORD, dirty_records
from benchmarks.load import Ack, Load, Sent, Traffic, send
from benchmarks.options import Options
from benchmarks.processes import afresh, clients
from benchmarks.product import HOST, Product, running_product, state_of, write_workspace
from benchmarks.report import Result, Table, percentile
from benchmarks.resolving import fill, gainsight, resolve_log
from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.sandbox.testing import running_sandbox_in_thread

RECORDS = {"full": 1_000_000, "quick": 20_000, "tiny": 1_000}
SECONDS = {"full": 120.0, "quick": 10.0, "tiny": 2.0}
FLUSH_SECONDS = 2
LIVE_PER_SECOND = 2
LOOK_SECONDS = 0.25
LATE_SECONDS = 60.0
OFFSETS = 2**44
"""A delivery's id is its destination's times this, and its offset (store/migrations/0005_fewer_trees.sql)."""


class Look(NamedTuple):
    """One look: when, and memory."""

    at: float
    rss_mb: float


def build(data: Path, events: int) -> None:
    """A data directory with an archive in its log, and what came of it."""
    now_ms = round(time.time() * 1_000)
    data.mkdir()
    fill(data, events, users=max(1_000, events), time_of_ms=lambda number: now_ms, kind=EntryKind.ARCHIVE)
    for _ in resolve_log(data, gainsight(rows=True)):
        pass


def delivered_from(folder: Path, first_offset: int) -> set[int]:
    """Offsets of the messages that are delivered, from one on."""
    with state_of(folder) as state:
        rows = state.execute(
            "SELECT id - ? FROM deliveries WHERE id >= ? AND state = 'delivered'", (OFFSETS, OFFSETS + first_offset)
        )
        return {offset for (offset,) in rows}


def watch(product: Product, first_offset: int, sending: "Future[Sent]") -> tuple[list[Look], dict[int, float]]:
    """Look until all that was sent is delivered; when each live offset was seen to be."""
    looks: list[Look] = []
    seen: dict[int, float] = {}
    deadline = time.monotonic() + LATE_SECONDS
    while not sending.done() or len(seen) < len(sending.result().acks):
        if not sending.done():
            deadline = time.monotonic() + LATE_SECONDS
        elif time.monotonic() > deadline:
            raise RuntimeError(f"{len(sending.result().acks) - len(seen)} live events were not delivered in time")
        now = time.monotonic()
        looks.append(Look(now, product.rss_mb()))
        for offset in delivered_from(product.folder, first_offset) - seen.keys():
            seen[offset] = now
        time.sleep(LOOK_SECONDS)
    return looks, seen


def delays(acks: list[Ack], seen: dict[int, float]) -> Iterator[float]:
    """Seconds from sending each live event to its delivery: one connection sends them, so offsets are in order."""
    for ack, offset in zip(sorted(acks), sorted(seen), strict=True):
        yield seen[offset] - ack.due


def run(options: Options) -> Result:
    events = round((options.events or RECORDS[options.scale]) * MESSAGES_PER_RECORD / 100) * 100
    seconds = options.seconds or SECONDS[options.scale]
    with tempfile.TemporaryDirectory() as name, running_sandbox_in_thread(Path(name) / "sandbox.db") as sandbox:
        folder = Path(name)
        afresh(build, folder / "data", events)
        asyncio.run(sandbox.control("PUT", "switches", {"calls_per_minute": None, "calls_per_day": None}))
        limits = {"flushSeconds": FLUSH_SECONDS, "callsPerMinute": 10_000, "callsPerDay": 10_000_000}
        write_workspace(folder, accessKey=sandbox.access_key, domain=sandbox.url, **limits)
        before = dirty_records(folder)
        with running_product(folder) as product, clients() as client:
            healthy_seconds, healthy_mb = product.wait_healthy(), product.rss_mb()
            traffic = Traffic(1, 20, templates=600, first_number=events, only_track=True)
            sending = client.submit(send, HOST, product.ingest_port, traffic, Load(1, seconds, LIVE_PER_SECOND))
            looks, seen = watch(product, events, sending)
            delivered = before - dirty_records(folder)
    waited = list(delays(sending.result().acks, seen))
    return Result([memory_table(before, healthy_seconds, healthy_mb, looks), speed_table(delivered, looks, waited)])


def memory_table(dirty: int, healthy_seconds: float, healthy_mb: float, looks: list[Look]) -> Table:
    third = max(1, len(looks) // 3)
    highest = [max(look.rss_mb for look in part) for part in (looks[:third], looks[-third:])]
    columns = ("dirty at the start", "s until healthy", "RSS MB then", "highest, first third", "highest, last third")
    return Table(columns, [(dirty, healthy_seconds, healthy_mb, *highest)])


def speed_table(delivered: int, looks: list[Look], waited: list[float]) -> Table:
    seconds = looks[-1].at - looks[0].at
    columns = ("seconds", "of it delivered", "records/s", "live events", "p50 s until delivered", "p99 s")
    figures = (len(waited), statistics.median(waited), percentile(waited, 99))
    return Table(columns, [(seconds, delivered, delivered / seconds, *figures)])
