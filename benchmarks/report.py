"""How a benchmark says what it measured."""

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured figure: what, how much, in which unit, and a remark."""

    what: str
    value: float
    unit: str
    remark: str = ""


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | figure | |", "| --- | ---: | --- |"]
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:,.2f}"
        lines.append(f"| {figure.what} | {value} {figure.unit} | {figure.remark} |")
    return "\n".join(lines)
