"""docs/edge-cases.md lists every decided edge case. Run this file to write the table anew."""

import sys
from pathlib import Path

from tests.support.edge_cases import OF_SEGMENT, Case, cases, number_of

PAGE = Path(__file__).parents[2] / "docs" / "edge-cases.md"
BEGIN, END = "<!-- table: generated -->\n", "<!-- end of table -->\n"
COMMAND = ".venv/bin/python -m tests.docs.test_docs_edge_cases"


def row(name: str, case: Case) -> str:
    decision = case.decision + (f". *Why:* {case.why}" if case.why else "")
    cells = [str(number_of(name)), case.case, decision, case.segment if number_of(name) in OF_SEGMENT else ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    head = ["| # | case | here | at Segment |", "|---|---|---|---|"]
    return "\n".join([*head, *(row(name, case) for name, case in cases().items())]) + "\n"


def with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table() + "\n" + END + after


def test_the_table_of_edge_cases_is_as_tested() -> None:
    """What the page says of a case is what the file with its requests says."""
    page = PAGE.read_text("utf-8")
    assert page == with_table(page), f"docs/edge-cases.md is stale; write it anew with: {COMMAND}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
