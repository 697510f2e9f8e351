"""Many records as one file, which the other side works off in the background.

A file is worth its while when many records of an object wait. It has a quota of its own, and one file of an object is
under way at a time; the object's other records go by calls meanwhile.

Before a file is sent its records are put off until it must have been worked off, and those to insert become uncertain:
should the answer be lost, or this process die, they are looked up by their keys then and not inserted twice. A file
that is refused is taken back, and the object goes by calls for an hour.
"""

import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.deliver import jobs, outcomes, quota
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.deliver.planner import Batch
from gainsight_destination.deliver.reader import StoreReader
from gainsight_destination.deliver.ready import not_now
from gainsight_destination.destinations.contract import (
    AuthenticationError,
    BatchRejectedError,
    Calls,
    Connected,
    Draft,
    MisconfiguredError,
    Outcome,
    Submitted,
    ThrottledError,
    TransientError,
)
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.records.notices import note
from gainsight_destination.store.database import Database

CHUNK: Final = 1_000
"""Records computed from one snapshot, and written in one transaction: nobody else waits long."""
REFUSED_MS: Final = 3_600_000
UPLOAD_REFUSED: Final = "upload_refused"

_log = structlog.get_logger(__name__)


class Uploads:
    """The files of one destination."""

    def __init__(self, database: Database, log: EventLog, clock: Clock, connected: Connected, calls: Calls) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._id = connected.id
        self._name = connected.name
        self._destination = connected.destination
        self._calls = calls
        self._not_before_ms: dict[str, int] = {}

    def allowed(self, connection: sqlite3.Connection, now_ms: int) -> set[str]:
        """Objects of which a file may be sent now."""
        able = {spec.name for spec in self._destination.objects if spec.upload_from is not None}
        if not able or quota.uploads_left(connection, self._id, self._destination.limits, now_ms) <= 0:
            return set()
        late = {name for name, until_ms in self._not_before_ms.items() if now_ms < until_ms}
        return able - late - jobs.uploading(connection, self._id).keys()

    def stop(self, object_name: str) -> None:
        """Something is wrong with the files of an object: no more for a while."""
        self._not_before_ms[object_name] = self._clock.now_ms() + REFUSED_MS

    async def deliver(self, batch: Batch) -> None:
        """Send as many of the records as fit into one file. Raises as calls do, but for a file that is refused."""
        sent: dict[int, Draft] = {}
        settled: dict[int, Outcome] = {}
        name = batch.object.name
        try:
            await self._destination.prepare(name, self._calls, self._clock.now_ms())
            async with aclosing(self._drafts(batch, sent, settled)) as drafts:
                found = await self._destination.upload(drafts, self._calls)
        except (BatchRejectedError, MisconfiguredError, ThrottledError) as error:
            await self._take_back(batch)
            self.stop(name)
            status = error.answer.status if error.answer else None
            _log.warning("file refused", destination=self._name, object=name, error=type(error).__name__, status=status)
            if not isinstance(error, ThrottledError):
                await self._database.write(lambda connection: note(connection, self._id, {(UPLOAD_REFUSED, name): 1}))
        except AuthenticationError:
            await self._take_back(batch)
            raise
        except TransientError as error:
            if not error.uncertain:
                await self._take_back(batch)
            raise
        else:
            await self._write(sent, settled | dict(found))

    async def _drafts(
        self, batch: Batch, sent: dict[int, Draft], settled: dict[int, Outcome]
    ) -> AsyncGenerator[list[Draft], None]:
        for start in range(0, len(batch.records), CHUNK):
            records = batch.records[start : start + CHUNK]

            def project(connection: sqlite3.Connection) -> list[Draft]:
                reader = StoreReader(connection, self._id, self._log, batch.priority)
                return self._destination.project(reader, records)  # noqa: B023 - run before the loop goes on

            drafts = await self._database.read(project)
            later = not_now(drafts, self._clock.now_ms())
            settled |= later
            for draft in drafts:  # what a row says is not kept: a file of large rows would be in memory twice
                sent[draft.record.id] = Draft(draft.record, draft.name, {}, notices=draft.notices)
            yield [draft for draft in drafts if draft.record.id not in later]

    async def _take_back(self, batch: Batch) -> None:
        """The file was certainly not taken: its records are what they were, and due."""
        now_ms = self._clock.now_ms()
        rows = [(record.presence, now_ms, record.id, now_ms) for record in batch.records]
        await self._database.write(
            lambda connection: connection.executemany(
                "UPDATE records SET presence = ?, due_at_ms = ? WHERE id = ? AND due_at_ms > ?", rows
            )
        )

    async def _write(self, drafts: Mapping[int, Draft], found: Mapping[int, Outcome]) -> None:
        submitted = {record_id for record_id, outcome in found.items() if isinstance(outcome, Submitted)}
        others = sorted(found.keys() - submitted)
        for start in range(0, len(others), CHUNK):
            await self._apply(drafts, {record_id: found[record_id] for record_id in others[start : start + CHUNK]})
        await self._apply(drafts, {record_id: found[record_id] for record_id in found if record_id in submitted})

    async def _apply(self, drafts: Mapping[int, Draft], found: Mapping[int, Outcome]) -> None:
        sent = {
            record_id: Sent(record_id, drafts[record_id].record.object, drafts[record_id].name, record.version)
            for record_id in found
            for record in (drafts[record_id].record,)
        }
        notices = Counter(notice for record_id in found for notice in drafts[record_id].notices)
        now_ms = self._clock.now_ms()

        def write(connection: sqlite3.Connection) -> None:
            outcomes.apply(connection, self._id, sent, found, now_ms)
            jobs.open_jobs(connection, self._id, sent, found, now_ms)
            note(connection, self._id, notices)

        await self._database.write(write)
