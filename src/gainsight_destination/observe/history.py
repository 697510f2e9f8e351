"""Reads the history for charts: figures over time, summed up to steps of any length. See records/history.py."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from gainsight_destination.errors import UserError
from gainsight_destination.observe.names import Names
from gainsight_destination.records.history import (
    CALLS,
    HOUR_MINUTES,
    KEPT_MINUTES,
    LAG_MS,
    LATENCY_BOUNDS_MS,
    LATENCY_FIGURES,
    MINUTE_MS,
    REFUSED_CALLS,
    WORKSPACE,
)

MAX_STEPS: Final = 3_000
LATENCY_P50_MS: Final = "latency_p50_ms"
LATENCY_P95_MS: Final = "latency_p95_ms"
SUMS: Final = ("filtered", "parked", "delivered", "dead", CALLS, REFUSED_CALLS)
"""Of a destination, over all its sources."""


class Series(msgspec.Struct, frozen=True):
    """One figure, a value for each step. Sums are 0 where nothing happened; a latency is None where nothing was
    delivered, or where it took longer than a day; `lag_ms` is None where nothing was read."""

    figure: str
    destination: str | None
    """None: of the workspace."""
    source: str | None
    """None: over all sources."""
    values: list[int | None]


class History(msgspec.Struct, frozen=True):
    """Figures from `from_ms` on, in steps of `step_ms`. The last step may not be over yet."""

    from_ms: int
    step_ms: int
    series: list[Series]


def history(connection: sqlite3.Connection, from_ms: int, until_ms: int, step_ms: int) -> History:
    """All figures between two times; the first step begins at or before `from_ms`, and at a whole step of Unix time.

    Minutes are kept for 48 hours: what reaches back further is known by the hour. Raises UserError for a step that is
    no whole number of minutes, or of hours back there, and for more than MAX_STEPS.
    """
    step = _step_minutes(step_ms, until_ms - from_ms)
    first = from_ms // step_ms * step
    count = max(1, -(-(until_ms - first * MINUTE_MS) // step_ms))
    if count > MAX_STEPS:
        raise UserError(f"a history has at most {MAX_STEPS:,} steps; ask for longer steps or a shorter time")
    found: dict[tuple[int, int], dict[str, list[int | None]]] = defaultdict(lambda: defaultdict(lambda: [None] * count))
    rows = connection.execute(
        "SELECT (start - ?1) / ?2, destination_id, iif(destination_id = ?3, source_id, 0), figure,"
        f" iif(figure = '{LAG_MS}', max(value), sum(value)) FROM history"
        " WHERE step = ?4 AND start >= ?1 AND start < ?5 GROUP BY 1, 2, 3, 4",
        (first, step, WORKSPACE, HOUR_MINUTES if step % HOUR_MINUTES == 0 else 1, first + count * step),
    )
    for index, destination_id, source_id, figure, value in rows:
        found[destination_id, source_id][figure][index] = value
    return History(first * MINUTE_MS, step_ms, _series(found, Names.of(connection), count))


def _step_minutes(step_ms: int, length_ms: int) -> int:
    step, rest = divmod(step_ms, MINUTE_MS)
    if rest or step <= 0:
        raise UserError("the steps of a history are whole minutes")
    if step % HOUR_MINUTES and length_ms > KEPT_MINUTES * MINUTE_MS:
        raise UserError("minutes are kept for 48 hours; ask for steps of whole hours")
    return step


def _series(
    found: Mapping[tuple[int, int], Mapping[str, Sequence[int | None]]], names: Names, count: int
) -> list[Series]:
    series = []
    for (destination_id, source_id), figures in sorted(found.items()):
        if destination_id == WORKSPACE:
            source = names.source(source_id) if source_id else None
            series += [
                Series(figure, None, source, list(values) if figure == LAG_MS else _zeros(values))
                for figure, values in sorted(figures.items())
            ]
        else:
            series += _of_destination(names.destination(destination_id), figures, count)
    return series


def _of_destination(destination: str, figures: Mapping[str, Sequence[int | None]], count: int) -> list[Series]:
    nothing: list[int | None] = [None] * count
    buckets = [_zeros(figures.get(figure, nothing)) for figure in LATENCY_FIGURES]
    series = [Series(figure, destination, None, _zeros(figures.get(figure, nothing))) for figure in SUMS]
    for figure, share in ((LATENCY_P50_MS, 0.5), (LATENCY_P95_MS, 0.95)):
        values = [quantile_ms([bucket[index] or 0 for bucket in buckets], share) for index in range(count)]
        series.append(Series(figure, destination, None, values))
    return series


def _zeros(values: Sequence[int | None]) -> list[int | None]:
    return [value or 0 for value in values]


def quantile_ms(buckets: Sequence[int], share: float) -> int | None:
    """The bound within which this share of messages was delivered; None if there were none, or beyond the last."""
    wanted, seen = sum(buckets) * share, 0
    if not wanted:
        return None
    for bound_ms, messages in zip(LATENCY_BOUNDS_MS, buckets, strict=False):
        seen += messages
        if seen >= wanted:
            return bound_ms
    return None
