"""The deliverer of one destination: one call at a time, forever.

Each `step` makes at most one batch's worth of calls and writes what became of it before the next. What a failure
means for the next step follows from the error's type alone:

    QuotaSpentError, ThrottledError   wait for the next minute; nothing failed
    TransientError                    back off; a batch that keeps failing is told apart in smaller ones
    AuthenticationError               pause the destination; probe every 5 minutes, at once when settings change
    MisconfiguredError                pause the object, the others go on
    BatchRejectedError                bury the culprits if they are named, else tell the batch apart
"""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import httpx
import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.deliver import failures, jobs, outcomes, pauses, quota, references
from gainsight_destination.deliver.backoff import FIRST_SECONDS, backoff_seconds
from gainsight_destination.deliver.calls import ABSENCE_TRUSTED_SECONDS, EngineCalls
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.deliver.pauses import Pause
from gainsight_destination.deliver.planner import Batch, Plan, plan
from gainsight_destination.deliver.reader import StoreReader
from gainsight_destination.deliver.ready import not_now
from gainsight_destination.deliver.uploads import Uploads
from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    CallError,
    Connected,
    Deferred,
    Delivered,
    Draft,
    MisconfiguredError,
    Outcome,
    Presence,
    QuotaSpentError,
    Reference,
    Refusal,
    Rejected,
    ThrottledError,
    TransientError,
)
from gainsight_destination.errors import StoppedError, UnavailableError
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.records import dead_letters
from gainsight_destination.records.notices import note
from gainsight_destination.store.database import Database

IDLE_SECONDS: Final = 0.5
TELL_APART_AFTER: Final = 3
"""Failures without a verdict after which a batch is told apart: one record may be what breaks the other side."""
FIND_REFERENCES: Final = 50
FIND_EVERY_MS: Final = 60_000
DOUBT_EVERY_MS: Final = 300_000
"""How long a refusal that new metadata did not mend counts as one of the data."""
UNTOLD: Final = "*"
"""Stands for the field of a refusal of several records that does not say which."""
OPEN_JOBS: Final = 3
"""Asynchronous requests under way at once: more would only be polled for."""
WRITTEN_TOGETHER: Final = 1_000
"""Outcomes of a job in one transaction: a file's are many."""

_log = structlog.get_logger(__name__)


class Doubt(NamedTuple):
    """A refusal for which the object's metadata may be to blame: a field may be gone, or of another type now."""

    object: str
    code: str
    field: str


class Situation(NamedTuple):
    """What one look at the store says."""

    pauses: Mapping[str, Pause]
    job: jobs.Job | None
    plan: Plan
    retried_at_ms: int


