"""Values against fields, as strictly as Gainsight's error codes let one guess."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from gainsight_destination.errors import ProductError
from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.dates import parse_written_date, parse_written_datetime
from gainsight_destination.sandbox.identifiers import GSID
from gainsight_destination.sandbox.rows import rows_matching
from gainsight_destination.sandbox.schema import Field, Object
from gainsight_destination.sandbox.tenant import Tenant

EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
TEXT_TYPES: Final = frozenset({"STRING", "SFDCID", "EMAIL", "URL", "RICHTEXTAREA", "JSONSTRING"})


class RefusedValueError(ProductError):
    """One value of a record does not fit. `message` is short; `text` also quotes the value, as errorDesc does."""

    def __init__(self, code: str, message: str, field: str, value: Any, *, text: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.field, self.value = code, message, field, value
        self.text = text if text is not None else f"{message}. ({field} = {value})"

    def entry(self) -> dict[str, Any]:
        """The error as it stands in an answer."""
        return {
            "errorMessage": self.message,
            "errorCode": self.code,
            "fieldName": self.field,
            "invalidValue": self.value,
        }


class RefusedRecordError(ProductError):
    """A record that cannot be written, with everything that is wrong with it."""

    def __init__(self, errors: list[RefusedValueError]) -> None:
        super().__init__(errors[0].text)
        self.errors = errors

    def entry(self) -> dict[str, Any]:
        return {"success": False, "parsedValue": None, "errors": [error.entry() for error in self.errors]}


def check_values(
    tenant: Tenant,
    target: Object,
    record: Mapping[str, Any],
    *,
    inserting: bool,
    aside: Collection[str] = (),
) -> dict[str, Any]:
    """The stored values of a record's fields. Raises RefusedRecordError.

    `aside` are names that the record may hold and that are not written (keys of an update, helpers of a lookup).
    """
    values: dict[str, Any] = {}
    errors: list[RefusedValueError] = []
    for name, value in record.items():
        if name in aside and (field := target.field(name)) is not None and field.read_only:
            continue
        try:
            field = _writable(tenant, target, name, value, aside)
            if field is not None:
                values[name] = parse_value(tenant, target, field, value)
        except RefusedValueError as error:
            errors.append(error)
    if inserting:
        errors += [
            RefusedValueError(answers.INVALID_VALUE, f"Invalid field value ({field.name} = null)", field.name, None)
            for field in target.fields
            if field.required and field.name not in record
        ]
    if errors:
        raise RefusedRecordError(errors)
    return values


def check_unique(tenant: Tenant, target: Object, values: Mapping[str, Any]) -> None:
    """Refuse a second row with the same value, when the switch `unique_fields` names the field."""
    wanted = {name.lower(): fields for name, fields in tenant.switches.unique_fields.items()}
    for name in wanted.get(target.name.lower(), []):
        if values.get(name) is not None and rows_matching(tenant, target, {name: values[name]}):
            message = f"A record with the same {name} exists already"
            raise RefusedRecordError([RefusedValueError(answers.INVALID_VALUE, message, name, values[name])])


def parse_value(tenant: Tenant, target: Object, field: Field, value: Any) -> Any:
    """A value as it is stored. Raises RefusedValueError."""
    if value is None:
        if field.nillable:
            return None
        raise RefusedValueError(
            answers.INVALID_VALUE,
            "Invalid field value",
            field.name,
            None,
            text=f"Invalid field value ({field.name} = null)",
        )
    if field.data_type in TEXT_TYPES:
        return _text(field, value)
    match field.data_type:
        case "NUMBER" | "CURRENCY" | "PERCENTAGE" | "JSONNUMBER":
            return _number(field, value)
        case "BOOLEAN" | "JSONBOOLEAN":
            return _boolean(field, value)
        case "DATE" | "DATETIME":
            return _date(field, value)
        case "PICKLIST":
            return _item(target, field, value)
        case "MULTISELECTDROPDOWNLIST":
            return _items(target, field, value)
        case "JSON":
            return _json(field, value)
    return _gsid(tenant, field, value)


def _writable(tenant: Tenant, target: Object, name: str, value: Any, aside: Collection[str]) -> Field | None:
    field = target.field(name)
    if field is None:
        if name in aside or tenant.switches.unknown_field == "ignore":
            return None
        message = "Invalid field, please re-check your data mapping"
        raise RefusedValueError(
            answers.INVALID_FIELD, message, name, value, text=f"{message}. ({name} is not a field of {target.name})"
        )
    if field.read_only:
        raise RefusedValueError(answers.INVALID_FIELD, "The field is read-only", name, value)
    return field


def _misfit(field: Field, value: Any) -> RefusedValueError:
    return RefusedValueError(
        answers.INVALID_FIELD, "Invalid field, please re-check your data mapping", field.name, value
    )


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _misfit(field, value)
    if field.max_length is not None and len(value) > field.max_length:
        raise RefusedValueError(answers.TOO_LONG, "Field exceeds maximum allowed length", field.name, value)
    if field.data_type == "EMAIL" and EMAIL.fullmatch(value) is None:
        raise _misfit(field, value)
    return value


def _json(field: Field, value: Any) -> Any:
    """JSON, or a text that is JSON; how Gainsight wants it is not published."""
    if isinstance(value, str):
        try:
            msgspec.json.decode(_text(field, value))
        except msgspec.DecodeError as error:
            raise _misfit(field, value) from error
    return value


def _number(field: Field, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if field.data_type == "PERCENTAGE":
        message = f"Failed to parse value as percentage. ({field.name} = {value})"
        raise RefusedValueError(answers.NOT_PARSED, message, field.name, value, text=message)
    raise _misfit(field, value)


def _boolean(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    message = f"Invalid Boolean Value: {value} ({field.name})"
    raise RefusedValueError(answers.NOT_PARSED, message, field.name, value, text=message)


def _date(field: Field, value: Any) -> int:
    day = field.data_type == "DATE"
    parsed = parse_written_date(value) if day else parse_written_datetime(value)
    if parsed is not None:
        return parsed
    message = f"Invalid dateTime format ({field.name}= {value})"
    raise RefusedValueError(
        answers.INVALID_DATE if day else answers.INVALID_DATETIME, message, field.name, value, text=message
    )


def _item(target: Object, field: Field, value: Any) -> str:
    category = target.category(field)
    for option in field.options:
        gsid = option.gsid(category)
        if option.active and value in (option.label, gsid):
            return gsid
    message = "Invalid/Inactive value provided for picklist."
    raise RefusedValueError(
        answers.INVALID_PICKLIST, message, field.name, [value], text=f"{message} ({field.name} = {value})."
    )


def _items(target: Object, field: Field, value: Any) -> list[str]:
    """A multi-select: a list, or one text with semicolons; how Gainsight wants it is not published."""
    items = value.split(";") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise _misfit(field, value)
    return [_item(target, field, item) for item in items]


def _gsid(tenant: Tenant, field: Field, value: Any) -> str:
    if not isinstance(value, str) or GSID.fullmatch(value) is None:
        raise _misfit(field, value)
    if field.lookup is not None and not _exists(tenant, field.lookup, value):
        message = f"No {field.lookup} has this Gsid"
        raise RefusedValueError(answers.INVALID_FIELD, message, field.name, value)
    return value


def _exists(tenant: Tenant, object_name: str, gsid: str) -> bool:
    found = tenant.connection.execute(
        "SELECT 1 FROM rows WHERE gsid = ? AND object = ?", (gsid, object_name)
    ).fetchone()
    return found is not None
