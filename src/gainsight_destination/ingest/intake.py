"""What every way in ends with: the messages of a request are let in, stored and counted."""

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.ingest.admission import Admission
from gainsight_destination.ingest.read_json import ReadBody
from gainsight_destination.observe import metrics
from gainsight_destination.workspace.model import Source


class Intake:
    """Belongs to the event loop of the public port."""

    def __init__(self, log: GroupCommit, admission: Admission, clock: Clock) -> None:
        self._log = log
        self._admission = admission
        self._clock = clock

    def enter(self) -> None:
        """Before a body is read. Raises when nothing is taken now, whoever sends it."""
        self._admission.enter()

    async def store(self, source: Source | None, kind: EntryKind, read: ReadBody) -> None:
        """Return when the messages are on disk. Raises when they are not taken now, with nothing stored."""
        if read.count == 0:
            metrics.ingest_empty_batches.inc()
            return
        self._admission.admit(source, read)
        entry, outcome = entry_of(source, kind, read, self._clock.now_ms())
        await self._log.append(entry)
        metrics.ingest_messages_of(source.name if source else "", outcome).inc(read.count)
        metrics.ingest_body_bytes.inc(len(entry.body))
        if read.mended:
            metrics.ingest_mended_bodies.inc()


def entry_of(source: Source | None, kind: EntryKind, read: ReadBody, received_at_ms: int) -> tuple[Entry, str]:
    """What goes into the log, and the name of that outcome. Unknown and disabled sources leave only a count.

    Segment answers 200 to an unknown write key too, so the sender cannot know; the count shows it to the operator.
    """
    if source is None:
        return Entry(0, EntryKind.UNKNOWN_SOURCE, received_at_ms, read.count, b""), "unknown_source"
    if not source.enabled:
        return Entry(source.id, EntryKind.SOURCE_DISABLED, received_at_ms, read.count, b""), "source_disabled"
    return Entry(source.id, kind, received_at_ms, read.count, read.body), "accepted"
