"""Line charts as SVG: legible in light and dark, small, and the same bytes for the same figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, COLUMNS = 440, 270, 2
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 58, 46
COLOURS = (("#0b62a4", "#6cb6ff"), ("#c2410c", "#ffa657"), ("#1a7f37", "#56d364"), ("#8250df", "#d2a8ff"))
STYLE = (
    "svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}"
    ".g{stroke:#d1d9e0}.a{stroke:#59636e}.goal{stroke:#59636e;stroke-dasharray:5 4}.m{fill:#59636e}"
    "path{fill:none;stroke-width:2;stroke-linejoin:round}"
)
DARK = "svg{background:#0d1117}text{fill:#e6edf3}.g{stroke:#30363d}.a,.goal{stroke:#9198a1}.m{fill:#9198a1}"


@dataclass(frozen=True)
class Series:
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Lines over one pair of axes; y begins at 0. A goal is a dashed line."""

    title: str
    axes: tuple[str, str]
    series: Sequence[Series]
    x_ticks: Sequence[float] | None = None
    log_x: bool = False
    goal: tuple[float, str] | None = None


def draw(charts: Sequence[Chart]) -> str:
    """All charts as one picture, two in a row."""
    columns = min(COLUMNS, len(charts))
    width, height = WIDTH * columns, HEIGHT * math.ceil(len(charts) / columns)
    colours = [
        "".join(f".l{n}{{stroke:{pair[dark]}}}.d{n}{{fill:{pair[dark]}}}" for n, pair in enumerate(COLOURS))
        for dark in (False, True)
    ]
    style = f"{STYLE}{colours[0]}@media(prefers-color-scheme:dark){{{DARK}{colours[1]}}}"
    panels = [
        f'<g transform="translate({number % columns * WIDTH} {number // columns * HEIGHT})">\n{_panel(chart)}\n</g>'
        for number, chart in enumerate(charts)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    title = escape("; ".join(chart.title for chart in charts))
    return "\n".join([f'{head} role="img">', f"<title>{title}</title><style>{style}</style>", *panels, "</svg>\n"])


def _panel(chart: Chart) -> str:
    xs = [x for line in chart.series for x, _ in line.points] or [0.0, 1.0]
    ys = [y for line in chart.series for _, y in line.points] + ([chart.goal[0]] if chart.goal else [])
    y_ticks = ticks(0, max(ys, default=1.0))
    x_ticks = chart.x_ticks or ticks(min(xs), max(xs))
    x_from, x_to = min(*xs, *x_ticks), max(*xs, *x_ticks)

    def across(x: float) -> float:
        scale = math.log if chart.log_x else float
        share = (scale(x) - scale(x_from)) / ((scale(x_to) - scale(x_from)) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def down(y: float) -> float:
        return round(HEIGHT - BOTTOM - y / y_ticks[-1] * (HEIGHT - TOP - BOTTOM), 1)

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [_text(LEFT, 20, chart.title, "t"), *(_legend(chart.series) if len(chart.series) > 1 else [])]
    for y in y_ticks:
        parts.append(f'<path class="{"g" if y else "a"}" style="stroke-width:1" d="M{LEFT} {down(y)}H{right}"/>')
        parts.append(_text(LEFT - 6, down(y) + 4, short(y), anchor="end"))
    parts += [_text(across(x), bottom + 17, short(x), anchor="middle") for x in x_ticks]
    parts.append(_text((LEFT + right) / 2, HEIGHT - 10, chart.axes[0], "m", "middle"))
    middle = (TOP + bottom) / 2
    turned = f' transform="rotate(-90 14 {middle:g})"'
    parts.append(_text(14, middle, chart.axes[1], "m", "middle", turned))
    if chart.goal:
        at, label = chart.goal
        parts.append(f'<path class="goal" style="stroke-width:1.5" d="M{LEFT} {down(at)}H{right}"/>')
        parts.append(_text(right, down(at) - 5, label, "m", "end"))
    for number, line in enumerate(chart.series):
        points = [(across(x), down(y)) for x, y in line.points]
        parts.append(f'<path class="l{number}" d="M{"L".join(f"{x:g} {y:g}" for x, y in points)}"/>')
        if len(points) <= 12:
            parts += [f'<circle class="d{number}" cx="{x:g}" cy="{y:g}" r="3"/>' for x, y in points]
    return "\n".join(parts)


def _legend(series: Sequence[Series]) -> list[str]:
    parts, x = [], LEFT
    for number, line in enumerate(series):
        parts.append(f'<path class="l{number}" d="M{x} 36h16"/>{_text(x + 21, 40, line.name)}')
        x += 40 + 7 * len(line.name)
    return parts


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "", more: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}{anchor}{more}>{escape(text)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from at or above `low` to at or above `high`."""
    span = (high - low) or abs(high) or 1
    high = max(high, low + span)
    power = 10 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 6)
    first = math.floor(low / step + 1e-9)
    return [round(n * step, 10) for n in range(first, math.ceil(high / step - 1e-9) + 1)]


def short(value: float) -> str:
    """A tick's label."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
