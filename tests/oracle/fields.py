"""Fields: what traits they are read from, and values made to fit them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.oracle.identity import code_points
from tests.oracle.messages import Message, day, iso, moment_ms

COMPANY = {"name": "Name", "industry": "Industry", "employees": "Employees"}
PERSON = {
    "firstName": "FirstName",
    "first_name": "FirstName",
    "lastName": "LastName",
    "last_name": "LastName",
    "middleName": "MiddleName",
    "middle_name": "MiddleName",
    "name": "Name",
    "linkedinUrl": "LinkedinUrl",
    "linkedin_url": "LinkedinUrl",
    "location": "Location",
    "timezone": "Timezone",
}
NEVER_CLEARED = ("Name", "Email")
WORDS = {"true": True, "yes": True, "y": True, "t": True, "on": True, "1": True}
WORDS |= {"false": False, "no": False, "n": False, "f": False, "off": False, "0": False}


@dataclass(frozen=True)
class Field:
    """A field of a Gainsight object: text, address, number, boolean, date, datetime or picklist."""

    type: str = "text"
    length: int | None = None
    labels: Sequence[str] = ()


class MisfitError(Exception):
    """The value cannot become the field's type."""


def fit(value: Any, field: Field) -> Any:
    """Numeric text becomes a number, the usual words, 1 and 0 become booleans, dates are read as ISO 8601 or epoch
    numbers, a picklist takes an active label in any letter case, lists and objects become JSON text; text longer than
    the field is cut, and holds no NUL. Null clears."""
    if value is None:
        return None
    if field.type == "number":
        return number(value)
    if field.type == "boolean":
        if isinstance(value, str):
            value = WORDS.get(value.strip().lower())
        if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
            return bool(value)
        raise MisfitError
    if field.type in ("date", "datetime"):
        at_ms = moment_ms(value)
        if at_ms is None:
            raise MisfitError
        return day(at_ms) if field.type == "date" else iso(at_ms)
    if field.type == "picklist":
        for label in field.labels:
            if label.lower() == as_text(value).strip().lower():
                return label
        raise MisfitError
    if field.type == "address":  # part of one would be another one
        text = as_text(value).strip()
        if isinstance(value, dict | list | bool) or (field.length is not None and len(text) > field.length):
            raise MisfitError
        return text
    return as_text(value)[: field.length]


def number(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MisfitError
    return value


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\0", "")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def mapping_of(standard: Mapping[str, str], explicit: Mapping[str, str]) -> dict[str, list[str]]:
    """Field -> the names it is read from, best first. What a setting says of a trait or of a field wins over the
    standard mapping."""
    names: dict[str, list[str]] = {}
    for trait, field in standard.items():
        if trait not in explicit and field not in explicit.values():
            names.setdefault(field, []).append(trait)
    for trait, field in explicit.items():
        names.setdefault(field, []).append(trait)
    return names


SILENT = object()


def said_of(said: Mapping[str, Any], names: Sequence[str]) -> Any:
    """What one message says under the first of the names that it has. A name with dots reads nested traits."""
    for name in names:
        value: Any = said
        if name in said:
            return said[name]
        for part in name.split("."):
            value = value.get(part, SILENT) if isinstance(value, Mapping) else SILENT
        if value is not SILENT:
            return value
    return SILENT


def in_order(messages: Sequence[Message]) -> list[Message]:
    """By date; of one date, by message id."""
    return sorted(messages, key=lambda message: (message.at_ms, code_points(message.id)))


def last_said(messages: Sequence[Message], names: Sequence[str], field: Field, *, clears: bool = True) -> Any:
    """The value with the newest date that the field can take; SILENT when nobody said one."""
    for message in reversed(in_order(messages)):
        value = said_of(message.said, names)
        if value is SILENT or (value is None and not clears):
            continue
        try:
            return fit(value, field)
        except MisfitError:
            continue
    return SILENT


def written(
    messages: Sequence[Message], mapping: Mapping[str, Sequence[str]], fields: Mapping[str, Field]
) -> dict[str, Any]:
    """The fields that somebody said something about. A field that Gainsight does not have is left out."""
    found = {
        name: last_said(messages, names, fields[name], clears=name not in NEVER_CLEARED)
        for name, names in mapping.items()
        if name in fields
    }
    return {name: value for name, value in found.items() if value is not SILENT}
