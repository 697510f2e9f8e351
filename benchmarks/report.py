"""How a benchmark says what it measured: tables, sentences and plots."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows under headings. Numbers are shown with as many digits as they deserve."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def markdown(self) -> str:
        numeric = [all(isinstance(row[n], int | float | None) for row in self.rows) for n in range(len(self.columns))]
        rule = ["---:" if right else "---" for right in numeric]
        return "\n".join(f"| {' | '.join(map(shown, row))} |" for row in (self.columns, rule, *self.rows))


@dataclass(frozen=True)
class Result:
    """What one benchmark found. Plots are SVG by file name."""

    tables: Sequence[Table]
    remarks: Sequence[str] = ()
    plots: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        return "\n\n".join([*(table.markdown() for table in self.tables), *self.remarks])


def shown(value: Any) -> str:
    """A cell's text: 1,234 or 56.7 or 8.90; a dash for what was not measured."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def goal(value: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    """The goal of the project for this figure, and whether it was reached."""
    if at_least is not None:
        return f">= {at_least:,.10g}: {'met' if value >= at_least else 'missed'}"
    assert at_most is not None
    return f"<= {at_most:,.10g}: {'met' if value <= at_most else 'missed'}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)] if ordered else float("nan")
