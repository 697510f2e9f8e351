"""The Bulk API: a CSV file for an import job that an administrator set up; done in the background.

`POST /v1.0/admin/connector/job/bulkimport` takes multipart parts `file` and `jobId`. The job knows which header of the
file is which field, whether to insert, update or upsert and by which keys, and its lookups; it writes High Volume
objects as well. Gainsight documents Company, Relationship and custom objects as targets, not Person and User.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from python_multipart import parse_form
from python_multipart.exceptions import FormParserError

from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.jobs import find_job, job_status, submit_job
from gainsight_destination.sandbox.lookups import Lookup, helper_names, read_lookups, resolve_lookups
from gainsight_destination.sandbox.rows import Record, insert_row, rows_matching, update_row
from gainsight_destination.sandbox.schema import BOOLEAN, NUMERIC, Field, Object, get_object
from gainsight_destination.sandbox.tenant import Tenant
from gainsight_destination.sandbox.validate import RefusedRecordError, RefusedValueError, check_unique, check_values

BULK: Final = "bulk"
MAX_FILE_BYTES: Final = 80_000_000


class BulkJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An import job. `columns` maps headers of the file to fields; without it headers are field names."""

    object: str
    operation: Literal["insert", "update", "upsert"] = "upsert"
    keys: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    lookups: dict[str, Any] = {}


PERSON_BY_EMAIL: Final[Mapping[str, Any]] = {
    "Person_Id__gc": {
        "fields": {"personEmail": "Email"},
        "lookupField": "Gsid",
        "objectName": "person",
        "multiMatchOption": "FIRSTMATCH",
        "onNoMatch": "NULLABLE",
    }
}
SEEDED_JOBS: Final[Mapping[str, BulkJob]] = {
    "segment-event": BulkJob("Segment_Event__gc", keys=("Message_Id__gc",), lookups=dict(PERSON_BY_EMAIL)),
    "segment-usage-daily": BulkJob("Segment_Usage_Daily__gc", keys=("Usage_Key__gc",), lookups=dict(PERSON_BY_EMAIL)),
}


def submit(tenant: Tenant, call: Call) -> Reply:
    """Accept a file."""
    parts = _parts(call)
    job_id, content = parts.get("jobId", b"").decode("utf-8", "replace").strip(), parts.get("file")
    job = find_bulk_job(tenant, job_id)
    if job is None:
        raise invalid(f"No import job has the id {job_id}")
    if content is None:
        raise invalid("The request has no part named file")
    if len(content) > MAX_FILE_BYTES:
        raise invalid(f"The file is larger than {MAX_FILE_BYTES} bytes")
    rows = list(_rows(content))
    if not rows:
        raise RefusedError(400, answers.EMPTY_FILE, "The file has no rows")
    status_id = submit_job(tenant, BULK, msgspec.json.encode({"job_id": job_id, "rows": rows}))
    return Reply({"requestId": status_id, "statusId": status_id})


def status(tenant: Tenant, call: Call) -> Reply:
    """`GET .../bulkimport/status/{statusId}`: INIT, IN_PROGRESS, then COMPLETED with counts."""
    job = find_job(tenant, BULK, call.parameters["status"])
    counts = {"success": 0, "failed": 0} if job.result is None else job.result["count"]
    errors = [] if job.result is None else job.result["errors"]
    return Reply(
        {
            "statusId": job.status_id,
            "status": job_status(tenant, job, under_way="IN_PROGRESS"),
            "count": counts,
            "errors": errors,
        }
    )


def import_rows(tenant: Tenant, payload: bytes) -> dict[str, Any]:
    """Do an import. A bad row fails alone."""
    accepted = msgspec.json.decode(payload)
    job = find_bulk_job(tenant, accepted["job_id"])
    if job is None:
        return {"count": {"success": 0, "failed": len(accepted["rows"])}, "errors": []}
    target = get_object(tenant, job.object)
    lookups = read_lookups(tenant, target, job.lookups or None)
    failed: list[dict[str, Any]] = []
    for number, row in enumerate(accepted["rows"], start=1):
        try:
            _import(tenant, target, job, lookups, row)
        except RefusedRecordError as error:
            failed += [{"rowNumber": number, **one.entry()} for one in error.errors]
    bad = len({error["rowNumber"] for error in failed})
    return {"count": {"success": len(accepted["rows"]) - bad, "failed": bad}, "errors": failed}


