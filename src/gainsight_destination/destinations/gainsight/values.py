"""Values made to fit Gainsight's fields before a call, so that none is refused for what a trait holds.

One table says for each data type of Gainsight's metadata what is taken and what is sent for it. A value that cannot be
made to fit is left out; what was cut or left out becomes a notice. Pure.

Where it comes from: Gainsight's pages of its data types, of the formats that its objects take and of its error codes.
Two things are not published and are chosen: a multi-select is sent as a list of labels, which is the form in which
Gainsight's own errors quote it; text is measured in characters.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gainsight_destination.events.emails import normalise_email
from gainsight_destination.events.timestamps import iso_day, iso_utc, parse_timestamp_ms, utc_day

TEXT_CUT: Final = "text_cut"
VALUE_SKIPPED: Final = "value_skipped"
OPTION_UNKNOWN: Final = "option_unknown"
NULL_SKIPPED: Final = "null_skipped"

SHOWN_OPTIONS_CHARACTERS: Final = 300
WORDS: Final = dict.fromkeys(("true", "yes", "y", "t", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "n", "f", "off", "0"), False
)
SURROGATES: Final = re.compile("[\ud800-\udfff]")
GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,}(?:\.\d+)?)")
"""Commas between thousands, where they cannot be a decimal comma."""
ISO_CODE: Final = re.compile(r"^[A-Z]{3}\s*(?=[\d+.-])|(?<=[\d.])\s*[A-Z]{3}$")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object. `data_type` is Gainsight's word for it; `length` counts characters."""

    name: str
    data_type: str
    length: int | None = None
    writable: bool = True
    nillable: bool = True
    """Whether it can be empty."""
    required: bool = False
    """Whether an insert needs it."""
    labels: Mapping[str, str] | None = None
    """Of a picklist: each way of saying an active item (label in any letter case, item id) -> the label to send."""

    @property
    def options(self) -> Sequence[str]:
        """The labels that a picklist takes, in Gainsight's order."""
        return tuple(dict.fromkeys((self.labels or {}).values()))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A value as the field takes it. `ok` is False when it cannot be made to fit; `notice` says what was lost."""

    value: Any = None
    ok: bool = True
    notice: str | None = None

    def remark(self, object_name: str, target: Field) -> tuple[str, str] | None:
        """The notice as (kind, subject); with the options where a person has to choose among them."""
        if self.notice is None:
            return None
        subject = f"{object_name}.{target.name}"
        if self.notice != OPTION_UNKNOWN:
            return self.notice, subject
        options = ", ".join(target.options) or "no active option"
        if len(options) > SHOWN_OPTIONS_CHARACTERS:
            options = options[:SHOWN_OPTIONS_CHARACTERS].rpartition(",")[0] + ", ..."
        return self.notice, f"{subject} (takes: {options})"


UNFIT: Final = Fitted(ok=False, notice=VALUE_SKIPPED)
NO_OPTION: Final = Fitted(ok=False, notice=OPTION_UNKNOWN)


def fit(value: Any, target: Field) -> Fitted:
    """Make a trait or property fit a field. Null clears every field that can be empty."""
    if value is None:
        return Fitted(None) if target.nillable else Fitted(ok=False, notice=NULL_SKIPPED)
    return FITTERS.get(target.data_type, _text)(value, target)


def option_labels(options: Sequence[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """`Field.labels` of active items as (label, other names): exact spellings win over those in another letter case."""
    labels = {label: label for label, _ in options}
    for label, names in options:
        for name in (label, *names):
            labels.setdefault(name.lower(), label)
    return labels


def as_text(value: Any) -> str:
    """Text as it is; anything else as its JSON. NUL, which Gainsight takes in no text, is left out.

    Half a surrogate pair, which is no UTF-8, becomes U+FFFD.
    """
    text = value.replace("\0", "") if isinstance(value, str) else _dumped(value)
    return text if text.isascii() else SURROGATES.sub("\ufffd", text)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(value: Any, target: Field) -> Fitted:
    text = as_text(value)
    if target.length is not None and len(text) > target.length:
        return Fitted(text[: target.length], notice=TEXT_CUT)
    return Fitted(text)


def _whole_text(value: Any, target: Field) -> Fitted:
    """An id or address: part of one would be another one."""
    if isinstance(value, (Mapping, list, bool)):
        return UNFIT
    text = as_text(value).strip()
    return UNFIT if target.length is not None and len(text) > target.length else Fitted(text)


def _email(value: Any, target: Field) -> Fitted:
    email = normalise_email(value)
    return UNFIT if email is None else _whole_text(email, target)


def _json(value: Any, target: Field) -> Fitted:
    """JSON text as it is, anything else written as JSON. Part of it would be none."""
    text = as_text(value)
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        if not isinstance(value, str):
            return UNFIT
        text = _dumped(text)
    return UNFIT if target.length is not None and len(text) > target.length else Fitted(text)


def _pointer(value: Any, target: Field) -> Fitted:
    """The id of a row of Gainsight's: whether there is such a row is not known before, and a wrong one is refused."""
    return UNFIT


