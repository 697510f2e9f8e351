"""Charts as SVG from the server: one or two lines over time, with their figures in words for who cannot see them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gainsight_destination.console.words import number

WIDTH: Final = 600
HEIGHT: Final = 120
TOP: Final = 8
BOTTOM: Final = 18


class Line(NamedTuple):
    """A named series; None where nothing is known."""

    name: str
    values: Sequence[int | None]


class Chart(NamedTuple):
    """What a template draws. Coordinates are of a box of WIDTH by HEIGHT."""

    title: str
    unit: str
    lines: tuple[tuple[str, str, str], ...]
    """(name, class, path) of each."""
    highest: str
    summary: str
    """The same in words."""
    first: str
    last: str


def chart(title: str, unit: str, lines: Sequence[Line], first: str, last: str, *, most: int | None = None) -> Chart:
    """A chart of lines that share one scale. `most`: a limit that the scale includes."""
    known = [value for line in lines for value in line.values if value is not None]
    top = max([*known, most or 0, 1])
    drawn = tuple(
        (line.name, "line second" if position else "line", path_of(line.values, top))
        for position, line in enumerate(lines)
    )
    words = "; ".join(f"{line.name}: {told(line.values, unit)}" for line in lines)
    highest = f"{number(top)} {unit}".strip()
    return Chart(title, unit, drawn, highest, f"{title}, {first} to {last}. {words}", first, last)


def told(values: Sequence[int | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "nothing yet"
    last = next(value for value in reversed(values) if value is not None)
    return f"highest {number(max(known))} {unit}, now {number(last)} {unit}"


def path_of(values: Sequence[int | None], top: int) -> str:
    """An SVG path; a gap where nothing is known. A value alone between gaps is a short stroke, to be seen."""
    step = WIDTH / max(1, len(values) - 1)
    parts, pen = [], "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
        parts.append(f"{pen}{index * step:.1f} {y:.1f}")
        if pen == "M" and values[index + 1 : index + 2] in ([], [None]):
            parts.append("h-4" if index else "h4")
        pen = "L"
    return " ".join(parts)
