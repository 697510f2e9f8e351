"""How the product stands: the books of each source and destination, pauses, quota, and whether the books balance.

Read from the data directory itself, so it is the same with and without a running server. The unread part of the log
counts as received and pending; it is looked at after the store, so it never comes out negative.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from gainsight_destination.deliver import failures, jobs, pauses, quota
from gainsight_destination.deliver.forecast import NEARLY_FULL, Kind, forecast
from gainsight_destination.destinations.contract import Outline
from gainsight_destination.destinations.registry import outline
from gainsight_destination.eventlog.backlog import read_bytes, unread_bytes
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.records import counts, replays
from gainsight_destination.records.held_rows import held_rows
from gainsight_destination.records.priorities import Priority
from gainsight_destination.replay.service import told

WORKSPACE: Final = 0
UNKNOWN_SOURCE: Final = 0
STATES: Final = ("discarded", "duplicates", "filtered", "parked", "pending", "delivered", "dead")
BY_REASON: Final = frozenset({"discarded", "filtered", "parked"})


def status(connection: sqlite3.Connection, log: EventLog, now_ms: int) -> dict[str, Any]:
    """The status document; `connection` is inside a read transaction, so that all figures are of one instant."""
    books = connection.execute(
        "SELECT destination_id, source_id, state, reason, messages FROM books WHERE messages <> 0"
    ).fetchall()
    read = dict(connection.execute("SELECT source_id, messages FROM read_messages"))
    read_body_bytes = read_bytes(connection)
    sources = dict(connection.execute("SELECT id, name FROM sources"))
    connected = connection.execute(
        "SELECT destination_id, source_id FROM connections JOIN destinations ON id = destination_id WHERE enabled"
    ).fetchall()
    destinations = connection.execute(
        "SELECT id, name, type, enabled, settings FROM destinations ORDER BY name"
    ).fetchall()
    details = {
        destination_id: _destination_details(
            connection, destination_id, bool(enabled), outline(kind, json.loads(settings)), now_ms
        )
        for destination_id, _, kind, enabled, settings in destinations
    }
    notices = connection.execute(
        "SELECT destination_id, kind, subject, times FROM notices ORDER BY destination_id, kind, subject"
    ).fetchall()
    # The log last: what was appended since can only add to the unread part.
    received = log.received()
    unread = {source_id: received.get(source_id, 0) - read.get(source_id, 0) for source_id in received}
    return {
        "sources": {
            name: {"id": source_id}
            | _source(
                [row for row in books if row[0] == WORKSPACE and row[1] == source_id],
                received.get(source_id, 0),
                unread.get(source_id, 0),
            )
            for source_id, name in sorted(sources.items(), key=lambda item: item[1])
        },
        "unknownWriteKey": {"received": received.get(UNKNOWN_SOURCE, 0)},
        "destinations": {
            name: _destination(
                [row for row in books if row[0] == destination_id],
                sum(unread.get(source_id, 0) for d, source_id in connected if d == destination_id),
                {source_id: sources[source_id] for source_id in sources},
                {s: unread.get(s, 0) for d, s in connected if d == destination_id},
            )
            | {"id": destination_id, "type": kind}
            | details[destination_id]
            | {"notices": _notices(notices, destination_id) | _nearly_full(details[destination_id]["rows"])}
            for destination_id, name, kind, _, _ in destinations
        },
        "log": {
            "end": log.end(),
            "start": log.start(),
            "unread": sum(unread.values()),
            "unreadBytes": sum(unread_bytes(read_body_bytes, log).values()),
            "bytes": log.size_bytes(),
        },
        "notices": _notices(notices, WORKSPACE),
    }


def _source(books: list[tuple[int, int, str, str, int]], received: int, unread: int) -> dict[str, Any]:
    counted = _totals(books)
    return {
        "received": received,
        "discarded": counted["discarded"],
        "duplicates": counted["duplicates"],
        "accepted": sum(row[4] for row in books if row[2] == "accepted"),
        "pending": unread,
    }


def _totals(books: list[tuple[int, int, str, str, int]]) -> dict[str, Any]:
    totals: dict[str, Any] = {state: {} if state in BY_REASON else 0 for state in STATES}
    for _, _, state, reason, messages in books:
        if state in BY_REASON:
            totals[state][reason] = totals[state].get(reason, 0) + messages
        elif state in totals:
            totals[state] += messages
    return totals


def _destination(
    books: list[tuple[int, int, str, str, int]],
    unread: int,
    sources: Mapping[int, str],
    unread_of_source: Mapping[int, int],
) -> dict[str, Any]:
    def account(rows: list[tuple[int, int, str, str, int]], pending: int) -> dict[str, Any]:
        totals = _totals(rows)
        totals["pending"] += pending
        received = sum(row[4] for row in rows if row[2] == "received") + pending
        return {"received": received, **totals, "balanced": received == _sum(totals)}

    source_ids = sorted({row[1] for row in books} | set(unread_of_source), key=lambda s: sources.get(s, ""))
    return account(books, unread) | {
        "sources": {
            sources.get(source_id, str(source_id)): account(
                [row for row in books if row[1] == source_id], unread_of_source.get(source_id, 0)
            )
            for source_id in source_ids
        }
    }


def _sum(totals: Mapping[str, Any]) -> int:
    return sum(sum(value.values()) if isinstance(value, dict) else value for value in totals.values())


def _destination_details(
    connection: sqlite3.Connection, destination_id: int, enabled: bool, known: Outline | None, now_ms: int
) -> dict[str, Any]:
    paused = pauses.select(connection, destination_id)
    failure = failures.select(connection, destination_id)
    used = quota.spent(connection, destination_id, now_ms)
    rows = held_rows(connection, destination_id)
    records: dict[str, Counter[str]] = {}
    waiting: Counter[Kind] = Counter()
    priorities: Counter[str] = Counter()
    for kind in counts.of_destination(connection, destination_id):
        records.setdefault(kind.object, Counter())[kind.state] += kind.records
        if kind.state in ("dirty", "queued") and kind.object not in paused:
            waiting[Kind(kind.object, kind.presence, kind.batch_limit)] += kind.records
            priorities[Priority(kind.priority).name.lower()] += kind.records
    under_way = jobs.uploading(connection, destination_id)
    for object_name, uploaded in under_way.items():  # these wait for nothing but their file
        inserted = min(uploaded, waiting[Kind(object_name, "uncertain", None)])
        waiting[Kind(object_name, "uncertain", None)] -= inserted
        waiting[Kind(object_name, "present", None)] -= uploaded - inserted
    if under_way:  # whose priorities are not known apart
        priorities.clear()
    files_hour, files_day = quota.uploads(connection, destination_id, now_ms)
    state = "disabled" if not enabled else "paused" if "" in paused else "running"
    return {
        "state": state,
        "pauses": [
            {
                "object": pause.object or None,
                "reason": pause.reason,
                "since": pause.since_ms,
                "retryAt": pause.retry_at_ms,
            }
            for pause in paused.values()
        ],
        "failing": None
        if failure is None
        else {
            "reason": failure.reason,
            "since": failure.since_ms,
            "retryAt": failure.retry_at_ms,
            "times": failure.times,
        },
        "calls": {
            "minute": used.minute,
            "day": used.day,
            "total": used.total,
            "minuteShare": known and known.limits.calls_per_minute,
            "dayShare": known and known.limits.calls_per_day,
        },
        "forecast": _forecast(known, waiting, priorities, used, now_ms) if known and state == "running" else None,
        "replays": [told(connection, replay) for replay in replays.unfinished(connection, destination_id)],
        "uploads": {"hour": files_hour, "day": files_day, "records": under_way},
        "records": records,
        "rows": {
            spec.name: {"held": rows[spec.name], "max": spec.max_rows}
            for spec in (known.objects if known else ())
            if spec.max_rows is not None and spec.name in rows
        },
    }


def _forecast(
    known: Outline, waiting: Mapping[Kind, int], priorities: Mapping[str, int], used: quota.Spent, now_ms: int
) -> dict[str, Any]:
    found = forecast(known.objects, waiting, known.limits, used, now_ms)
    return {
        "records": found.records,
        "priorities": priorities,
        "calls": found.calls,
        "drainedAt": found.last_call_at_ms,
    }


def _nearly_full(rows: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The notice about objects that cannot hold many more rows."""
    found = {name: row["held"] for name, row in rows.items() if row["held"] >= row["max"] * NEARLY_FULL}
    return {"object_nearly_full": found} if found else {}


def _notices(rows: list[tuple[int, str, str, int]], destination_id: int) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row_destination_id, kind, subject, times in rows:
        if row_destination_id == destination_id:
            found.setdefault(kind, {})[subject] = times
    return found


def balanced(document: Mapping[str, Any]) -> bool:
    """Whether the books of every destination balance, in all and source by source."""
    return all(
        destination["balanced"] and all(source["balanced"] for source in destination["sources"].values())
        for destination in document["destinations"].values()
    )
