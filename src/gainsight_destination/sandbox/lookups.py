"""The `lookups` block of a write: Gainsight finds the GSID of another row by values in the record.

`{"Company_Id__gc": {"fields": {"acct": "SfdcAccountId"}, "lookupField": "Gsid", "objectName": "company",
"multiMatchOption": "MARKASERROR", "onNoMatch": "NULLABLE"}}`: `acct` is a key of the record and need not be a field.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import invalid
from gainsight_destination.sandbox.rows import rows_matching
from gainsight_destination.sandbox.schema import Field, Object, find_object
from gainsight_destination.sandbox.tenant import Tenant
from gainsight_destination.sandbox.validate import RefusedRecordError, RefusedValueError

MAX_FIELDS = 6
"""Gainsight's import lookups combine up to six fields."""


class LookupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry as the caller writes it."""

    fields: dict[str, str]
    object_name: str = msgspec.field(name="objectName")
    lookup_field: str = msgspec.field(name="lookupField", default="Gsid")
    multi_match: Literal["FIRSTMATCH", "MARKASERROR"] = msgspec.field(name="multiMatchOption", default="FIRSTMATCH")
    on_no_match: Literal["NULLABLE", "DEFAULTVALUE", "ERROR"] = msgspec.field(name="onNoMatch", default="NULLABLE")
    default_value: Any = msgspec.field(name="defaultValue", default=None)


class Lookup(msgspec.Struct, frozen=True):
    """An entry that was checked against both objects."""

    target: Field
    request: LookupRequest
    searched: Object


def read_lookups(tenant: Tenant, target: Object, block: Any) -> list[Lookup]:
    """Check the block of a request. Raises RefusedError for a configuration that cannot work."""
    if block is None:
        return []
    try:
        requests = msgspec.convert(block, dict[str, LookupRequest])
    except msgspec.ValidationError as error:
        raise invalid(f"The lookups are not valid: {error}") from error
    return [_lookup(tenant, target, name, request) for name, request in requests.items()]


def _lookup(tenant: Tenant, target: Object, name: str, request: LookupRequest) -> Lookup:
    field = target.field(name)
    if field is None or field.read_only:
        raise invalid(f"The lookup fills {name}, which is not a writable field of {target.name}")
    searched = find_object(tenant, request.object_name)
    if searched is None:
        raise invalid(f"The lookup of {name} searches {request.object_name}, which is not an object")
    if not 1 <= len(request.fields) <= MAX_FIELDS:
        raise invalid(f"The lookup of {name} needs 1 to {MAX_FIELDS} fields")
    for searched_name in (*request.fields.values(), request.lookup_field):
        if searched.field(searched_name) is None:
            raise invalid(f"The lookup of {name} uses {searched_name}, which is not a field of {searched.name}")
    return Lookup(field, request, searched)


def helper_names(lookups: list[Lookup]) -> set[str]:
    """Keys of records that are there for the lookups."""
    return {helper for lookup in lookups for helper in lookup.request.fields}


def resolve_lookups(
    tenant: Tenant, lookups: list[Lookup], record: Mapping[str, Any], *, inserting: bool
) -> dict[str, Any]:
    """Target field -> value found for a record. Raises RefusedRecordError.

    An update whose record has none of a lookup's keys leaves its target as it is.
    """
    found: dict[str, Any] = {}
    for lookup in lookups:
        if inserting or any(helper in record for helper in lookup.request.fields):
            found[lookup.target.name] = _resolve(tenant, lookup, record)
    return found


def _resolve(tenant: Tenant, lookup: Lookup, record: Mapping[str, Any]) -> Any:
    request = lookup.request
    wanted = {field: record.get(helper) for helper, field in request.fields.items()}
    complete = all(value is not None for value in wanted.values())
    matches = rows_matching(tenant, lookup.searched, wanted) if complete else []
    if len(matches) > 1 and request.multi_match == "MARKASERROR":
        raise _refused(lookup, wanted, "More than one record matches the lookup")
    if matches:
        return matches[0].get(request.lookup_field)
    if request.on_no_match == "ERROR":
        raise _refused(lookup, wanted, "No record matches the lookup")
    return request.default_value if request.on_no_match == "DEFAULTVALUE" else None


def _refused(lookup: Lookup, wanted: Mapping[str, Any], message: str) -> RefusedRecordError:
    values = list(wanted.values())
    return RefusedRecordError([RefusedValueError(answers.NO_MATCH, message, lookup.target.name, values)])
