"""docs/metrics.md lists every metric as it is declared. Run this file to write the table anew."""

import sys
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from gainsight_destination.observe import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- table: generated -->\n", "<!-- end of table -->\n"
COMMAND = ".venv/bin/python tests/docs/test_docs_metrics.py"


def table() -> str:
    """Every metric of `observe/metrics.py`, in the order of their declaration."""
    lines = ["| metric | kind | labels | process | meaning |", "|---|---|---|---|---|"]
    for metric in vars(metrics).values():
        if not isinstance(metric, Counter | Gauge | Histogram):
            continue
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        process = "ingest" if metric in metrics.INGEST._collector_to_names else "engine"
        lines.append(f"| `{name}` | {family.type} | {labels} | {process} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table() + "\n" + END + after


def test_the_table_of_metrics_is_as_declared() -> None:
    """A metric that is added, renamed or explained anew is so in the docs."""
    page = PAGE.read_text("utf-8")
    assert page == with_table(page), f"docs/metrics.md is stale; write it anew with: {COMMAND}"


def test_every_process_has_metrics() -> None:
    """The table is not empty for either process."""
    assert "| ingest |" in table()
    assert "| engine |" in table()


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