class DeliveryWorker:
    """Delivers for one destination. At most one may run per destination (ADR 0005)."""

    def __init__(
        self,
        database: Database,
        log: EventLog,
        clock: Clock,
        connected: Connected,
        *,
        settings_version: int,
        jitter: Callable[[], float] = random.random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._id = connected.id
        self._name = connected.name
        self._destination = connected.destination
        self._settings_version = settings_version
        self._jitter = jitter
        self._calls = EngineCalls(
            database, clock, connected.id, connected.name, connected.destination, transport=transport
        )
        self._uploads = Uploads(database, log, clock, connected, self._calls)
        self._referenced = {spec.name for spec in connected.destination.objects if spec.referenced}
        self._doubted_at_ms: dict[Doubt, int] = {}
        self._failures: Counter[str] = Counter()
        self._told_of_failure = True  # perhaps before this start
        self._object_not_before_ms: dict[str, int] = {}
        self._not_before_ms = 0
        self._find_at_ms = 0
        self._retried_at_ms = 0
        self._turn = 0

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Deliver until `stop` is set; `wake` cuts idle waits short. May be called again after it raised."""
        while not stop.is_set():
            wake.clear()
            wait_ms = await self.step()
            if wait_ms > 0:
                await self._idle(min(wait_ms / 1000, IDLE_SECONDS), stop, wake)

    async def close(self) -> None:
        """Give the connections back."""
        await self._calls.close()

    async def _idle(self, seconds: float, stop: asyncio.Event, wake: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(wait) for wait in (stop.wait(), wake.wait(), self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def step(self) -> int:
        """Do the next thing there is to do; milliseconds until there may be another (0: at once)."""
        now_ms = self._clock.now_ms()
        if now_ms < self._not_before_ms:
            return self._not_before_ms - now_ms
        situation = await self._database.read(lambda connection: self._look(connection, now_ms))
        try:
            answers, failed = self._calls.answers, self._failures.total()
            wait_ms = await self._act(situation, now_ms)
            if self._calls.answers > answers and self._failures.total() <= failed:
                await self._recovered()
            return wait_ms
        except QuotaSpentError as error:
            self._not_before_ms = error.retry_at_ms
        except ThrottledError:
            edge_ms = round(self._destination.limits.edge_seconds * 1000)
            self._not_before_ms = (self._clock.now_ms() // quota.MINUTE_MS + 1) * quota.MINUTE_MS + edge_ms
        except TransientError as error:
            await self._failed(error)
        except (AuthenticationError, MisconfiguredError, BatchRejectedError) as error:
            await self._pause("", error)
        finally:
            await self._calls.enter_rest()
        return max(0, self._not_before_ms - self._clock.now_ms())

    def _look(self, connection: sqlite3.Connection, now_ms: int) -> Situation:
        paused = pauses.select(connection, self._id)
        used = quota.spent(connection, self._id, now_ms)
        patience_ms = round(quota.patience_seconds(self._destination.limits, used, now_ms) * 1000)
        waiting = {name for name, pause in paused.items() if not self._may_retry(pause, now_ms)}
        waiting |= jobs.busy_objects(connection, self._id, OPEN_JOBS)
        waiting |= {name for name, until_ms in self._object_not_before_ms.items() if now_ms < until_ms}
        uploads = self._uploads.allowed(connection, now_ms) - paused.keys()
        return Situation(
            paused,
            jobs.next_job(connection, self._id),
            plan(connection, self._id, self._destination.objects, waiting, patience_ms, now_ms, self._turn, uploads),
            dead_letters.last_retry_ms(connection, self._id),
        )

    def _may_retry(self, pause: Pause, now_ms: int) -> bool:
        return now_ms >= pause.retry_at_ms or pause.settings_version != self._settings_version

    async def _act(self, situation: Situation, now_ms: int) -> int:
        whole = situation.pauses.get("")
        if whole is not None:
            if not self._may_retry(whole, now_ms):
                return whole.retry_at_ms - now_ms
            await self._probe()
            return 0
        if situation.job is not None and situation.job.poll_at_ms <= now_ms:
            await self._poll(situation.job)
            return 0
        if situation.retried_at_ms > self._retried_at_ms:  # somebody mended something over there
            self._retried_at_ms = situation.retried_at_ms
            for spec in self._destination.objects:
                self._destination.forget_metadata(spec.name)
        if now_ms >= self._find_at_ms and await self._find_references(now_ms):
            return 0
        if situation.plan.batch is not None:
            self._turn += 1
            if situation.plan.batch.upload:
                await self._upload(situation.plan.batch)
            else:
                await self._deliver(situation.plan.batch, situation.pauses)
            return 0
        soonest = [situation.plan.look_again_at_ms, situation.job and situation.job.poll_at_ms, self._find_at_ms]
        soonest += [until_ms for until_ms in self._object_not_before_ms.values() if until_ms > now_ms]
        return max(1, min(at_ms for at_ms in soonest if at_ms is not None) - now_ms)

    # -- what there is to do

    async def _deliver(self, batch: Batch, paused: Mapping[str, Pause]) -> None:
        drafts: list[Draft] = []
        began_at_ms = self._clock.now_ms()
        try:
            await self._destination.prepare(batch.object.name, self._calls, self._clock.now_ms())
            drafts = await self._database.read(
                lambda connection: self._destination.project(
                    StoreReader(connection, self._id, self._log, batch.priority), batch.records
                )
            )
            if batch.presence == "uncertain":
                located = await self._destination.locate(drafts, self._calls)
                found: dict[int, Outcome] = {
                    record_id: Deferred(0, "", presence=presence) for record_id, presence in located.items()
                }
                await self._write(drafts, found)
            else:
                drafts = await self._ready(drafts)
                if drafts:
                    await self._write(drafts, await self._destination.deliver(drafts, self._calls, batch.worthwhile))
            self._failures.clear()
        except BatchRejectedError as error:
            await self._write(drafts, self._rejected(batch.object.name, drafts, error, began_at_ms))
        except MisconfiguredError as error:
            self._destination.forget_metadata(batch.object.name)
            await self._settle_presence(batch, "absent")
            await self._pause(batch.object.name, error)
        except (ThrottledError, AuthenticationError):
            await self._settle_presence(batch, "absent")
            raise
        except TransientError as error:
            if not error.uncertain:
                await self._settle_presence(batch, "absent")
            await self._postpone(batch, str(error))
            await self._failed(error, batch.object.name)
        except (CallError, QuotaSpentError, UnavailableError, StoppedError):
            raise
        except Exception as error:  # a record that this code cannot handle must not stop the others
            _log.exception("a batch cannot be delivered", destination=self._name, object=batch.object.name)
            await self._give_up_alone(batch, error)
        else:
            if batch.object.name in paused:
                await self._resume(batch.object.name)

    async def _upload(self, batch: Batch) -> None:
        try:
            await self._uploads.deliver(batch)
            self._failures.clear()
        except TransientError as error:
            await self._failed(error, batch.object.name)
        except (CallError, QuotaSpentError, UnavailableError, StoppedError):
            raise
        except Exception:  # by calls it is found out which record this code cannot handle
            _log.exception("a file cannot be made", destination=self._name, object=batch.object.name)
            self._uploads.stop(batch.object.name)

    async def _ready(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts to deliver now; those that nobody wants any more, or that should wait a moment, are settled."""
        settled = not_now(drafts, self._clock.now_ms())
        if settled:
            await self._write([draft for draft in drafts if draft.record.id in settled], settled)
        return [draft for draft in drafts if draft.record.id not in settled]

    async def _settle_presence(self, batch: Batch, presence: Presence) -> None:
        """An insert certainly did not happen: its records are not uncertain after all."""
        if batch.presence != "absent":
            return
        ids = [(presence, record.id) for record in batch.records]
        await self._database.write(
            lambda connection: connection.executemany(
                "UPDATE records SET presence = ? WHERE id = ? AND presence = 'uncertain'", ids
            )
        )

    def _rejected(
        self, object_name: str, drafts: Sequence[Draft], error: BatchRejectedError, began_at_ms: int
    ) -> dict[int, Outcome]:
        """Bury the culprits if the answer names them, or the one record there was; tell the others apart."""
        answer = error.answer or Answer(0, None, "")
        sent = error.record_ids if error.record_ids is not None else tuple(draft.record.id for draft in drafts)
        culprits = {0: Refusal(error.code, str(error))} | dict(error.culprits) if len(sent) == 1 else error.culprits
        smaller = None if culprits else max(1, len(sent) // 2)
        said = culprits.values() or [Refusal(error.code, str(error), UNTOLD)]
        in_doubt = self._in_doubt({Doubt(object_name, one.code, one.field) for one in said}, began_at_ms)
        found: dict[int, Outcome] = {}
        for draft in drafts:
            position = sent.index(draft.record.id) if draft.record.id in sent else None
            refusal = None if position is None else culprits.get(position)
            if position is not None and refusal and Doubt(object_name, refusal.code, refusal.field) not in in_doubt:
                call = _own_part(error.call, position)
                found[draft.record.id] = Rejected(refusal.code, refusal.message, call, answer, refusal.field)
            else:
                found[draft.record.id] = Deferred(
                    0,
                    "refused together with others",
                    presence=self._absent(draft),
                    batch_limit=None if position is None else smaller,
                )
        return found

    @staticmethod
    def _absent(draft: Draft) -> Presence | None:
        """A refused insert left nothing behind."""
        return "absent" if draft.record.presence == "absent" else None

    async def _postpone(self, batch: Batch, reason: str, *, apart_after: int = TELL_APART_AFTER) -> None:
        """Try the records of a batch again later; after some failures in smaller batches."""
        now_ms = self._clock.now_ms()

        def write(connection: sqlite3.Connection) -> None:
            for record in batch.records:
                attempts = record.attempts + 1
                apart = attempts >= apart_after and len(batch.records) > 1
                deferred = Deferred(
                    backoff_seconds(attempts, self._jitter),
                    reason,
                    failed=True,
                    batch_limit=len(batch.records) // 2 if apart else None,
                )
                outcomes.defer(connection, record.id, deferred, now_ms)

        await self._database.write(write)

    async def _give_up_alone(self, batch: Batch, error: Exception) -> None:
        """Tell a batch apart that breaks our own code; a record that does so alone becomes a dead letter."""
        reason = f"internal error: {type(error).__name__}"
        if len(batch.records) > 1:
            await self._postpone(batch, reason, apart_after=0)
            return
        (record,) = batch.records
        sent = {record.id: Sent(record.id, record.object, record.key, record.version)}
        buried = Rejected("internal_error", reason, Call("", ""), Answer(0, None, ""))
        now_ms = self._clock.now_ms()
        await self._database.write(
            lambda connection: outcomes.apply(connection, self._id, sent, {record.id: buried}, now_ms)
        )

    def _in_doubt(self, doubts: Set[Doubt], sent_at_ms: int) -> Set[Doubt]:
        """Refusals that prove nothing yet: perhaps the object has changed since it was described.

        Its metadata is read again, but not over and over; what was made with it since then, and is refused in the
        same way, is refused for good.
        """
        now_ms = self._clock.now_ms()
        known = {doubt: at_ms for doubt, at_ms in self._doubted_at_ms.items() if now_ms - at_ms < DOUBT_EVERY_MS}
        new = doubts - known.keys()
        for doubt in new:
            self._destination.forget_metadata(doubt.object)
        self._doubted_at_ms = known | dict.fromkeys(new, now_ms)
        return new | {doubt for doubt in doubts & known.keys() if sent_at_ms < known[doubt]}

    async def _poll(self, job: jobs.Job) -> None:
        now_ms = self._clock.now_ms()
        parts = await self._database.read(lambda connection: jobs.parts_of(connection, job))
        records = [(part.sent.record_id, part.digest) for part in parts]
        found = None
        if not job.overdue(now_ms):
            try:
                found = await self._destination.poll(job.remote_job_id, job.object, records, self._calls)
            except TransientError:
                found = None  # look again later; nothing else has to wait for that
            except (BatchRejectedError, MisconfiguredError) as error:
                _log.warning("asynchronous request lost", destination=self._name, **_for_logs(error))
                found = None if job.uploaded else jobs.given_up(parts)  # a file is worked off whoever asks
        else:
            found = jobs.given_up(parts)
        if found is None:
            await self._database.write(lambda connection: jobs.look_later(connection, job, now_ms))
            return
        found = self._reconsidered(job, found)
        for start in range(0, len(parts), WRITTEN_TOGETHER):
            some = parts[start : start + WRITTEN_TOGETHER]
            ended = job if start + WRITTEN_TOGETHER >= len(parts) else None
            await self._database.write(partial(self._write_parts, some, found, ended, now_ms))

    def _reconsidered(self, job: jobs.Job, found: Mapping[int, Outcome]) -> dict[int, Outcome]:
        """Outcomes of a job; records whose refusal is in doubt are tried again."""
        doubts = {
            record_id: Doubt(job.object, outcome.code, outcome.field)
            for record_id, outcome in found.items()
            if isinstance(outcome, Rejected)
        }
        in_doubt = self._in_doubt(set(doubts.values()), job.submitted_at_ms)
        again = Deferred(0, "refused; its object may have changed")
        return {**found, **{record_id: again for record_id, doubt in doubts.items() if doubt in in_doubt}}

    def _write_parts(
        self,
        parts: Sequence[jobs.Part],
        found: Mapping[int, Outcome],
        ended: jobs.Job | None,
        now_ms: int,
        connection: sqlite3.Connection,
    ) -> None:
        sent = {part.sent.record_id: part.sent for part in parts}
        completed: dict[int, Outcome] = {}
        for part in parts:
            outcome = found[part.sent.record_id]
            completed[part.sent.record_id] = (
                replace(outcome, missing=part.missing) if isinstance(outcome, Delivered) else outcome
            )
        outcomes.apply(connection, self._id, sent, completed, now_ms, self._referenced)
        if ended is not None:
            jobs.close_job(connection, ended)

    async def _find_references(self, now_ms: int) -> bool:
        """Look again for one call's worth of references that were absent; whether there were any."""
        absent_before_ms = now_ms - round(ABSENCE_TRUSTED_SECONDS * 1000)
        for spec in self._destination.objects:
            wanted = await self._database.read(partial(self._stale, spec.name, absent_before_ms))
            if wanted:
                await self._destination.find(wanted, self._calls)
                return True
        self._find_at_ms = now_ms + FIND_EVERY_MS
        return False

    def _stale(self, object_name: str, absent_before_ms: int, connection: sqlite3.Connection) -> list[Reference]:
        return references.stale(connection, self._id, object_name, absent_before_ms, FIND_REFERENCES)

    async def _write(self, drafts: Sequence[Draft], found: Mapping[int, Outcome]) -> None:
        sent = {
            draft.record.id: Sent(draft.record.id, draft.record.object, draft.name, draft.record.version)
            for draft in drafts
        }
        notices = [notice for draft in drafts for notice in draft.notices]
        attempts = {draft.record.id: draft.record.attempts + 1 for draft in drafts}
        found = {
            record_id: replace(outcome, seconds=backoff_seconds(attempts[record_id], self._jitter))
            if isinstance(outcome, Deferred) and outcome.seconds is None
            else outcome
            for record_id, outcome in found.items()
        }
        now_ms = self._clock.now_ms()

        def write(connection: sqlite3.Connection) -> None:
            self._calls.enter_ends(connection)
            outcomes.apply(connection, self._id, sent, found, now_ms, self._referenced)
            jobs.open_jobs(connection, self._id, sent, found, now_ms)
            note(connection, self._id, Counter(notices))

        await self._database.write(write)

    # -- failures

    async def _failed(self, error: TransientError, object_name: str = "") -> None:
        """Back off: one object if it was about one, so that its trouble is not the others', else altogether."""
        self._failures[object_name] += 1
        self._told_of_failure = True
        seconds = backoff_seconds(self._failures[object_name], self._jitter)
        now_ms = self._clock.now_ms()
        retry_at_ms = now_ms + round(seconds * 1000)
        if object_name:
            self._object_not_before_ms[object_name] = retry_at_ms
            self._not_before_ms = now_ms + round(FIRST_SECONDS * 1000)
        else:
            self._not_before_ms = retry_at_ms
        _log.warning("call failed", destination=self._name, **_for_logs(error), again_in_seconds=round(seconds, 1))
        await self._database.write(
            lambda connection: failures.enter(connection, self._id, str(error), now_ms, retry_at_ms)
        )

    async def _recovered(self) -> None:
        """The other side answers: a failure that was told of is over."""
        if self._told_of_failure:
            await self._database.write(lambda connection: failures.clear(connection, self._id))
            self._told_of_failure = False

    async def _probe(self) -> None:
        await self._destination.probe(self._calls, self._clock.now_ms())
        await self._resume("")

    async def _pause(self, object_name: str, error: CallError) -> None:
        now_ms = self._clock.now_ms()
        _log.error("paused", destination=self._name, object=object_name or "all", **_for_logs(error))
        await self._database.write(
            lambda connection: pauses.pause(
                connection, self._id, object_name, str(error), self._settings_version, now_ms
            )
        )

    async def _resume(self, object_name: str) -> None:
        _log.info("resumed", destination=self._name, object=object_name or "all")
        await self._database.write(lambda connection: pauses.resume(connection, self._id, object_name))


def _own_part(call: Call, position: int) -> Call:
    """A call as far as one of its records is concerned: a dead letter holds nobody else's data."""
    records = call.body.get("records") if isinstance(call.body, dict) else None
    if not isinstance(records, list) or position >= len(records):
        return call
    return call._replace(body={**call.body, "records": [records[position]]})


def _for_logs(error: CallError) -> dict[str, object]:
    """What may be logged of an error: Gainsight's own words can quote values of records."""
    if error.answer is None:
        return {"reason": str(error)}
    code = error.answer.body.get("errorCode") if isinstance(error.answer.body, dict) else None
    return {"error": type(error).__name__, "status": error.answer.status, "code": code, "path": error.call.path}
