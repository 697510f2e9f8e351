"""What commands print with: text for people, JSON for programs, and errors on stderr."""

import json
from typing import Any

from rich.console import Console

console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Standard output. Lines are left as they are; markup in what users named is not read."""

errors = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
"""Standard error: problems, warnings and progress."""


def print_json(document: Any) -> None:
    """Print one JSON document on standard output, indented, in UTF-8."""
    console.file.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
