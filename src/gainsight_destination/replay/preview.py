"""What a replay would do: the replay itself, in transactions that are undone, so that the preview cannot differ.

Each chunk holds the one write lock of the state for some milliseconds, as a chunk of a real replay does; `breathe` is
called between them.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gainsight_destination.deliver import quota
from gainsight_destination.deliver.forecast import Kind, forecast
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.records import replays
from gainsight_destination.records.replays import Figures, Selection
from gainsight_destination.replay.service import check, get, stretch_of
from gainsight_destination.resolve.replay import look_at_chunk
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.store.database import transaction


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would do now. `calls` and `last_call_at_ms` are the most it takes: what is equal costs none."""

    log_messages: int
    figures: Figures
    calls: int
    last_call_at_ms: int | None
    """When the last of them can be sent with the quota that is left, behind all that waits; None: there is none."""
    sends_messages: bool
    """The destination gets messages as they came, so that a replay sends them to it once more."""


def told(shown: Preview) -> dict[str, Any]:
    """A preview as it is shown to programs, in the words of `service.told`."""
    figures = shown.figures
    last = shown.last_call_at_ms
    return {
        "log": {"messages": shown.log_messages, "gone": figures.gone, "notChosen": figures.passed},
        "messages": {"chosen": figures.chosen, "touched": figures.touched, "skipped": dict(figures.skipped)},
        "records": {"due": dict(figures.due)},
        "calls": shown.calls,
        "lastCallAt": None if last is None else iso_utc(last),
        "sendsMessages": shown.sends_messages,
    }


class _UndoneError(Exception):
    """Ends a transaction that was never meant to last."""


def preview(
    connection: sqlite3.Connection,
    log: EventLog,
    destinations: Sequence[Connected],
    limited: frozenset[int],
    destination_id: int,
    selection: Selection,
    *,
    again: bool,
    now_ms: int,
    breathe: Callable[[], None] = lambda: None,
) -> Preview:
    """Look at everything that a replay would look at. `connection` may write, and is in no transaction.

    `destinations` are the enabled ones, `limited` the sources of limited trust. Raises UserError.
    """
    check(selection)
    (connected,) = (connected for connected in destinations if connected.id == destination_id)
    first, end = stretch_of(connection, log, selection)
    due = _Due()
    counted: Counter[tuple[str, str]] = Counter()
    offset = first
    while offset < end:
        with suppress(_UndoneError), transaction(connection):
            resolver = Resolver(connection, log, destinations, duplicate_window_ms=0, limited=limited)
            replay_id = replays.create(
                connection, destination_id, selection, (offset, end), again=again, actor="", now_ms=now_ms
            )
            look_at_chunk(resolver, connected, get(connection, replay_id), now_ms)
            offset = get(connection, replay_id).next_offset
            counted.update(replays.figures_by_subject(connection, replay_id))
            due.gather(connection, replay_id)
            raise _UndoneError
        breathe()
    destination = connected.destination
    used = quota.spent(connection, destination_id, now_ms)
    calls = forecast(destination.objects, due.kinds, destination.limits, used, now_ms).calls
    ahead = Counter(due.kinds)
    ahead.update(_waiting(connection, destination_id))
    last = forecast(destination.objects, ahead, destination.limits, used, now_ms).last_call_at_ms if calls else None
    for name, records in due.objects.items():
        counted[replays.DUE, name] = records
    figures = replays.figures_of(counted)
    sends_messages = any(spec.ordered for spec in destination.objects)
    return Preview(end - first, figures, calls, last, sends_messages)


class _Due:
    """The records that would be due, each once, by what their calls depend on."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.objects: Counter[str] = Counter()
        self._seen: set[tuple[str, str]] = set()

    def gather(self, connection: sqlite3.Connection, replay_id: int) -> None:
        """Add what a chunk made due; records of one message alone cannot come twice."""
        for object_name, key, shared, presence, batch_limit in connection.execute(
            "SELECT object, key, shared, presence, batch_limit FROM replay_records JOIN records ON id = record_id"
            " WHERE replay_id = ?",
            (replay_id,),
        ):
            if shared and (object_name, key) in self._seen:
                continue
            if shared:
                self._seen.add((object_name, key))
            self.kinds[Kind(object_name, presence, batch_limit)] += 1
            self.objects[object_name] += 1


def _waiting(connection: sqlite3.Connection, destination_id: int) -> dict[Kind, int]:
    rows = connection.execute(
        "SELECT object, presence, batch_limit, count(*) FROM records WHERE destination_id = ?"
        " AND state IN ('dirty', 'queued') GROUP BY 1, 2, 3",
        (destination_id,),
    )
    return {Kind(object_name, presence, limit): count for object_name, presence, limit, count in rows}
