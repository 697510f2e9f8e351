"""Which drafts are not to be delivered now. Pure."""

from collections.abc import Sequence
from typing import Final

from gainsight_destination.destinations.contract import Deferred, Draft, Outcome, Unneeded

AWAIT_REFERENCE_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 2.0


def not_now(drafts: Sequence[Draft], now_ms: int) -> dict[int, Outcome]:
    """Outcomes, by record id, of drafts that nobody wants any more, or that should wait a moment."""
    found: dict[int, Outcome] = {}
    since_ms = now_ms - round(AWAIT_REFERENCE_SECONDS * 1000)
    for draft in drafts:
        if not draft.wanted and draft.record.presence == "absent":
            found[draft.record.id] = Unneeded()
        elif draft.awaits_reference and draft.record.dirty_since_ms > since_ms:
            found[draft.record.id] = Deferred(LOOK_AGAIN_SECONDS, "a record it points at is on its way")
    return found
