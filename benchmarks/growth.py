"""Whether an event costs more, and the process takes more, the more events are stored.

The real resolver, in one process, reads a log of a steady stream, two million events a day, with daily usage and event
rows, into a state that only grows: nothing is delivered and nothing is forgotten meanwhile. Cost per event is taken
over the last slice before each size. Disk is what log.db and state.db hold per event stored so far. The log is filled
before; that is not measured. `--events 10000000` goes on to ten million, which takes some 30 GB of disk.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.options import Options
from benchmarks.plot import Chart, Series, draw
from benchmarks.processes import afresh, rss_mb
from benchmarks.report import Result, Table
from benchmarks.resolving import NOW_MS, fill, gainsight, resolve_log

EVENTS = {"full": 1_000_000, "quick": 40_000, "tiny": 1_000}
SLICES_AT_LEAST, SLICE = 20, 100_000
USERS = 50_000
EVENTS_PER_DAY = 2_000_000
SIZES = (100_000, 1_000_000, 10_000_000)
COLUMNS = ("events stored", "CPU us/event", "wall us/event", "RSS MB", "log bytes/event", "state bytes/event")


class Slice(NamedTuple):
    """Costs of the events since the slice before, and sizes at its end."""

    stored: int
    cpu_us: float
    wall_us: float
    rss_mb: float
    state_bytes: int


def time_of_ms(number: int) -> int:
    """The stream's own time."""
    return NOW_MS + number * 86_400_000 // EVENTS_PER_DAY


def grow(folder: Path, slice_events: int) -> list[Slice]:
    """Resolve the log of a folder, a measurement per slice."""
    slices: list[Slice] = []
    done, cpu, wall = 0, time.process_time(), time.perf_counter()
    for offset in resolve_log(folder, gainsight(rows=True)):
        if offset - done >= slice_events:
            cpu_us = (time.process_time() - cpu) / (offset - done) * 1e6
            wall_us = (time.perf_counter() - wall) / (offset - done) * 1e6
            slices.append(Slice(offset, cpu_us, wall_us, rss_mb(), size_bytes(folder, "state.db")))
            done, cpu, wall = offset, time.process_time(), time.perf_counter()
    return slices


def size_bytes(folder: Path, name: str) -> int:
    """A database with its write-ahead file."""
    return sum(file.stat().st_size for file in folder.glob(f"{name}*"))


def plot(slices: list[Slice], log_bytes: float) -> str:
    x = "events stored"

    def line(name: str, value: Callable[[Slice], float]) -> Series:
        return Series(name, [(one.stored, value(one)) for one in slices])

    cost = [line("wall", lambda one: one.wall_us), line("CPU", lambda one: one.cpu_us)]
    disk = [
        line("state.db", lambda one: one.state_bytes / 1e9),
        line("log.db", lambda one: log_bytes * one.stored / 1e9),
    ]
    disk_each = [line("state.db", lambda one: one.state_bytes / one.stored), line("log.db", lambda one: log_bytes)]
    return draw(
        [
            Chart("cost of an event, from the log to dirty records", (x, "microseconds"), cost),
            Chart("memory of the process", (x, "RSS, MB"), [line("RSS", lambda one: one.rss_mb)]),
            Chart("disk", (x, "GB"), disk),
            Chart("disk per event", (x, "bytes"), disk_each),
        ]
    )


def run(options: Options) -> Result:
    events = options.events or EVENTS[options.scale]
    slice_events = min(SLICE, max(500, events // SLICES_AT_LEAST))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        afresh(fill, folder, events, USERS, time_of_ms)
        log_bytes = size_bytes(folder, "log.db") / events
        slices = afresh(grow, folder, slice_events)
    sizes = {min(slices, key=lambda one: abs(one.stored - size)) for size in (*SIZES, events) if size <= events}
    rows = [
        (one.stored, one.cpu_us, one.wall_us, one.rss_mb, log_bytes, one.state_bytes / one.stored)
        for one in sorted(sizes)
    ]
    remark = f"Slices of {slice_events:,} events, {USERS:,} users."
    return Result([Table(COLUMNS, rows)], [remark], {"growth.svg": plot(slices, log_bytes)})
