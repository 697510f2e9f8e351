"""What the demo says at the end, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from gainsight_destination.cli.status import destination_lines


def summary_lines(document: Mapping[str, Any], rows: Mapping[str, int], problems: Sequence[str]) -> list[str]:
    """What Gainsight holds and what that cost, then where every message stands, then what was checked.

    `rows` are counts of rows in Gainsight: `person`, and the records that are up to date are counted from `document`.
    """
    books = document["destinations"]["gainsight"]
    written = {name: states.get("clean", 0) for name, states in books["records"].items()}
    one_by_one = books["delivered"] + sum(books["parked"].values())
    verdict = (
        ["Everything is where it should be: books, events, usage, people and companies were checked."]
        if not problems
        else ["NOT as it should be:", *(f"  {problem}" for problem in problems)]
    )
    return [
        "",
        f"Gainsight now holds {rows['person']:,} people, {written.get('event', 0):,} event rows and "
        f"{written.get('usage', 0):,} daily usage rows; {written.get('company', 0):,} companies were updated.",
        f"That took {books['calls']['total']:,} API calls; one call per message would have been {one_by_one:,}.",
        "",
        *destination_lines("gainsight", books),
        "",
        *verdict,
    ]