def find_bulk_job(tenant: Tenant, job_id: str) -> BulkJob | None:
    row = tenant.connection.execute("SELECT definition FROM bulk_jobs WHERE job_id = ?", (job_id,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=BulkJob)


def all_bulk_jobs(tenant: Tenant) -> dict[str, BulkJob]:
    rows = tenant.connection.execute("SELECT job_id, definition FROM bulk_jobs ORDER BY job_id")
    return {job_id: msgspec.json.decode(definition, type=BulkJob) for job_id, definition in rows}


def save_bulk_job(tenant: Tenant, job_id: str, job: BulkJob) -> None:
    """Set up an import job. Raises InvalidSettingsError, and RefusedError for an unknown object."""
    target = get_object(tenant, job.object)
    if target.write_with != "objects":
        raise InvalidSettingsError([f"the Bulk API does not import into {target.name}"])
    lookups = read_lookups(tenant, target, job.lookups or None)
    named = {*job.keys, *job.columns.values()} - helper_names(lookups)
    unknown = sorted(name for name in named if target.field(name) is None)
    if unknown:
        raise InvalidSettingsError([f"{name} is not a field of {target.name}" for name in unknown])
    if job.operation != "insert" and not job.keys:
        raise InvalidSettingsError([f"an {job.operation} needs keys"])
    tenant.connection.execute(
        "INSERT INTO bulk_jobs VALUES (?, ?) ON CONFLICT (job_id) DO UPDATE SET definition = excluded.definition",
        (job_id, msgspec.json.encode(job).decode()),
    )


def _import(tenant: Tenant, target: Object, job: BulkJob, lookups: list[Lookup], row: Mapping[str, str]) -> None:
    named = {job.columns.get(header, header): text for header, text in row.items()}
    record = {name: _typed(target.field(name), text) for name, text in named.items()}
    helpers = helper_names(lookups)
    known = _known_rows(tenant, target, job, record)
    if not known and job.operation == "update":
        text = answers.NO_MATCH_TEXT
        raise RefusedRecordError([RefusedValueError(answers.NO_MATCH, text, ", ".join(job.keys), None, text=text)])
    inserting = not known
    values = check_values(tenant, target, record, inserting=inserting, aside=helpers | {"Gsid"})
    values |= resolve_lookups(tenant, lookups, record, inserting=inserting)
    for match in known:
        update_row(tenant, target, match["Gsid"], values)
    if not known:
        check_unique(tenant, target, values)
        insert_row(tenant, target, values)


def _known_rows(tenant: Tenant, target: Object, job: BulkJob, record: Record) -> list[Record]:
    if job.operation == "insert":
        return []
    return rows_matching(tenant, target, {key: record.get(key) for key in job.keys})


def _typed(field: Field | None, text: str) -> Any:
    """A cell as the JSON value it stands for; an empty cell is null."""
    if text == "":
        return None
    if field is None:
        return text
    if field.data_type in NUMERIC:
        try:
            return msgspec.json.decode(text, type=int | float)
        except msgspec.DecodeError:
            return text
    if field.data_type in BOOLEAN:
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.data_type == "DATE" and text.lstrip("-").isascii() and text.lstrip("-").isdigit():
        return int(text)
    return text


def _rows(content: bytes) -> list[dict[str, str]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header, *lines = [line for line in reader if line]
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise invalid("The file is not a CSV file in UTF-8 with a header") from error
    if any(len(line) != len(header) for line in lines):
        raise invalid("A row of the file has another number of cells than its header")
    return [dict(zip(header, line, strict=True)) for line in lines]


def _parts(call: Call) -> dict[str, bytes]:
    """The parts of a multipart body by name."""
    parts: dict[str, bytes] = {}

    def take_field(part: Any) -> None:
        parts[part.field_name.decode("utf-8", "replace")] = part.value or b""

    def take_file(part: Any) -> None:
        part.file_object.seek(0)
        parts[part.field_name.decode("utf-8", "replace")] = part.file_object.read()

    headers = {"Content-Type": call.headers.get("content-type", "").encode("latin-1", "replace")}
    try:
        parse_form(headers, io.BytesIO(call.body), take_field, take_file)
    except (FormParserError, ValueError) as error:
        raise invalid("The request must be multipart/form-data with the parts file and jobId") from error
    return parts
