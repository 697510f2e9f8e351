"""What the demo says at the end, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from gainsight_destination.cli.status import in_words
from gainsight_destination.demo.sample import Sample


def summary_lines(
    document: Mapping[str, Any], sample: Sample, rows: Mapping[str, int], problems: Sequence[str]
) -> list[str]:
    """The summary as lines of text."""
    books = document["destinations"]["gainsight"]
    calls = books["calls"]["total"]
    records = books["records"]
    written = {name: states.get("clean", 0) for name, states in records.items()}
    wanted = books["delivered"] + sum(books["parked"].values())
    return [
        *in_words({**document, "sources": {}, "unknownWriteKey": {"received": 0}, "notices": {}})[1:],
        "",
        f"Gainsight now holds {rows['person']:,} People and {written.get('event', 0):,} event rows, "
        f"{written.get('usage', 0):,} daily usage rows, and {written.get('company', 0):,} Companies were updated.",
        f"That took {calls:,} API calls. One call per message would have been {wanted:,}.",
        *(
            ["", "Everything is where it should be: books, events, usage, people and companies were checked."]
            if not problems
            else ["", "NOT as it should be:", *(f"  {problem}" for problem in problems)]
        ),
    ]
