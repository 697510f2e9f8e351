"""Asynchronous requests: taken by the other side, their result fetched later."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gainsight_destination.deliver.outcomes import LONGEST_JOB_MS, Sent
from gainsight_destination.destinations.contract import Deferred, Outcome, Reference, Submitted

LONGEST_POLL_SECONDS: Final = 120.0


class Part(NamedTuple):
    """A record's place in a job."""

    sent: Sent
    digest: bytes
    missing: tuple[Reference, ...]


class Job(NamedTuple):
    """A request under way. `parts` are in request order."""

    id: int
    object: str
    remote_job_id: str
    submitted_at_ms: int
    poll_at_ms: int
    polls: int
    parts: tuple[Part, ...]

    def overdue(self, now_ms: int) -> bool:
        return now_ms - self.submitted_at_ms >= LONGEST_JOB_MS

    def given_up(self) -> dict[int, Outcome]:
        return {
            part.sent.record_id: Deferred(1, "the asynchronous request never ended", failed=True) for part in self.parts
        }


def open_jobs(
    connection: sqlite3.Connection,
    destination_id: int,
    sent: Mapping[int, Sent],
    outcomes: Mapping[int, Outcome],
    now_ms: int,
) -> None:
    """Keep what was submitted, one job per remote id; part of the transaction that writes the outcomes."""
    submitted: dict[str, list[tuple[Sent, Submitted]]] = {}
    for record_id, outcome in outcomes.items():
        if isinstance(outcome, Submitted):
            submitted.setdefault(outcome.remote_job_id, []).append((sent[record_id], outcome))
    for remote_job_id, parts in submitted.items():
        poll_at_ms = now_ms + round(parts[0][1].poll_seconds * 1000)
        connection.execute(
            "INSERT INTO jobs (destination_id, object, remote_job_id, submitted_at_ms, poll_at_ms, records)"
            " VALUES (?,?,?,?,?,?)",
            (
                destination_id,
                parts[0][0].object,
                remote_job_id,
                now_ms,
                poll_at_ms,
                json.dumps([[*record, outcome.digest.hex(), outcome.missing] for record, outcome in parts]),
            ),
        )


def next_job(connection: sqlite3.Connection, destination_id: int) -> Job | None:
    """The job to look at first."""
    row = connection.execute(
        "SELECT records, id, object, remote_job_id, submitted_at_ms, poll_at_ms, polls FROM jobs"
        " WHERE destination_id = ? ORDER BY poll_at_ms, id LIMIT 1",
        (destination_id,),
    ).fetchone()
    if row is None:
        return None
    records, job_id, object_name, remote_job_id, submitted_at_ms, poll_at_ms, polls = row
    parts = tuple(_part(part) for part in json.loads(records))
    return Job(job_id, object_name, remote_job_id, submitted_at_ms, poll_at_ms, polls, parts)


def _part(stored: Sequence[object]) -> Part:
    record_id, object_name, name, version, digest, missing = stored
    assert isinstance(record_id, int)
    assert isinstance(version, int)
    assert isinstance(missing, list)
    return Part(
        Sent(record_id, str(object_name), str(name), version),
        bytes.fromhex(str(digest)),
        tuple(Reference(*reference) for reference in missing),
    )


def busy_objects(connection: sqlite3.Connection, destination_id: int, limit: int) -> set[str]:
    """Objects with so many jobs under way that no more should be started."""
    rows = connection.execute(
        "SELECT object FROM jobs WHERE destination_id = ? GROUP BY object HAVING count(*) >= ?", (destination_id, limit)
    )
    return {name for (name,) in rows}


def look_later(connection: sqlite3.Connection, job: Job, now_ms: int) -> None:
    """It is not done: look again after a while that doubles each time."""
    seconds = min(LONGEST_POLL_SECONDS, 5.0 * 2.0 ** min(job.polls, 10))
    connection.execute(
        "UPDATE jobs SET polls = polls + 1, poll_at_ms = ? WHERE id = ?", (now_ms + round(seconds * 1000), job.id)
    )


def close_job(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
