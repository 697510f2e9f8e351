"""docs/delivery.md shows what each answer of Gainsight means as the code has it. Run this file to write it anew."""

import sys
from pathlib import Path

from gainsight_destination.deliver.calls import CALL_SECONDS, TIMEOUT_SECONDS, UPLOAD_SECONDS
from gainsight_destination.destinations.gainsight.responses import ANSWERS, REFUSALS, SPECIAL

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
BEGIN, END = "<!-- answers: generated -->\n", "<!-- end of answers -->\n"
COMMAND = ".venv/bin/python tests/docs/test_docs_answers.py"


def tables() -> str:
    """Every class of answers in the order in which they are looked at, the special cases, and the known refusals."""
    seconds = f"no answer in {TIMEOUT_SECONDS:.0f} seconds"
    whole = f"no whole answer in {CALL_SECONDS:.0f} (a file: {UPLOAD_SECONDS:.0f})"
    lines = [
        "| answer | what is done |",
        "|---|---|",
        *(f"| {kind.answer} | {kind.done} |" for kind in ANSWERS),
        '| a 2xx with `"result": true` | **done** |',
        "| no connection | back off; certainly nothing was done |",
        f"| connection broken, {seconds}, or {whole} | back off; it may have done what was asked |",
        "",
        "Refused data means something else in some places:",
        "",
        "| code | where | what is done |",
        "|---|---|---|",
    ]
    for special in SPECIAL:
        codes = " or ".join(f"`{code}`" for code in sorted(special.codes)) or "any"
        lines.append(f"| {codes} | {special.channel} | {special.done} |")
    lines += ["", "Codes of refused data that are known; any other is refused data all the same:", ""]
    lines += ["| code | says |", "|---|---|", *(f"| `{code}` | {says} |" for code, says in REFUSALS.items())]
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + tables() + "\n" + END + after


def test_the_table_of_answers_is_that_of_the_code() -> None:
    """What is done about an answer is in the docs, in the order that decides."""
    page = PAGE.read_text("utf-8")
    assert BEGIN in page
    assert page == with_tables(page), f"docs/delivery.md is stale; write it anew with: {COMMAND}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
