"""When what waits will have gone, if calls go on at our share of the quota. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gainsight_destination.deliver.quota import DAY_MINUTES, MINUTE_MS, Spent, next_call_at_ms
from gainsight_destination.destinations.contract import Limits, ObjectSpec, Presence

NEARLY_FULL: Final = 0.8
"""Part of an object's rows from which on a person should know."""


class Kind(NamedTuple):
    """Records that go together: of one object, one presence and one limit of their batches (None: the object's)."""

    object: str
    presence: Presence
    batch_limit: int | None


class Forecast(NamedTuple):
    """`records` wait, `calls` carry them, and the last call can be sent at `last_call_at_ms` (None: nothing waits).

    An estimate: records that turn out unchanged need no call, and what is refused or looked up needs more.
    """

    records: int
    calls: int
    last_call_at_ms: int | None


def forecast(
    objects: Sequence[ObjectSpec], waiting: Mapping[Kind, int], limits: Limits, used: Spent, now_ms: int
) -> Forecast:
    """What it takes to deliver the `waiting` records, by kind, of these objects; other objects are left out."""
    specs = {spec.name: spec for spec in objects}
    known = {kind: records for kind, records in waiting.items() if kind.object in specs and records > 0}
    calls = sum(_calls(specs[kind.object], kind, records) for kind, records in known.items())
    at_ms = last_call_at_ms(calls, limits, used, now_ms) if calls else None
    return Forecast(sum(known.values()), calls, at_ms)


def _calls(spec: ObjectSpec, kind: Kind, records: int) -> int:
    batches = -(-records // min(spec.batch_size, kind.batch_limit or spec.batch_size))
    looks = batches if kind.presence == "uncertain" else 0  # a query before the call
    return min(batches * spec.calls_per_batch, records) + looks


def last_call_at_ms(calls: int, limits: Limits, used: Spent, now_ms: int) -> int:
    """When the last of so many calls, at least one, can be sent, to the minute: now if all of them fit into this one.

    Every minute takes `calls_per_minute`, every UTC day `calls_per_day`, less what is `used` of the present ones.
    """
    first_ms = next_call_at_ms(limits, used, now_ms)
    minute, now_minute = first_ms // MINUTE_MS, now_ms // MINUTE_MS
    day, today = minute // DAY_MINUTES, now_minute // DAY_MINUTES
    left_in_day = limits.calls_per_day - (used.day if day == today else 0)
    in_first = min(limits.calls_per_minute - (used.minute if minute == now_minute else 0), left_in_day)
    if calls <= in_first:
        return first_ms
    calls -= in_first
    rest_of_day = min(left_in_day - in_first, ((day + 1) * DAY_MINUTES - 1 - minute) * limits.calls_per_minute)
    if calls > rest_of_day:
        whole_day = min(limits.calls_per_day, DAY_MINUTES * limits.calls_per_minute)
        days, calls = divmod(calls - rest_of_day - 1, whole_day)
        minute, calls = (day + 1 + days) * DAY_MINUTES - 1, calls + 1
    minute += -(-calls // limits.calls_per_minute)
    return minute * MINUTE_MS + round(limits.edge_seconds * 1000)
