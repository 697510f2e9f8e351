"""How soon an event counts: from its first byte sent to its record being dirty, and to its row in Gainsight.

Dirty: the real `serve` and a client in a process of its own that sends batches of 10 over 16 connections, 5,000 events
a second at even times. Every 2 ms a read-only connection asks the state how far the log is resolved; that number moves
in the transaction that makes the records dirty, so the first look that sees a message behind it bounds its delay from
above. Which offset a message got is read from the log afterwards, by its message id. A delay counts from when the
request was due. Delivered: 5 track calls a second against the sandbox, within the default share of the quota and with
`flushSeconds` 5, so that a record waits up to 5 s for its batch to fill; the sandbox's own record of calls says when a
row was written. A run of a minute holds one turn of the clock minute, around which no call is sent for 4 s.
"""

import tempfile
import time
from bisect import bisect_left
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

from benchmarks.delivered import delivered_delays_ms
from benchmarks.load import Load, Sent, Traffic, send
from benchmarks.options import Options
from benchmarks.processes import clients
from benchmarks.product import HOST, resolved_until, running_product, state_of, write_workspace
from benchmarks.report import Result, Table, goal, percentile
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.events.message import messages_of

EVENTS_PER_SECOND = 5_000
BATCH, CONNECTIONS = 10, 16
SECONDS = {"full": 30.0, "quick": 4.0, "tiny": 1.0}
DELIVERED_SECONDS = {"full": 60.0, "quick": 6.0, "tiny": 0.0}
DRAIN_SECONDS = 30.0
LOOK_SECONDS = 0.002
GOAL_P99_MS = 250
COLUMNS = ("from sending to", "events", "p50 ms", "p99 ms", "max ms", "goal p99 ms")


def dirty_delays_ms(seconds: float) -> tuple[list[float], list[float]]:
    """(to the acknowledgement, to the dirty record) of each batch sent at a steady rate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_workspace(folder)
        with running_product(folder) as product, clients() as client:
            product.wait_healthy()
            traffic, load = Traffic(BATCH, templates=2_000), Load(CONNECTIONS, 0.5, 100)
            warm = client.submit(send, HOST, product.ingest_port, traffic, load).result()
            traffic = traffic._replace(first_number=warm.offered)
            load = Load(CONNECTIONS, seconds, EVENTS_PER_SECOND / BATCH)
            sending = client.submit(send, HOST, product.ingest_port, traffic, load)
            looks = watch(folder, sending)
        sent = sending.result()
        assert not sent.failed, "some requests were refused"
        ends = ends_of_requests(folder)
    times, offsets = [look[0] for look in looks], [look[1] for look in looks]
    delays_ms = []
    for ack in sent.acks:
        seen = bisect_left(offsets, ends[ack.number])
        delays_ms.append((times[seen] - ack.due) * 1_000 if seen < len(times) else float("inf"))
    return sent.latencies_ms(), delays_ms


def watch(folder: Path, sending: "Future[Sent]") -> list[tuple[float, int]]:
    """(when, resolved until there) at each change, until all that was sent is resolved."""
    looks = [(0.0, -1)]
    with state_of(folder) as state, closing(SqliteEventLog(folder / "data" / "log.db", read_only=True)) as log:
        deadline = float("inf")
        while time.monotonic() < deadline:
            offset = resolved_until(state)
            if offset != looks[-1][1]:
                looks.append((time.monotonic(), offset))
            if sending.done():
                deadline = min(deadline, time.monotonic() + DRAIN_SECONDS)
                if offset == log.end():
                    break
            time.sleep(LOOK_SECONDS)
    return looks


def ends_of_requests(folder: Path) -> dict[int, int]:
    """Number of each request, from its message ids, -> the offset after its last message."""
    ends = {}
    with closing(SqliteEventLog(folder / "data" / "log.db", read_only=True)) as log:
        offset = log.start()
        while entries := log.read(offset, max_messages=50_000):
            for entry in entries:
                first = min(messages_of(entry).values(), key=lambda message: message.offset)
                ends[int(first.message_id[:8], 16)] = entry.end
            offset = entries[-1].end
    return ends


def row(what: str, delays_ms: list[float], events: int, goal_ms: float | None = None) -> tuple[object, ...]:
    p99_ms = percentile(delays_ms, 99)
    reached = "" if goal_ms is None else goal(p99_ms, at_most=goal_ms)
    return (what, events, percentile(delays_ms, 50), p99_ms, max(delays_ms), reached)


def run(options: Options) -> Result:
    seconds = options.seconds or SECONDS[options.scale]
    acks_ms, dirty_ms = dirty_delays_ms(seconds)
    rows = [
        row("acknowledged", acks_ms, len(acks_ms) * BATCH),
        row("record dirty", dirty_ms, len(dirty_ms) * BATCH, GOAL_P99_MS),
    ]
    if DELIVERED_SECONDS[options.scale]:
        delivered_ms = delivered_delays_ms(DELIVERED_SECONDS[options.scale])
        rows.append(row("row in the sandbox, flushSeconds 5", delivered_ms, len(delivered_ms)))
    return Result([Table(COLUMNS, rows)], [f"{EVENTS_PER_SECOND:,} events/s for {seconds:g} s."])
