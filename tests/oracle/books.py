"""How the books must read: every message received stands in exactly one place."""

from collections import Counter
from typing import Any

from tests.oracle.expected import Oracle


def books_of_destination(oracle: Oracle, source: int | None = None) -> dict[str, Any]:
    """received = discarded + duplicates + filtered + parked + pending + delivered + dead, when all is done: nothing is
    pending and nothing was refused. Of all connected sources, or of one."""
    sources = set(oracle.connected) if source is None else {source} & set(oracle.connected)
    books: dict[str, Any] = {
        "received": sum(receipt.source in sources for receipt in oracle.receipts),
        "duplicates": sum(receipt.source in sources for receipt in oracle.received.duplicates),
        "discarded": dict(
            Counter(reason for receipt, reason in oracle.received.discarded if receipt.source in sources)
        ),
        "pending": 0,
        "dead": 0,
    }
    fates = Counter(oracle.fate(message) for message in oracle.everything if message.source in sources)
    for state in ("filtered", "parked"):
        books[state] = {reason: count for (found, reason), count in fates.items() if found == state}
    books["delivered"] = fates["delivered", ""]
    return books


def books_of_source(oracle: Oracle, source: int) -> dict[str, Any]:
    """What a source is told, whether or not it is connected to anything."""
    return {
        "received": sum(receipt.source == source for receipt in oracle.receipts),
        "duplicates": sum(receipt.source == source for receipt in oracle.received.duplicates),
        "discarded": dict(Counter(reason for receipt, reason in oracle.received.discarded if receipt.source == source)),
        "accepted": sum(message.source == source for message in oracle.everything),
        "pending": 0,
    }
