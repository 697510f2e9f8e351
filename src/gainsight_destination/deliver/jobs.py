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
    """A request under way. `uploaded`: how many records went in a file; 0 if it is none."""

    id: int
    object: str
    remote_job_id: str
    submitted_at_ms: int
    poll_at_ms: int
    polls: int
    uploaded: int

    def overdue(self, now_ms: int) -> bool:
        return now_ms - self.submitted_at_ms >= LONGEST_JOB_MS


def given_up(parts: Sequence[Part]) -> dict[int, Outcome]:
    """Outcomes of a job that never ended."""
    never = Deferred(1, "the asynchronous request never ended", failed=True)
    return dict.fromkeys((part.sent.record_id for part in parts), never)


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
            "INSERT INTO jobs (destination_id, object, remote_job_id, submitted_at_ms, poll_at_ms, records,"
            " uploaded) VALUES (?,?,?,?,?,?,?)",
            (
                destination_id,
                parts[0][0].object,
                remote_job_id,
                now_ms,
                poll_at_ms,
                json.dumps([[*record, outcome.digest.hex(), outcome.missing] for record, outcome in parts]),
                len(parts) if parts[0][1].upload else 0,
            ),
        )


def next_job(connection: sqlite3.Connection, destination_id: int) -> Job | None:
    """The job to look at first."""
    row = connection.execute(
        "SELECT id, object, remote_job_id, submitted_at_ms, poll_at_ms, polls, uploaded FROM jobs"
        " WHERE destination_id = ? ORDER BY poll_at_ms, id LIMIT 1",
        (destination_id,),
    ).fetchone()
    return None if row is None else Job(*row)


def parts_of(connection: sqlite3.Connection, job: Job) -> list[Part]:
    """The records of a job, in request order."""
    (records,) = connection.execute("SELECT records FROM jobs WHERE id = ?", (job.id,)).fetchone()
    return [_part(part) for part in json.loads(records)]


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


def uploading(connection: sqlite3.Connection, destination_id: int) -> dict[str, int]:
    """Records that are under way in files, by object."""
    return dict(
        connection.execute(
            "SELECT object, sum(uploaded) FROM jobs WHERE destination_id = ? AND uploaded > 0 GROUP BY object",
            (destination_id,),
        )
    )


def look_later(connection: sqlite3.Connection, job: Job, now_ms: int) -> None:
    """It is not done: look again after a while that doubles each time."""
    seconds = min(LONGEST_POLL_SECONDS, 5.0 * 2.0 ** min(job.polls, 10))
    connection.execute(
        "UPDATE jobs SET polls = polls + 1, poll_at_ms = ? WHERE id = ?", (now_ms + round(seconds * 1000), job.id)
    )


def close_job(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
