"""What a tenant's objects look like, from Gainsight's metadata, and values made to fit their fields."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gainsight_destination.events.emails import normalise_email
from gainsight_destination.events.timestamps import iso_day, iso_utc, parse_timestamp_ms, utc_day

NUMERIC: Final = frozenset({"NUMBER", "CURRENCY", "PERCENTAGE", "JSONNUMBER"})
BOOLEAN: Final = frozenset({"BOOLEAN", "JSONBOOLEAN"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object. `data_type` is Gainsight's word for it; `length` counts characters."""

    name: str
    data_type: str
    length: int | None = None
    writable: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of a picklist: lower-case label or item id -> the label to send; inactive items are left out."""


@dataclass(frozen=True, slots=True)
class Schema:
    """An object of the tenant and its fields by API name."""

    object_name: str
    fields: Mapping[str, Field]

    def can_write(self, name: str) -> bool:
        found = self.fields.get(name)
        return found is not None and found.writable


@dataclass(frozen=True, slots=True)
class Fitted:
    """A value as the field takes it. `ok` is False when it cannot be made to fit; `cut` when text was shortened."""

    value: Any = None
    ok: bool = True
    cut: bool = False


UNFIT: Final = Fitted(ok=False)


def fit(value: Any, target: Field) -> Fitted:
    """Make a trait or property fit a field; null fits every field and clears it."""
    if value is None:
        return Fitted(None)
    if target.data_type in NUMERIC:
        return _number(value)
    if target.data_type in BOOLEAN:
        return _boolean(value)
    if target.data_type in ("DATE", "DATETIME"):
        moment_ms = parse_timestamp_ms(value)
        if moment_ms is None:
            return UNFIT
        return Fitted(iso_utc(moment_ms) if target.data_type == "DATETIME" else iso_day(utc_day(moment_ms)))
    if target.data_type == "EMAIL":
        email = normalise_email(value)
        return UNFIT if email is None else Fitted(email)
    if target.labels:
        label = target.labels.get(_text(value).strip().lower())
        return UNFIT if label is None else Fitted(label)
    text = _text(value)
    if target.length is not None and len(text) > target.length:
        return Fitted(text[: target.length], cut=True)
    return Fitted(text)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _number(value: Any) -> Fitted:
    if isinstance(value, bool):
        return UNFIT
    if isinstance(value, str):
        try:
            number = float(value.strip().replace("_", "x"))
        except ValueError:
            return UNFIT
        value = int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 1 << 53 else number
    return Fitted(value) if isinstance(value, (int, float)) and math.isfinite(value) else UNFIT


def _boolean(value: Any) -> Fitted:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    return Fitted(value) if isinstance(value, bool) else UNFIT


def parse_schema(object_name: str, described: Any) -> Schema:
    """Read the answer of the metadata API's describe call (its `data`; an object, or a list with one)."""
    if isinstance(described, list):
        described = described[0] if described else {}
    fields = described.get("fields") if isinstance(described, dict) else None
    return Schema(
        object_name,
        {
            item["fieldName"]: _field(item)
            for item in fields or []
            if isinstance(item, dict) and isinstance(item.get("fieldName"), str)
        },
    )


def _field(item: Mapping[str, Any]) -> Field:
    meta = item.get("meta") or {}
    labels: dict[str, str] = {}
    for option in item.get("options") or []:
        if option.get("active", True) and isinstance(option.get("label"), str):
            labels[option["label"].lower()] = option["label"]
            if isinstance(option.get("value"), str):
                labels[option["value"].lower()] = option["label"]
    length = meta.get("length")
    return Field(
        name=item["fieldName"],
        data_type=str(item.get("dataType", "STRING")).upper(),
        length=length if isinstance(length, int) and length > 0 else None,
        writable=not (meta.get("readOnly") or meta.get("formulaField")) and meta.get("updateable", True) is not False,
        labels=labels if str(item.get("dataType", "")).upper() == "PICKLIST" else {},
    )
