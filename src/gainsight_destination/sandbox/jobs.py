"""Work that the tenant accepts now and does later, by the clock: asynchronous people and CSV imports.

A job is INIT for the first half of its time, under way for the second, then COMPLETED. Its rows are written at the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.identifiers import new_uuid
from gainsight_destination.sandbox.tenant import Tenant

Work = Callable[[Tenant, bytes], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted job; `result` is None until it is done."""

    status_id: str
    submitted_ms: int
    due_ms: int
    result: dict[str, Any] | None


def submit_job(tenant: Tenant, kind: str, payload: bytes) -> str:
    """Accept work; return its status id."""
    status_id = new_uuid(tenant.connection)
    due_ms = tenant.now_ms + round(tenant.switches.job_seconds * 1_000)
    tenant.connection.execute(
        "INSERT INTO jobs (status_id, kind, payload, submitted_ms, due_ms) VALUES (?, ?, ?, ?, ?)",
        (status_id, kind, payload, tenant.now_ms, due_ms),
    )
    return status_id


def finish_due_jobs(tenant: Tenant, works: Mapping[str, Work]) -> None:
    """Do the work whose time has come, in the order in which it falls due."""
    due = tenant.connection.execute(
        "SELECT status_id, kind, payload FROM jobs WHERE result IS NULL AND due_ms <= ? ORDER BY due_ms, submitted_ms",
        (tenant.now_ms,),
    ).fetchall()
    for status_id, kind, payload in due:
        try:
            result = works[kind](tenant, payload)
        except RefusedError as error:
            result = {"count": {"success": 0, "failed": 0}, "records": [], "errors": [_job_error(error)]}
        tenant.connection.execute(
            "UPDATE jobs SET result = ?, payload = x'' WHERE status_id = ?",
            (msgspec.json.encode(result).decode(), status_id),
        )


def _job_error(error: RefusedError) -> dict[str, Any]:
    """Why nothing of a job could be done, in the shape of a row's error."""
    return {"row": None, "field": None, "value": None, "code": error.code, "message": error.text}


def find_job(tenant: Tenant, kind: str, status_id: str) -> Job:
    """The job with this status id. Raises RefusedError."""
    row = tenant.connection.execute(
        "SELECT status_id, submitted_ms, due_ms, result FROM jobs WHERE status_id = ? AND kind = ?", (status_id, kind)
    ).fetchone()
    if row is None:
        raise RefusedError(400, answers.NO_MATCH, answers.NO_MATCH_TEXT)
    found_id, submitted_ms, due_ms, result = row
    return Job(found_id, submitted_ms, due_ms, None if result is None else msgspec.json.decode(result))


def job_status(tenant: Tenant, job: Job, *, under_way: str) -> str:
    """INIT, the given word, or COMPLETED."""
    if job.result is not None:
        return "COMPLETED"
    half_ms = (job.due_ms - job.submitted_ms) / 2
    return "INIT" if tenant.now_ms < job.submitted_ms + half_ms else under_way
