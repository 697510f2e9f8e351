"""What the benchmarks report with: percentiles, goals, tables, sections, plots, and the bound of the B2B day."""

from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.b2b_traffic import DAY_MS, Timed, day, lower_bound
from benchmarks.plot import Chart, Series, draw, ticks
from benchmarks.report import Table, goal, percentile
from benchmarks.results import with_section

HOUR_MS = 3_600_000


@pytest.mark.parametrize(("percent", "value"), [(50, 5.0), (99, 10.0), (90, 9.0), (91, 10.0), (10, 1.0)])
def test_a_percentile_is_a_measured_value(percent: float, value: float) -> None:
    """The nearest rank: never a value between two, never one that too few values stay below."""
    assert percentile([float(n) for n in range(10, 0, -1)], percent) == value


def test_goals_say_whether_they_are_met() -> None:
    assert goal(150_000, at_least=150_000) == ">= 150,000: met"
    assert goal(1.16, at_most=1.15) == "<= 1.15: missed"


def test_a_table_aligns_numbers_and_shows_what_was_not_measured() -> None:
    text = Table(("what", "rate", "p99"), [("a", 123_456.7, None), ("b", 12, 3.456)]).markdown()
    assert text.splitlines() == [
        "| what | rate | p99 |",
        "| --- | ---: | ---: |",
        "| a | 123,457 | - |",
        "| b | 12 | 3.46 |",
    ]


def test_a_section_takes_the_place_of_its_older_one() -> None:
    text = with_section(with_section("# Results\n", "one", "old"), "two", "other")
    assert with_section(text, "one", "new") == text.replace("old", "new")


@pytest.mark.parametrize(("low", "high"), [(0, 7), (0, 123_456), (0, 0.03), (0, 0), (5, 60.2), (100_000, 10_000_000)])
def test_ticks_are_few_and_reach_around_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 9


def test_a_plot_is_well_formed_and_the_same_each_time() -> None:
    """One line is drawn per series; titles with special characters do no harm."""
    chart = Chart(
        "a < b", ("x", "y"), [Series("p50", [(1, 2), (64, 3)]), Series("p99", [(1, 4), (64, 9)])], goal=(5, "g")
    )
    svg = draw([chart, chart, chart])
    assert svg == draw([chart, chart, chart])
    lines = ElementTree.fromstring(svg).findall(".//{*}path[@class='l1']")
    assert len(lines) == 6  # in the plot and in its legend


def said(number: int, at_ms: int, **what: Any) -> Timed:
    return Timed(at_ms, {"messageId": f"m{number}", "userId": "ana", **what})


def track(number: int, at_ms: int) -> Timed:
    return said(number, at_ms, type="track", event="Seen", properties={"accountId": "a"})


def identify(number: int, at_ms: int, name: str) -> Timed:
    return said(number, at_ms, type="identify", traits={"firstName": name})


def test_the_bound_counts_each_changed_record_once_per_window() -> None:
    """Sixty tracks of an hour are 60 event rows, two calls, and one usage record; duplicates add nothing."""
    hour = [track(number, number * 60_000) for number in range(60)]
    bound = lower_bound([*hour, hour[3]], 0, HOUR_MS)
    assert bound.calls == bound.calls_apart == 2 + 1
    assert bound.records == {"event": 60, "usage": 1}
    next_hour = track(60, HOUR_MS)
    assert lower_bound([*hour, next_hour], 0, HOUR_MS).calls == 3 + 2


def test_the_bound_leaves_out_what_changes_nothing() -> None:
    """A repeated identify is free; the first one also changes the user's earlier rows, once."""
    repeats = [identify(0, 0, "Ana"), identify(1, HOUR_MS, "Ana"), identify(2, 2 * HOUR_MS, "Anna")]
    assert lower_bound(repeats, 0, HOUR_MS).calls == 2
    late = [track(0, 0), identify(1, HOUR_MS, "Ana"), identify(2, 2 * HOUR_MS, "Anna")]
    assert lower_bound(late, 0, HOUR_MS).calls == 2 + 3 + 1


def test_the_bound_with_inserts_apart_needs_a_call_for_each_kind() -> None:
    """A usage record that is there and one that is new cannot share a call of the API."""
    other = track(2, HOUR_MS + 1)
    other.message["event"] = "Saved"
    bound = lower_bound([track(0, 0), track(1, HOUR_MS), other], 0, HOUR_MS)
    assert (bound.calls, bound.calls_apart) == (4, 5)


def test_the_day_is_as_described() -> None:
    """A tenth identify, a twentieth group, four fifths track, and one in a hundred twice."""
    messages = [timed.message for timed in day(10_000, 0, [f"a{n}" for n in range(200)])]
    counts = {kind: sum(m["type"] == kind for m in messages) for kind in ("identify", "group", "track", "page")}
    assert counts == pytest.approx({"identify": 1_000, "group": 500, "track": 8_000, "page": 500}, rel=0.1)
    assert len(messages) - len({m["messageId"] for m in messages}) == pytest.approx(100, rel=0.3)
    assert max(timed.at_ms for timed in day(10, 0, ["a"])) < DAY_MS
