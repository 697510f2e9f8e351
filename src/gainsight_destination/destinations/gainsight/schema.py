"""What a tenant's objects look like, from Gainsight's metadata, and values made to fit their fields."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gainsight_destination.events.emails import normalise_email
from gainsight_destination.events.timestamps import iso_day, iso_utc, parse_timestamp_ms, utc_day

NUMERIC: Final = frozenset({"NUMBER", "CURRENCY", "PERCENTAGE", "JSONNUMBER"})
BOOLEAN: Final = frozenset({"BOOLEAN", "JSONBOOLEAN"})
POINTERS: Final = frozenset({"GSID", "LOOKUP"})
"""Types that hold the id of a row or item of Gainsight's own, which no trait can name."""
PICKLISTS: Final = frozenset({"PICKLIST", "MULTISELECTDROPDOWNLIST"})
SEPARATOR: Final = ";"
"""Between the items of a multi-select. Whether Gainsight wants a list or text is not published; a file takes text."""

_URL: Final = re.compile(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_SALESFORCE_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object. `data_type` is Gainsight's word for it; `length` counts characters."""

    name: str
    data_type: str
    length: int | None = None
    writable: bool = True
    nillable: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of a picklist: lower-case label or item id -> what to send for it; inactive items are left out."""


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
    """A value as the field takes it. `ok` is False when it cannot be made to fit."""

    value: Any = None
    ok: bool = True
    notice: str | None = None
    """What was lost on the way, as notices call it."""


UNFIT: Final = Fitted(ok=False, notice="value_skipped")
NOT_AN_ITEM: Final = Fitted(ok=False, notice="picklist_unknown")


def fit(value: Any, target: Field) -> Fitted:
    """Make a trait or property fit a field. Null fits every field that may be empty, and clears it.

    What a type takes is that of Gainsight's error codes, and of its metadata; docs/delivery.md has the table.
    """
    kind = target.data_type
    if kind in POINTERS:
        return UNFIT
    if value is None:
        return Fitted(None) if target.nillable else UNFIT
    if kind in NUMERIC:
        return _number(value)
    if kind in BOOLEAN:
        return _boolean(value)
    if kind in ("DATE", "DATETIME"):
        return _date(value, day_only=kind == "DATE")
    if kind in PICKLISTS:
        return _items(value, target) if kind == "MULTISELECTDROPDOWNLIST" else _item(value, target)
    if kind == "EMAIL":
        return _whole(normalise_email(value), target)
    if kind == "URL":
        return _whole(_matching(_URL, value), target)
    if kind == "SFDCID":
        return _whole(_matching(_SALESFORCE_ID, value), target)
    if kind == "JSON":
        return _whole(_json(value), target)
    text = _text(value)
    if target.length is not None and len(text) > target.length:
        return Fitted(text[: target.length], notice="text_cut")
    return Fitted(text)


def is_blank(value: Any) -> bool:
    """Whether a value is text without anything in it."""
    return isinstance(value, str) and not value.replace("\0", "").strip()


def _text(value: Any) -> str:
    """A value as text that can be sent: Gainsight takes no NUL, and half a surrogate pair is no UTF-8."""
    text = value if isinstance(value, str) else _dumped(value)
    return text if text.isascii() and "\0" not in text else _SURROGATES.sub("\ufffd", text.replace("\0", ""))


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(text: str | None, target: Field) -> Fitted:
    """A text that means nothing, or something else, when it is cut."""
    return UNFIT if text is None or len(text) > (target.length or len(text)) else Fitted(text)


def _matching(pattern: re.Pattern[str], value: Any) -> str | None:
    text = _text(value).strip() if isinstance(value, str) else ""
    return text if pattern.fullmatch(text) else None


def _json(value: Any) -> str | None:
    """JSON text as it is, any other value written as JSON."""
    text = _text(value)
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _dumped(text) if isinstance(value, str) else None
    return text


def _item(value: Any, target: Field) -> Fitted:
    found = target.labels.get(_text(value).strip().lower())
    return NOT_AN_ITEM if found is None else Fitted(found)


def _items(value: Any, target: Field) -> Fitted:
    """A list, or text with semicolons between the items; items that Gainsight does not have are left out."""
    whole = _item(value, target)
    if whole.ok or isinstance(value, dict):
        return whole
    given = value if isinstance(value, list) else _text(value).split(SEPARATOR)
    fitted = [_item(item, target) for item in given if item is not None and not is_blank(item)]
    if not fitted:
        return fit(None, target)
    known = dict.fromkeys(str(item.value) for item in fitted if item.ok)
    if not known:
        return NOT_AN_ITEM
    return Fitted(SEPARATOR.join(known), notice=None if all(item.ok for item in fitted) else NOT_AN_ITEM.notice)


def _date(value: Any, *, day_only: bool) -> Fitted:
    moment_ms = parse_timestamp_ms(value)
    if moment_ms is None:
        return UNFIT
    return Fitted(iso_day(utc_day(moment_ms)) if day_only else iso_utc(moment_ms))


def _number(value: Any) -> Fitted:
    try:
        number = float(value.strip().replace("_", "x") if isinstance(value, str) else value)
    except (ValueError, TypeError, OverflowError):
        return UNFIT
    if isinstance(value, bool) or not math.isfinite(number):
        return UNFIT
    if isinstance(value, str):
        return Fitted(int(number) if number.is_integer() and abs(number) < 1 << 53 else number)
    return Fitted(value)


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
    data_type = str(item.get("dataType", "STRING")).upper()
    length = meta.get("length")
    return Field(
        name=item["fieldName"],
        data_type=data_type,
        length=length if isinstance(length, int) and length > 0 else None,
        writable=not (meta.get("readOnly") or meta.get("formulaField")) and meta.get("updateable", True) is not False,
        nillable=meta.get("nillable", True) is not False,
        labels=_labels(item.get("options") or []) if data_type in PICKLISTS else {},
    )


def _labels(options: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for option in options:
        label, gsid = option.get("label"), option.get("value")
        if not option.get("active", True) or not isinstance(label, str):
            continue
        named = isinstance(gsid, str)
        sent = str(gsid) if named and SEPARATOR in label else label
        labels[label.strip().lower()] = sent
        if named:
            labels[str(gsid).lower()] = sent
    return labels
