"""Worklists: what somebody can do so that more events find their account and more traits their field."""

import sqlite3
from collections import defaultdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.console.house import house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page
from gainsight_destination.observe.worklists import (
    Coverage,
    count_unknown_accounts,
    coverage,
    unknown_accounts,
    unmapped_traits,
)

RULES: Final = {
    "properties": "named by the event",
    "context": "by its context.groupId",
    "fact": "by the user's account",
    "none": "without an account",
}
DAYS: Final = 7


async def index(request: Request) -> Response:
    house = house_of(request)

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        ids = dict(connection.execute("SELECT name, id FROM destinations"))
        return {
            "accounts": unknown_accounts(connection, 50),
            "counts": count_unknown_accounts(connection),
            "traits": unmapped_traits(connection)[:100],
            "coverage": summed(coverage(connection, house.now_ms(), DAYS)),
            "ids": ids,
        }

    return page(request, "worklists.html", days=DAYS, rules=RULES, **await house.read(read))


def summed(found: list[Coverage]) -> list[dict[str, Any]]:
    """Of each destination and source over the days: events, the share with an account, and by which rule."""
    totals: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in found:
        for rule, events in each.events.items():
            totals[each.destination, each.source][rule] += events
    return [
        {"destination": destination, "source": source, "rules": dict(rules), "events": sum(rules.values())}
        for (destination, source), rules in sorted(totals.items())
    ]


PAGES = (Page("/worklists", index),)
