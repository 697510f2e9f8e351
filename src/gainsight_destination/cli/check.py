"""The command `check`: is the tenant ready for what will be sent?"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gainsight_destination.cli.options import DataOption, DestinationOption, JsonOption

if TYPE_CHECKING:
    from gainsight_destination.destinations.gainsight.check import Needed


def check(data: DataOption = Path("data"), destination: DestinationOption = None, as_json: JsonOption = False) -> None:
    """Test the connection to Gainsight and list the objects and fields an admin has to create there.

    Makes one call per object, counted in the quota. Exit code 1 when something has to be done first.
    """
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.destinations.gainsight.check import needed_fields
    from gainsight_destination.destinations.gainsight.settings import parse_settings
    from gainsight_destination.errors import UserError

    with open_data(data) as opened:
        chosen = opened.destination(destination, only_type="gainsight")
    if chosen.type != "gainsight":
        raise UserError(f"{chosen.name} is of type {chosen.type}; only `gainsight` has objects and fields to check")
    settings = parse_settings(chosen.settings)
    quiet_logs()
    report = asyncio.run(_check(data, chosen.id, chosen.name, settings))
    if as_json:
        print_json(
            {
                "destination": chosen.name,
                "domain": settings.domain,
                "ok": report.ok,
                "connected": report.connected,
                "objects": needed_of(report.objects, needed_fields(settings)),
                "findings": [
                    {"severity": f.severity, "object": f.object, "field": f.field, "whatToDo": f.what_to_do}
                    for f in report.findings
                ],
            }
        )
    else:
        where = f"{chosen.name} at {settings.domain}"
        console.print(f"{where}: {'connected' if report.connected else 'NOT connected'}", highlight=False, markup=False)
        for finding in report.findings:
            subject = f"{finding.object}: " if finding.object else ""
            first, *fields = one_per_line(finding.what_to_do)
            console.print(f"  {finding.severity}: {subject}{first}")
            for field in fields:
                console.print(f"      {field}")
        if report.ok:
            console.print(f"  ready: {', '.join(report.objects)}", highlight=False, markup=False)
    if not report.ok:
        raise typer.Exit(1)


def needed_of(
    objects: Mapping[str, Mapping[str, str]], needed: "Mapping[str, Sequence[Needed]]"
) -> dict[str, dict[str, str]]:
    """The objects with the types of those of their fields that are written, not of all they have."""
    return {
        name: {field.name: fields[field.name] for field in needed[name] if field.name in fields}
        for name, fields in objects.items()
    }


def one_per_line(what_to_do: str) -> list[str]:
    """An advice, and after it each field of an object that has to be created."""
    advice, colon, fields = what_to_do.partition(" with the fields ")
    return [f"{advice} with the fields", *fields.split("; ")] if colon else [what_to_do]


def quiet_logs() -> None:
    """A command's own output says what happened; only warnings of the parts it uses are shown beside it."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


async def _check(data: Path, destination_id: int, name: str, settings: Any) -> Any:
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.deliver.calls import EngineCalls
    from gainsight_destination.destinations.contract import QuotaSpentError
    from gainsight_destination.destinations.gainsight.check import check_tenant
    from gainsight_destination.destinations.gainsight.destination import GainsightDestination
    from gainsight_destination.errors import UnavailableError
    from gainsight_destination.store.database import Database

    database = Database(data / "state.db")
    clock = SystemClock()
    calls = EngineCalls(database, clock, destination_id, name, GainsightDestination(settings))
    try:
        while True:
            try:
                return await check_tenant(settings, calls)
            except QuotaSpentError as error:
                wait_seconds = (error.retry_at_ms - clock.now_ms()) / 1000
                if wait_seconds > 90:
                    raise UnavailableError("our share of today's calls is used up; try again tomorrow (UTC)") from error
                await clock.sleep(max(0.05, wait_seconds))
    finally:
        await calls.close()
        database.close()
