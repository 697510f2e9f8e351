"""API calls for a day of B2B traffic, beside a yardstick of full batches.

The real log, resolver, deliverer and sandbox, in virtual time: 10 % identify of which 70 % repeat, 5 % group, 80 %
track over 30 names, 5 % page, 1 % duplicates; 200 accounts, all Companies, 2,000 users; the default share of the quota.
Counted is every call that the sandbox saw in the day and until nothing was dirty: writes, queries, metadata, polls. The
bound cuts the day into flush windows from its start, and adds up, for each object and window, ceil(n / 50) with n the
distinct records that the window's messages change (a repeat changes nothing; the first identify of a user also changes
the user's earlier rows, which get their Person). It is counted from the messages alone. "Inserts apart" is the same
with new and known records in calls of their own, since the API has no call for both. One call per event is what
forwarding would take.
"""

import asyncio
import logging
import math
import os
import re
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop
from tests.support.delivery import Delivery, delivery_at_sandbox

from benchmarks.b2b_traffic import ACCOUNTS, Bound, Timed, day, lower_bound
from benchmarks.options import Options
from benchmarks.report import Result, Table, goal
from gainsight_destination.sandbox.testing import RunningSandbox

DAYS = {
    "full": ((1_000, 15), (10_000, 15), (100_000, 15), (1_000, 3_600), (10_000, 3_600), (100_000, 3_600)),
    "quick": ((1_000, 15), (1_000, 3_600)),
    "tiny": ((100, 3_600),),
}
GOAL_FLUSH_SECONDS, GOAL_RATIO = 3_600, 1.15
LONGEST_TICK_SECONDS = 60
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""The time that disks take does not count here."""
COLUMNS = ("events", "flush s", "calls", "bound", "calls / bound", "inserts apart", "calls per event", "goal")


class Lived(NamedTuple):
    """One day."""

    events: int
    flush_seconds: int
    calls: Counter[str]
    bound: Bound
    delivered: int

    def row(self) -> tuple[object, ...]:
        calls = self.calls.total()
        ratio = calls / self.bound.calls
        wanted = goal(ratio, at_most=GOAL_RATIO) if self.flush_seconds == GOAL_FLUSH_SECONDS else ""
        figures = (calls, self.bound.calls, ratio, self.bound.calls_apart, calls / self.delivered)
        return (self.events, self.flush_seconds, *figures, wanted)


async def live_through(delivery: Delivery, messages: list[Timed], tick_seconds: float) -> None:
    """Deliver as time goes by; at the end of each tick its messages come and are resolved."""
    position, start_ms, tick_ms = 0, delivery.clock.now_ms(), round(tick_seconds * 1_000)
    while position < len(messages):
        now_ms = delivery.clock.now_ms()
        tick = max(math.ceil((messages[position].at_ms - start_ms) / tick_ms), 1)
        await delivery.step_until(minutes=(start_ms + tick * tick_ms - now_ms) / 60_000)
        until, now_ms = position, delivery.clock.now_ms()
        while until < len(messages) and messages[until].at_ms <= now_ms:
            until += 1
        if until > position:
            delivery.send(*(timed.message for timed in messages[position:until]))
            await delivery.resolve()
        position = until
    await delivery.drain(minutes=600)


async def measure(events: int, flush_seconds: int) -> Lived:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        async with delivery_at_sandbox(Path(directory), flushSeconds=flush_seconds) as delivery:
            accounts = await companies(delivery)
            start_ms = delivery.clock.now_ms()
            messages = day(events, start_ms, accounts)
            bound = lower_bound(messages, start_ms, flush_seconds * 1_000)
            await live_through(delivery, messages, min(flush_seconds / 5, LONGEST_TICK_SECONDS))
            books = await delivery.books()
            calls = await calls_by_kind(delivery.sandbox)
    assert (books["pending"], books["dead"], books["parked"]) == (0, 0, {}), books
    stored = {name: sum(states.values()) for name, states in books["records"].items()}
    assert stored == bound.records, f"the bound counts {bound.records}, the store holds {stored}"
    return Lived(events, flush_seconds, calls, bound, books["delivered"])


async def companies(delivery: Delivery) -> list[str]:
    """200 accounts that Gainsight has Companies of."""
    seeded = [row["SfdcAccountId"] for row in await delivery.accounts()]
    more = [f"001B000000{n:05d}AAA" for n in range(ACCOUNTS - len(seeded))]
    rows = [{"Name": f"Company {account}", "SfdcAccountId": account} for account in more]
    await delivery.sandbox.control("POST", "companies", {"companies": rows})
    return seeded + more


async def calls_by_kind(sandbox: RunningSandbox) -> Counter[str]:
    """Calls by method and path, ids left out."""
    found: Counter[str] = Counter()
    after = 0
    while calls := (await sandbox.control("GET", f"calls?after={after}&limit=1000"))["calls"]:
        after = calls[-1]["id"]
        for call in calls:
            path = call["path"].split("?")[0]
            path = re.sub(r"(/async/|/company/)[^/]+$", r"\1...", path)
            found[f"{call['method']} {path}"] += 1
    return found


def kinds(lived: list[Lived]) -> Table:
    """Where the calls went, and the bound of each object."""
    names = sorted({kind for one in lived for kind in one.calls})
    columns = [f"{one.events:,} at {one.flush_seconds:,} s" for one in lived]
    rows = [(name, *(one.calls[name] for one in lived)) for name in names]
    objects = sorted({name for one in lived for name in one.bound.calls_of})
    rows += [(f"bound for {name}", *(one.bound.calls_of.get(name, 0) for one in lived)) for name in objects]
    return Table(("calls by kind", *columns), rows)


def live(events: int, flush_seconds: int) -> Lived:
    """One day in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(events, flush_seconds))


def run(options: Options) -> Result:
    days = DAYS[options.scale]
    if options.events is not None:
        days = tuple((options.events, flush) for flush in sorted({flush for _, flush in days}))
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as days_at_once:  # no clock is running
        longest_first = sorted(days, key=lambda one: -one[0] / one[1])
        living = {one: days_at_once.submit(live, *one) for one in longest_first}
        lived = [living[one].result() for one in days]
    return Result([Table(COLUMNS, [one.row() for one in lived]), kinds(lived)])
