"""The tenant's quota: fixed windows of the clock minute and the UTC day, shared by everyone who calls.

Gainsight documents 100 calls a minute and 50,000 a day (100,000 on another page), and for bulk imports 10 an hour and
100 a day. A throttled call gets 429 and neither Retry-After nor any other hint.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, Literal

from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.switches import Switches
from gainsight_destination.sandbox.tenant import Tenant

Quota = Literal["calls", "bulk", "none"]
WINDOW_MS: Final = {"minute": 60_000, "day": 86_400_000, "bulk_hour": 3_600_000, "bulk_day": 86_400_000}


def windows(quota: Quota, switches: Switches) -> tuple[tuple[str, int | None], ...]:
    """The windows that a call counts in, with their limits; None is no limit."""
    if quota == "none":
        return ()
    if quota == "bulk":
        return (("bulk_hour", switches.bulk_calls_per_hour), ("bulk_day", switches.bulk_calls_per_day))
    return (("minute", switches.calls_per_minute), ("day", switches.calls_per_day))


def admit(tenant: Tenant, quota: Quota) -> bool:
    """Count a call; False when it is beyond a limit. Refused calls are counted apart and use nothing up."""
    found = windows(quota, tenant.switches)
    starts = {window: tenant.now_ms // WINDOW_MS[window] * WINDOW_MS[window] for window, _ in found}
    accepted = all(
        limit is None or _accepted(tenant.connection, window, starts[window]) < limit for window, limit in found
    )
    column = "accepted" if accepted else "refused"
    for window, start_ms in starts.items():
        tenant.connection.execute(
            "INSERT INTO quota VALUES (?, ?, ?, ?) ON CONFLICT (window, start_ms)"
            f" DO UPDATE SET {column} = {column} + 1",
            (window, start_ms, int(accepted), int(not accepted)),
        )
    return accepted


def throttled(code: str) -> RefusedError:
    return RefusedError(429, code, "Too many request")


def spent(connection: sqlite3.Connection, now_ms: int) -> dict[str, int]:
    """Calls accepted in the current window of each kind."""
    return {window: _accepted(connection, window, now_ms // width * width) for window, width in WINDOW_MS.items()}


def ledger(connection: sqlite3.Connection, window: str, *, since_ms: int = 0) -> Iterator[dict[str, Any]]:
    """The windows of a kind that saw a call, oldest first."""
    for start_ms, accepted, refused in connection.execute(
        "SELECT start_ms, accepted, refused FROM quota WHERE window = ? AND start_ms >= ? ORDER BY start_ms",
        (window, since_ms),
    ):
        yield {"start_ms": start_ms, "accepted": accepted, "refused": refused}


def _accepted(connection: sqlite3.Connection, window: str, start_ms: int) -> int:
    row = connection.execute(
        "SELECT accepted FROM quota WHERE window = ? AND start_ms = ?", (window, start_ms)
    ).fetchone()
    return 0 if row is None else int(row[0])
