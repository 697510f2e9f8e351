"""Keeps what was measured: a section of RESULTS.md per benchmark, and its plots in docs/img/."""

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Result

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
IMAGES = ROOT / "docs" / "img"


def machine() -> str:
    """What this ran on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def section(name: str, about: str, command: str, result: Result) -> str:
    """A benchmark's part of RESULTS.md."""
    when = datetime.now(UTC).date().isoformat()
    return f"## {name}\n\n{about.strip()}\n\n`{command}`, {when}; {machine()}.\n\n{result.markdown()}"


def with_section(text: str, name: str, content: str) -> str:
    """The text with a benchmark's section in the place of its older one, or at the end."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{content}\n{end}"
    if begin in text:
        return text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    return f"{text.rstrip()}\n\n{block}\n"


def keep(name: str, content: str, result: Result) -> None:
    """Write a benchmark's section and plots."""
    text = RESULTS.read_text("utf-8") if RESULTS.exists() else "# Results\n"
    RESULTS.write_text(with_section(text, name, content), "utf-8")
    IMAGES.mkdir(exist_ok=True)
    for file, svg in result.plots.items():
        (IMAGES / file).write_text(svg, "utf-8")
