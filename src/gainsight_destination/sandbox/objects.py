"""Insert, update, read and delete rows of Company and of custom objects.

Gainsight documents 50 records for a call and up to three keys for an update. A batch with one bad record fails as a
whole, unless the switch `bad_record` says otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid, invalid_api
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.identifiers import GSID
from gainsight_destination.sandbox.lookups import Lookup, helper_names, read_lookups, resolve_lookups
from gainsight_destination.sandbox.presentation import present_row
from gainsight_destination.sandbox.rows import (
    Record,
    count_rows,
    delete_row,
    insert_row,
    row_by_gsid,
    rows_matching,
    update_row,
)
from gainsight_destination.sandbox.schema import Field, Object, get_object
from gainsight_destination.sandbox.standard import DELETE_LOG
from gainsight_destination.sandbox.tenant import Tenant
from gainsight_destination.sandbox.validate import (
    RefusedRecordError,
    RefusedValueError,
    check_unique,
    check_values,
    parse_value,
)

MAX_RECORDS: Final = 50
MAX_KEYS: Final = 3
KEY_TYPES: Final = frozenset({"STRING", "GSID", "NUMBER", "EMAIL"})


@dataclass(slots=True)
class Batch:
    """What became of the records of a call, by position."""

    records: list[Record | None] = field(default_factory=list)
    refused: dict[int, RefusedRecordError] = field(default_factory=dict)

    def reply(self, tenant: Tenant) -> Reply:
        """The answer. Raises RefusedError when a bad record spoils the batch."""
        errors = self._errors(tenant) if self.refused else None
        if self.refused and tenant.switches.bad_record == "whole_batch":
            first = next(iter(self.refused.values())).errors[0]
            raise RefusedError(400, first.code, first.text, data={"count": 0, "errors": errors, "records": None})
        written = sum(record is not None for record in self.records)
        return Reply({"count": written, "errors": errors, "records": self.records})

    def _errors(self, tenant: Tenant) -> list[Any]:
        if tenant.switches.error_nesting == "flat":
            return [error.entry() for error in self.refused.values()]
        refused = self.refused
        return [[refused[at].entry()] if at in refused else [] for at in range(len(self.records))]


def insert(tenant: Tenant, call: Call) -> Reply:
    """`POST /v1/data/objects/{object}`. Every record becomes a row of its own, also when one like it exists."""
    target, records, lookups = _request(tenant, call)
    _check_room(tenant, target, len(records))
    helpers = helper_names(lookups)

    def write(record: Record) -> Record:
        values = check_values(tenant, target, record, inserting=True, aside=helpers)
        values |= resolve_lookups(tenant, lookups, record, inserting=True)
        check_unique(tenant, target, values)
        row = insert_row(tenant, target, values)
        return {"Gsid": row["Gsid"], **_sent(target, record, values)}

    return _each(records, write).reply(tenant)


def update(tenant: Tenant, call: Call) -> Reply:
    """`PUT /v1/data/objects/{object}?keys=a,b`. Keys are ANDed; a record without a match refuses the batch."""
    target, records, lookups = _request(tenant, call)
    keys = _keys(tenant, target, call)
    aside = helper_names(lookups) | {key.name for key in keys}

    def write(record: Record) -> Record | None:
        matches = _matches(tenant, target, keys, record)
        if not matches:
            return None
        values = check_values(tenant, target, record, inserting=False, aside=aside)
        values |= resolve_lookups(tenant, lookups, record, inserting=False)
        for match in matches:
            update_row(tenant, target, match["Gsid"], values)
        return {**_sent(target, record, values), "Gsid": matches[0]["Gsid"]}

    return _each(records, write).reply(tenant)


def read_one(tenant: Tenant, call: Call) -> Reply:
    """`GET /v1/data/objects/{object}/{gsid}`."""
    target = get_object(tenant, call.parameters["object"])
    row = row_by_gsid(tenant, target.name, _path_gsid(call))
    if row is None:
        raise RefusedError(400, answers.NO_MATCH, answers.NO_MATCH_TEXT)
    return Reply({"records": [present_row(tenant, target, row)]})


def delete(tenant: Tenant, call: Call) -> Reply:
    """`DELETE /v1/data/objects/{object}/{gsid}`; the row then stands in `record_delete_log` for 15 days."""
    target = writable_object(tenant, call.parameters["object"])
    gsid = _path_gsid(call)
    if row_by_gsid(tenant, target.name, gsid) is None:
        raise RefusedError(400, answers.INVALID_GSID, answers.INVALID_GSID_TEXT)
    delete_row(tenant, gsid)
    insert_row(tenant, DELETE_LOG, {"RecordId": gsid, "ObjectName": target.name.lower(), "DeletedOn": tenant.now_ms})
    return Reply({"count": 1})


def writable_object(tenant: Tenant, name: str) -> Object:
    """An object that the object API writes: Company and Low Volume custom objects. Raises RefusedError."""
    target = get_object(tenant, name)
    high = target.volume == "high" and tenant.switches.high_volume_writes == "refuse"
    if target.write_with != "objects" or high:
        raise invalid_api()
    return target


def _request(tenant: Tenant, call: Call) -> tuple[Object, list[Record], list[Lookup]]:
    target = writable_object(tenant, call.parameters["object"])
    body = call.json_object()
    return target, read_records(body.get("records")), read_lookups(tenant, target, body.get("lookups"))


def read_records(records: Any) -> list[Record]:
    """The records of a body. Raises RefusedError for none, for more than 50, and for what is no record."""
    if not isinstance(records, list) or not records:
        raise invalid("The request needs a list of records")
    if len(records) > MAX_RECORDS:
        raise invalid(f"The request has {len(records)} records; at most {MAX_RECORDS} are allowed")
    if not all(isinstance(record, dict) for record in records):
        raise invalid("Every record must be a JSON object")
    return records


def _each(records: list[Record], write: Callable[[Record], Record | None]) -> Batch:
    batch = Batch()
    for position, record in enumerate(records):
        try:
            batch.records.append(write(record))
        except RefusedRecordError as error:
            batch.records.append(None)
            batch.refused[position] = error
    return batch


def _check_room(tenant: Tenant, target: Object, adding: int) -> None:
    """A Low Volume custom object holds up to 1,000,000 records."""
    cap = tenant.switches.low_volume_cap
    if target.type != "CUSTOM" or target.volume != "low" or cap is None:
        return
    if count_rows(tenant, target.name) + adding > cap:
        raise invalid(f"{target.name} is a Low Volume object and holds at most {cap} records")


def _keys(tenant: Tenant, target: Object, call: Call) -> list[Field]:
    names = [name.strip() for name in call.query.get("keys", "").split(",") if name.strip()]
    if not 1 <= len(names) <= MAX_KEYS:
        raise invalid(f"The query parameter keys must name 1 to {MAX_KEYS} fields")
    allowed = KEY_TYPES | ({"SFDCID"} if tenant.switches.sfdc_id_as_key == "allow" else set())
    keys = []
    for name in names:
        key = target.field(name)
        if key is None or key.data_type not in allowed:
            raise invalid(f"{name} cannot be a key of {target.name}; a key is a String, GSID, Number or Email field")
        keys.append(key)
    return keys


def _matches(tenant: Tenant, target: Object, keys: list[Field], record: Record) -> list[Record]:
    """Rows that an update of this record changes; none only when the switch skips it."""
    wanted: dict[str, Any] = {}
    for key in keys:
        value = record.get(key.name)
        if key.name == "Gsid" and (not isinstance(value, str) or GSID.fullmatch(value) is None):
            text = answers.INVALID_GSID_TEXT
            raise RefusedRecordError([RefusedValueError(answers.INVALID_GSID, text, "Gsid", value, text=text)])
        if value is None:
            message = f"The record has no value for its key {key.name}"
            raise RefusedRecordError([RefusedValueError(answers.INVALID_FIELD, message, key.name, None)])
        try:
            wanted[key.name] = parse_value(tenant, target, key, value)
        except RefusedValueError as error:
            raise RefusedRecordError([error]) from error
    matches = rows_matching(tenant, target, wanted)
    names, values = ", ".join(wanted), list(wanted.values())
    if not matches and tenant.switches.update_without_match == "refuse":
        text = answers.NO_MATCH_TEXT
        raise RefusedRecordError([RefusedValueError(answers.NO_MATCH, text, names, values, text=text)])
    if len(matches) > 1 and tenant.switches.update_with_several_matches == "refuse":
        message = "More than one record matches the keys"
        raise RefusedRecordError([RefusedValueError(answers.INVALID_FIELD, message, names, values)])
    return matches


def _sent(target: Object, record: Record, values: Record) -> Record:
    """The fields of an answer: those sent that are fields, as sent, and those that lookups filled."""
    return {name: value for name, value in record.items() if target.field(name) is not None} | {
        name: value for name, value in values.items() if name not in record
    }


def _path_gsid(call: Call) -> str:
    gsid = call.parameters["gsid"]
    if GSID.fullmatch(gsid) is None:
        raise RefusedError(400, answers.INVALID_GSID, answers.INVALID_GSID_TEXT)
    return gsid
