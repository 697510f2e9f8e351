"""Asks the other side of a destination whether it is ready, within its share of the calls."""

from typing import Final

from gainsight_destination.console.house import House
from gainsight_destination.console.words import duration
from gainsight_destination.deliver.calls import EngineCalls
from gainsight_destination.destinations.catalog import CATALOG
from gainsight_destination.destinations.contract import QuotaSpentError, Report
from gainsight_destination.destinations.registry import build
from gainsight_destination.workspace.service import load

PATIENCE_MS: Final = 10_000
"""Calls keep clear of the turn of the minute; that is waited out."""


async def check_now(house: House, destination_id: int) -> tuple[Report | None, str]:
    """What was found, or why nothing could be asked."""
    secrets = house.secrets()
    workspace = await house.read(lambda connection: load(connection, secrets))
    destination = next(each for each in workspace.destinations if each.id == destination_id)
    entry = CATALOG[destination.type]
    if entry.check is None:
        return None, "There is nothing to check before the first message."
    calls = EngineCalls(
        house.database, house.clock, destination.id, destination.name, build(destination.type, destination.settings)
    )
    try:
        while True:
            try:
                return await entry.check(entry.parse_settings(destination.settings), calls), ""
            except QuotaSpentError as error:
                wait_ms = max(1_000, error.retry_at_ms - house.now_ms())
                if wait_ms > PATIENCE_MS:
                    return None, f"Our share of the calls is used up. Try again in {duration(wait_ms)}."
                await house.clock.sleep(wait_ms / 1000)
    finally:
        await calls.close()
