"""Reads what comes in a query: the message of a GET or of a pixel, and the name of a JSONP callback. Pure."""

import binascii
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gainsight_destination.ingest.answers import RefusedRequestError

Fields = Sequence[tuple[str, str]]

MAX_FIELDS = 1_000
"""Documented calls have a few dozen."""
MAX_DEPTH = 32
MAX_CALLBACK_LENGTH = 128

CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*", re.ASCII)
"""A function of the page, or of an object of the page: nothing else may become part of a script."""
STANDARD_ALPHABET = str.maketrans("-_ ", "+/+")
"""The URL-safe letters of base64 are the others; a blank is a `+` that was not escaped."""

NO_DATA = "Malformed query: send the message as the JSON body of a POST, or as data= in base64"


def fields_of(query: bytes) -> Fields:
    """Names and values in their order, decoded. Raises RefusedRequestError for too many."""
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RefusedRequestError(f"Malformed query: more than {MAX_FIELDS} fields") from None


def first(fields: Fields, name: str) -> str | None:
    """The value of the first field of this name."""
    return next((value for known, value in fields if known == name), None)


def data_of(fields: Fields) -> bytes:
    """The bytes in `data`: base64, of either alphabet, padded or not. Raises RefusedRequestError."""
    data = first(fields, "data")
    if not data:
        raise RefusedRequestError(NO_DATA)
    letters = data.strip().translate(STANDARD_ALPHABET).rstrip("=")
    try:
        return binascii.a2b_base64(letters + "=" * (-len(letters) % 4), strict_mode=True)
    except ValueError:
        raise RefusedRequestError("Malformed base64 in data=") from None


def callback_of(fields: Fields) -> str | None:
    """The JSONP callback if one is wanted. Raises RefusedRequestError for what is not the name of a function."""
    callback = first(fields, "callback")
    if not callback:
        return None
    if len(callback) > MAX_CALLBACK_LENGTH or not CALLBACK.fullmatch(callback):
        raise RefusedRequestError("Malformed callback: it must be the name of a function, such as app.done")
    return callback


def pixel_body(fields: Fields) -> bytes:
    """The JSON of a pixel: what is in `data`, else the fields themselves, whose names are paths into the message.

    Raises RefusedRequestError.
    """
    if first(fields, "data"):
        return data_of(fields)
    return msgspec.json.encode(message_of(fields))


def message_of(fields: Fields) -> dict[str, Any]:
    """The message that dotted names say: `properties.subject=Hi` is {"properties": {"subject": "Hi"}}.

    As Segment's code has it: parts are trimmed, a name with an empty part says nothing, a name that is repeated makes
    an array, and every value is text. Of `a=1` and `a.b=2`, which cannot both be, the first counts.
    """
    message: dict[str, Any] = {}
    for name, value in fields:
        parts = [part.strip() for part in name.split(".")]
        if len(parts) > MAX_DEPTH:
            raise RefusedRequestError(f"Malformed query: a name with more than {MAX_DEPTH} parts")
        if all(parts):
            put(message, parts, value)
    return message


def put(message: dict[str, Any], parts: Sequence[str], value: str) -> None:
    *way, last = parts
    inner = message
    for part in way:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            return
    match inner.get(last):
        case None:
            inner[last] = value
        case str(before):
            inner[last] = [before, value]
        case list(values):
            values.append(value)