def _number(value: Any, target: Field) -> Fitted:
    if isinstance(value, str):
        value = _number_of(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return UNFIT
    try:
        return Fitted(value) if math.isfinite(value) else UNFIT
    except OverflowError:  # an integer that no number of Gainsight's holds
        return UNFIT


def _number_of(text: str) -> float | None:
    try:
        number = float(text.replace("_", "x"))
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 1 << 53 else number


def _currency(value: Any, target: Field) -> Fitted:
    """The amount, without a sign or ISO code before or after it: `$1,200.50`, `99 EUR`. `1,200` may be 1.2."""
    if isinstance(value, str):
        text = value.strip()
        if text and unicodedata.category(text[0]) == "Sc":
            text = text[1:]
        elif text and unicodedata.category(text[-1]) == "Sc":
            text = text[:-1]
        else:
            text = ISO_CODE.sub("", text)
        value = text.replace(",", "") if GROUPED.fullmatch(text.strip()) else text
    return _number(value, target)


def _percentage(value: Any, target: Field) -> Fitted:
    return _number(value.strip().removesuffix("%") if isinstance(value, str) else value, target)


def _boolean(value: Any, target: Field) -> Fitted:
    if isinstance(value, str):
        value = WORDS.get(value.strip().lower())
    elif isinstance(value, (int, float)) and value in (0, 1):
        value = bool(value)
    return Fitted(value) if isinstance(value, bool) else UNFIT


def _date(value: Any, target: Field) -> Fitted:
    moment_ms = parse_timestamp_ms(value)
    return UNFIT if moment_ms is None else Fitted(iso_day(utc_day(moment_ms)))


def _date_time(value: Any, target: Field) -> Fitted:
    moment_ms = parse_timestamp_ms(value)
    return UNFIT if moment_ms is None else Fitted(iso_utc(moment_ms))


def _option(value: Any, target: Field) -> Fitted:
    if target.labels is None:  # the metadata does not tell the options
        return _text(value, target)
    label = _label(value, target.labels)
    return NO_OPTION if label is None else Fitted(label)


def _options(value: Any, target: Field) -> Fitted:
    """A list, or one text with its items between semicolons or commas. Items that are no options are left out."""
    items = value if isinstance(value, list) else _items_of(value, target.labels or {})
    if not items:
        return fit(None, target)
    if target.labels is None:
        return Fitted([as_text(item) for item in items])
    labels = [_label(item, target.labels) for item in items]
    known = list(dict.fromkeys(label for label in labels if label is not None))
    if not known:
        return NO_OPTION
    return Fitted(known, notice=OPTION_UNKNOWN if None in labels else None)


def _items_of(value: Any, labels: Mapping[str, str]) -> list[Any]:
    if not isinstance(value, str) or _label(value, labels) is not None:
        return [value]
    items = value.split(";" if ";" in value else ",")
    return [item for item in items if item.strip()]


def _label(value: Any, labels: Mapping[str, str]) -> str | None:
    if isinstance(value, (Mapping, list)):
        return None
    text = as_text(value)
    return labels.get(text) or labels.get(text.strip()) or labels.get(text.strip().lower())


FITTERS: Final[Mapping[str, Callable[[Any, Field], Fitted]]] = {
    "STRING": _text,
    "RICHTEXTAREA": _text,
    "JSON": _json,
    "JSONSTRING": _text,
    "SFDCID": _whole_text,
    "URL": _whole_text,
    "EMAIL": _email,
    "GSID": _pointer,
    "LOOKUP": _pointer,
    "NUMBER": _number,
    "JSONNUMBER": _number,
    "CURRENCY": _currency,
    "PERCENTAGE": _percentage,
    "BOOLEAN": _boolean,
    "JSONBOOLEAN": _boolean,
    "DATE": _date,
    "DATETIME": _date_time,
    "PICKLIST": _option,
    "MULTISELECTDROPDOWNLIST": _options,
}
"""By Gainsight's data type; what is not here is text."""

NUMERIC: Final = frozenset({"NUMBER", "CURRENCY", "PERCENTAGE", "JSONNUMBER"})
PICKLISTS: Final = frozenset({"PICKLIST", "MULTISELECTDROPDOWNLIST"})
