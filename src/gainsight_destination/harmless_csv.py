"""CSV that people open in spreadsheets: a text there must not run as a formula (OWASP, CSV injection)."""

import csv
import io
from collections.abc import Iterable
from typing import Final

FORMULA: Final = frozenset("=+-@\t\r\n")
"""What a text begins with that a spreadsheet takes for a formula."""


def line(cells: Iterable[object]) -> str:
    """A line with its end. A text that would run as a formula gets an apostrophe before it; None is empty."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(["" if cell is None else harmless(str(cell)) for cell in cells])
    return text.getvalue()


def harmless(text: str) -> str:
    return f"'{text}" if text[:1] in FORMULA and text else text
