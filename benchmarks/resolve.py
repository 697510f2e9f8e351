"""Log to records: how many events a second one core resolves.

The real resolver, in one thread, reads a log of batches of 100 and writes state, facts and dirty records in
durable transactions of up to 20,000: with daily usage only (`eventObject: null`), and with a row per event too. One in
ten messages is an identify, the others are track calls over 30 names, of few users or of many. Each line runs in a
process of its own with an empty state; filling the log is not measured. The peak of RSS is that of this process.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.options import Options
from benchmarks.processes import afresh, peak_rss_mb
from benchmarks.report import Result, Table, goal
from benchmarks.resolving import fill, gainsight, resolve_log

EVENTS = {"full": 1_000_000, "quick": 20_000, "tiny": 600}
USERS = {"full": (5_000, 500_000), "quick": (5_000, 500_000), "tiny": (50,)}
GOALS = {False: 60_000, True: 30_000}
COLUMNS = (
    "records",
    "users",
    "events",
    "events/s",
    "CPU us/event",
    "peak RSS MB",
    "state bytes/event",
    "goal events/s",
)


def measure(folder: Path, users: int, rows: bool) -> tuple[object, ...]:
    """Resolve the log of a folder into a new state."""
    started, cpu, events = time.perf_counter(), time.process_time(), 0
    for offset in resolve_log(folder, gainsight(rows=rows)):
        events = offset
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    files = list(folder.glob("state.db*"))
    state_bytes = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    what = "usage and event rows" if rows else "usage only"
    rate = events / wall
    figures = (rate, cpu / events * 1e6, peak_rss_mb(), round(state_bytes / events))
    return (what, users, events, *figures, goal(rate, at_least=GOALS[rows]))


def run(options: Options) -> Result:
    events = options.events or EVENTS[options.scale]
    lines = []
    for users in USERS[options.scale]:
        with tempfile.TemporaryDirectory() as folder:
            afresh(fill, Path(folder), events, users)
            lines += [afresh(measure, Path(folder), users, rows) for rows in (False, True)]
    return Result([Table(COLUMNS, lines)])
