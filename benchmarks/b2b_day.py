"""API calls for a day of B2B traffic: the real resolver, worker and sandbox in virtual time.

10 % identify of which 70 % repeat, 5 % group, 80 % track over 30 names, 5 % page, 1 % duplicates; 200 accounts, 2,000
users. Beside the calls made stands the lower bound, every changed record once in batches of 50, and one call per
message.
"""

import asyncio
import logging
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import structlog
from tests.support.delivery import Delivery, delivery_at_sandbox

from benchmarks.report import Figure
from gainsight_destination.events.timestamps import iso_utc

ACCOUNTS, USERS, NAMES = 200, 2_000, 30
DAY_SECONDS = 86_400
STEP_SECONDS = 60


def day(events: int, start_ms: int, accounts: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """(when, message), in order of time."""
    chance = random.Random(5)
    said: dict[int, int] = {}
    found: list[tuple[int, dict[str, Any]]] = []
    for number in range(events):
        at_ms = start_ms + number * DAY_SECONDS * 1000 // events
        user = chance.randrange(USERS)
        message: dict[str, Any] = {"userId": f"user-{user}", "messageId": f"b2b-{number}", "timestamp": iso_utc(at_ms)}
        account = accounts[user % len(accounts)]
        kind = chance.random()
        if kind < 0.10:
            if user not in said or chance.random() > 0.7:
                said[user] = said.get(user, 0) + 1
            traits = {"email": f"user{user}@example.com", "accountId": account, "firstName": f"V{said[user]}"}
            message |= {"type": "identify", "traits": traits}
        elif kind < 0.15:
            message |= {"type": "group", "groupId": account, "traits": {"industry": "Software"}}
        elif kind < 0.95:
            message |= {
                "type": "track",
                "event": f"Event {chance.randrange(NAMES)}",
                "properties": {"accountId": account},
            }
        else:
            message |= {"type": "page", "name": "Home"}
        found.append((at_ms, message))
        if chance.random() < 0.01:
            found.append((at_ms, message))
    return found


async def live_through(delivery: Delivery, messages: list[tuple[int, dict[str, Any]]]) -> None:
    """Send each message at its time, and deliver as time goes by."""
    position = 0
    while position < len(messages):
        until_ms = delivery.clock.now_ms() + STEP_SECONDS * 1000
        due = []
        while position < len(messages) and messages[position][0] < until_ms:
            due.append(messages[position][1])
            position += 1
        if due:
            delivery.send(*due)
            await delivery.resolve()
        await delivery.step_until(minutes=STEP_SECONDS / 60)
    await delivery.drain(minutes=600)


async def measure(events: int, flush_seconds: float, **settings: Any) -> Figure:
    with tempfile.TemporaryDirectory() as directory:
        async with delivery_at_sandbox(Path(directory), flushSeconds=flush_seconds, **settings) as delivery:
            seeded = [row["SfdcAccountId"] for row in await delivery.accounts()]
            more = [f"001B000000{n:05d}AAA" for n in range(ACCOUNTS - len(seeded))]
            await delivery.sandbox.control(
                "POST", "companies", {"companies": [{"Name": f"Company {a}", "SfdcAccountId": a} for a in more]}
            )
            messages = day(events, delivery.clock.now_ms(), seeded + more)
            await live_through(delivery, messages)
            books = await delivery.books()
            records = {name: sum(states.values()) for name, states in books["records"].items()}
            bound = sum(math.ceil(count / 50) for count in records.values())
            calls = books["calls"]["total"]
            assert (books["pending"], books["dead"], books["parked"]) == (0, 0, {}), books
    what = f"API calls for {events:,} events over a day, flush {flush_seconds:,.0f} s"
    remark = f"all changed records once: {bound:,}; one call per message: {books['delivered']:,}; records {records}"
    return Figure(what, calls, "calls", remark)


def run(*, seconds: float) -> list[Figure]:
    """Three days in virtual time; `seconds` does not matter here."""
    del seconds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    days = ((1_000, 15.0), (10_000, 15.0), (10_000, 3_600.0))
    return [asyncio.run(measure(events, flush_seconds)) for events, flush_seconds in days]
