"""Run benchmarks by name, or all of them, and write their tables to RESULTS.md."""

import argparse
import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.report import table

BENCHMARKS = ("ingest", "resolve", "b2b_day")
RESULTS = Path(__file__).parent / "RESULTS.md"


def machine() -> str:
    """What this ran on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def keep(name: str, section: str) -> None:
    """Put a benchmark's section in the place of its older one."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{section}\n{end}"
    if begin in text:
        text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    RESULTS.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--seconds", type=float, default=8, help="how long each measurement loads a server")
    parser.add_argument("--no-results", action="store_true", help="print only; leave RESULTS.md as it is")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHMARKS:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
        module = import_module(f"benchmarks.{name}")
        figures = table(module.run(seconds=arguments.seconds))
        print(f"{name}\n{figures}\n")
        command = f"`make bench ARGS={name}`" if arguments.seconds == 8 else f"`python {' '.join(sys.argv)}`"
        when = datetime.now(UTC).date().isoformat()
        if not arguments.no_results:
            keep(name, f"## {name}\n\n{module.__doc__.strip()}\n\n{command}, {when}; {machine()}.\n\n{figures}")


if __name__ == "__main__":
    main()
