"""Whether Gainsight holds what the sample says it must, and the books read as they must."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from gainsight_destination.demo.sample import Expected

EVENTS: Final = "Segment_Event__gc"
USAGE: Final = "Segment_Usage_Daily__gc"
SHOWN: Final = 5


class GainsightState:
    """What the sandbox holds, from its control API."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def rows(self, object_name: str) -> list[dict[str, Any]]:
        """All rows of an object."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as client:
            response = await client.get("/_sandbox/state", params={"object": object_name})
            response.raise_for_status()
            (rows,) = response.json()["objects"].values()
            return list(rows)

    async def accounts(self) -> list[str]:
        """Salesforce account ids of Companies, in the 18-character form."""
        found = [row["SfdcAccountId"] for row in await self.rows("company")]
        return sorted(account for account in found if isinstance(account, str) and len(account) == 18)

    async def counts(self) -> dict[str, int]:
        """Rows per object that the destination writes."""
        return {name: len(await self.rows(name)) for name in ("company", "person", EVENTS, USAGE)}


async def verify(expected: Expected, document: Mapping[str, Any], state: GainsightState) -> list[str]:
    """What is wrong, in sentences; nothing when all is right."""
    books = document["destinations"]["gainsight"]
    problems = [] if books["balanced"] else ["not every message is accounted for"]
    problems += _books(expected, books)
    problems += _events(expected, await state.rows(EVENTS))
    problems += _usage(expected, await state.rows(USAGE))
    problems += _people(expected, await state.rows("person"))
    problems += _companies(expected, await state.rows("company"))
    return problems


def _books(expected: Expected, books: Mapping[str, Any]) -> list[str]:
    wanted = {
        "received": expected.received,
        "duplicates": expected.duplicates,
        "discarded": dict(expected.discarded),
        "filtered": dict(expected.filtered),
        "parked": dict(expected.parked),
        "pending": 0,
        "dead": 0,
    }
    return [
        f"{name}: expected {value}, the books say {books[name]}"
        for name, value in wanted.items()
        if books[name] != value
    ]


def _differences(what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[str]:
    keys = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    shown = [f"{what} {key}: expected {wanted.get(key)}, found {found.get(key)}" for key in sorted(keys, key=str)]
    more = [f"... and {len(shown) - SHOWN} more of {what}"] if len(shown) > SHOWN else []
    return shown[:SHOWN] + more


def _events(expected: Expected, rows: list[dict[str, Any]]) -> list[str]:
    found = {row["Message_Id__gc"]: (row["Account_Id__gc"], row["User_Id__gc"], row["Event_Name__gc"]) for row in rows}
    repeated = [f"{len(rows) - len(found)} event rows are there twice"] if len(rows) != len(found) else []
    return repeated + _differences("event", expected.events, found)


def _usage(expected: Expected, rows: list[dict[str, Any]]) -> list[str]:
    found: Counter[tuple[str, str, str, str]] = Counter()
    for row in rows:
        day = datetime.fromtimestamp(row["Usage_Date__gc"] / 1000, UTC).date().isoformat()
        found[row["Account_Id__gc"], row["User_Id__gc"], row["Event_Name__gc"], day] += row["Event_Count__gc"]
    return _differences("usage", expected.usage, found)


def _people(expected: Expected, rows: list[dict[str, Any]]) -> list[str]:
    found = {row["Email"]: {name: row[name] for name in ("FirstName", "LastName", "Name")} for row in rows}
    return _differences("person", expected.people, found)


def _companies(expected: Expected, rows: list[dict[str, Any]]) -> list[str]:
    found = {
        row["SfdcAccountId"]: {name: row[name] for name in ("Industry", "Employees")}
        for row in rows
        if row["SfdcAccountId"] in expected.companies
    }
    return _differences("company", expected.companies, found)
