"""Reads Gainsight's answers: data when a call did its work, else the error that says what to do next.

A 200 is not yet a success: `result` must be true. Which answer means what is described, with its sources, in
docs/delivery.md.
"""

from collections.abc import Mapping
from typing import Any, Final

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    MisconfiguredError,
    ThrottledError,
    TransientError,
)

THROTTLED: Final = frozenset({"GU_2400", "GS_APIG_2404"})
KEY_REFUSED: Final = frozenset({"GS_APIG_2401", "GSOBJ_1024"})
ADDRESS_REFUSED: Final = "GS_APIG_2402"
NOT_THERE: Final = frozenset({"GS_APIG_1000", "GSOBJ_1023", "OBJECT_NOT_FOUND"})
SERVER_FAULT: Final = "GU_1101"
NO_MATCH: Final = "GSOBJ_1011"

Culprits = dict[int, tuple[str, str]]


def read_answer(call: Call, answer: Answer) -> Any:
    """The `data` of a successful answer. Raises the call error that fits any other answer."""
    body = answer.body if isinstance(answer.body, dict) else {}
    code = str(body.get("errorCode") or body.get("title") or "")
    message = _message(body, answer)
    if answer.status == 429 or code in THROTTLED:
        raise ThrottledError("Gainsight's own quota is used up for this minute", call, answer)
    if 300 <= answer.status < 400:
        raise MisconfiguredError("Gainsight redirects this call; check the domain in the settings", call, answer)
    if code == ADDRESS_REFUSED:
        raise AuthenticationError(
            "Gainsight refuses this server's IP address; add it to the allow-list of the Access Key", call, answer
        )
    if answer.status in (401, 403) or code in KEY_REFUSED:
        raise AuthenticationError(f"Gainsight refuses the Access Key ({message})", call, answer)
    if answer.status == 404 or code in NOT_THERE:
        raise MisconfiguredError(f"Gainsight does not know {call.path} ({message})", call, answer)
    if answer.status >= 500 or answer.status == 408 or code == SERVER_FAULT:
        raise TransientError(f"Gainsight is in trouble (HTTP {answer.status}: {message})", call, answer)
    if answer.status == 413:
        raise BatchRejectedError("the request is too large", call, answer, "HTTP_413", {})
    if not isinstance(answer.body, dict):  # whoever answered, it was not Gainsight: refuse no record because of it
        raise TransientError(f"Gainsight's answer is not the JSON it should be (HTTP {answer.status})", call, answer)
    if answer.status >= 400 or body.get("result") is not True:
        raise BatchRejectedError(message, call, answer, code or f"HTTP_{answer.status}", culprits(call, body))
    return body.get("data")


def culprits(call: Call, body: Mapping[str, Any]) -> Culprits:
    """Positions of refused records with (code, message), when the answer tells them beyond doubt.

    `data.errors` was seen as a list with an entry per record and as a flat list of the bad ones; only the first form
    says which record is meant, and for a batch of one there is no question.
    """
    data = body.get("data")
    errors = data.get("errors") if isinstance(data, Mapping) else None
    records = call.body.get("records", []) if isinstance(call.body, Mapping) else []
    if not isinstance(errors, list) or len(errors) != len(records):
        return {}
    found = {position: described for position, error in enumerate(errors) if (described := _describe(error))}
    return found if len(found) < len(records) or len(records) == 1 else {}


def _describe(error: Any) -> tuple[str, str] | None:
    while isinstance(error, list):
        if not error:
            return None
        error = error[0]
    if not isinstance(error, Mapping):
        return None
    inner = error.get("errors")
    if isinstance(inner, list):
        return _describe(inner)
    code, text, name = error.get("errorCode"), error.get("errorMessage"), error.get("fieldName")
    if code is None and text is None:
        return None
    return str(code or ""), f"{text or ''} (field {name})" if name else str(text or "")


def records_of(data: Any) -> list[Mapping[str, Any]]:
    """Rows of a query: Gainsight's own sample gives a list, live tenants a `records` list inside `data`."""
    if isinstance(data, Mapping):
        data = data.get("records")
    return [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []


def _message(body: Mapping[str, Any], answer: Answer) -> str:
    for key in ("errorDesc", "message", "detail"):
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    return f"HTTP {answer.status}"
