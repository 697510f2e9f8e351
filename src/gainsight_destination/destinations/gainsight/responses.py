"""Reads Gainsight's answers: data when a call did its work, else the error that says what to do next.

A 200 is not yet a success: `result` must be true. Which answer means what is one table here; docs/delivery.md shows it,
and the tests go through it row by row. Where it comes from: Gainsight's pages of its APIs and of their error codes,
and, for 2402 and 2404, clients that met them.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    CallError,
    MisconfiguredError,
    Refusal,
    ThrottledError,
    TransientError,
)

NO_MATCH: Final = "GSOBJ_1011"

Culprits = dict[int, Refusal]


class AnswerClass(NamedTuple):
    """Answers that mean the same, on every channel: one of these statuses (first and last), or one of these codes."""

    statuses: tuple[tuple[int, int], ...]
    codes: frozenset[str]
    error: type[CallError]
    says: str
    """The error's text; may name `message`, `status` and `path`."""
    answer: str
    """The same condition in words, for the documentation."""
    done: str
    """What is done about it, for the documentation."""
    no_json: bool = False
    """Also whatever has no JSON object for a body."""
    not_done: bool = False
    """Also whatever does not say `"result": true`."""

    def fits(self, answer: Answer, code: str) -> bool:
        if code in self.codes or any(first <= answer.status <= last for first, last in self.statuses):
            return True
        is_object = isinstance(answer.body, dict)
        return (self.no_json and not is_object) or (
            self.not_done and is_object and answer.body.get("result") is not True
        )


REFUSED_ADDRESS: Final = "Gainsight refuses this server's IP address; add it to the allow-list of the Access Key"

ANSWERS: Final = (
    AnswerClass(
        ((429, 429),),
        frozenset({"GU_2400", "GS_APIG_2404"}),
        ThrottledError,
        "Gainsight's own quota is used up for this minute",
        "429, or code `GU_2400` or `GS_APIG_2404`",
        "**throttled**: wait for the next minute. Costs no attempt",
    ),
    AnswerClass(
        ((300, 399),),
        frozenset(),
        MisconfiguredError,
        "Gainsight redirects this call; check the domain in the settings",
        "any 3xx",
        "**misconfigured**: pause the object. A redirect is never followed",
    ),
    AnswerClass(
        (),
        frozenset({"GS_APIG_2402"}),
        AuthenticationError,
        REFUSED_ADDRESS,
        "code `GS_APIG_2402`",
        "**refused IP address**: pause the destination",
    ),
    AnswerClass(
        ((401, 401), (403, 403)),
        frozenset({"GS_APIG_2401", "GSOBJ_1024"}),
        AuthenticationError,
        "Gainsight refuses the Access Key or OAuth token ({message})",
        "401, 403, or code `GS_APIG_2401` or `GSOBJ_1024`",
        "**refused credentials**: pause the destination. An OAuth token older than 10 seconds is replaced first",
    ),
    AnswerClass(
        ((404, 404),),
        frozenset({"GS_APIG_1000", "GSOBJ_1023", "OBJECT_NOT_FOUND"}),
        MisconfiguredError,
        "Gainsight does not know {path} ({message})",
        "404, or code `GS_APIG_1000`, `GSOBJ_1023` or `OBJECT_NOT_FOUND`",
        "**misconfigured**: pause the object",
    ),
    AnswerClass(
        ((500, 999), (408, 408)),
        frozenset({"GU_1101"}),
        TransientError,
        "Gainsight is in trouble (HTTP {status}: {message})",
        "5xx, 408, or code `GU_1101`",
        "**in trouble**: back off. It may have done what was asked",
    ),
    AnswerClass(
        ((413, 413),),
        frozenset(),
        BatchRejectedError,
        "the request is too large",
        "413",
        "**refused data**: the batch is told apart",
    ),
    AnswerClass(
        (),
        frozenset(),
        TransientError,
        "Gainsight's answer is not the JSON it should be (HTTP {status})",
        "no JSON object, whatever the status",
        "as for 5xx: whoever answered, it was not Gainsight",
        no_json=True,
    ),
    AnswerClass(
        ((400, 499),),
        frozenset(),
        BatchRejectedError,
        "{message}",
        'any other 4xx, or a 2xx without `"result": true`',
        "**refused data**: see [dead letters](#dead-letters)",
        not_done=True,
    ),
)
"""The first that fits decides; where none does, the call did its work."""


class Special(NamedTuple):
    """Refused data that means something else on one channel. No codes: any."""

    codes: frozenset[str]
    channel: str
    done: str


NO_ROWS: Final = Special(frozenset({NO_MATCH, "GSOBJ_1XXX"}), "a query", "there are no rows")
NO_COMPANY: Final = Special(
    frozenset({NO_MATCH}), "the update of one Company", "its GSID is forgotten and looked for again"
)
NO_ROW: Final = Special(frozenset({NO_MATCH}), "the update of one row", "the row is gone: insert it again")
SPECIAL: Final = (
    NO_ROWS,
    NO_COMPANY,
    NO_ROW,
    Special(frozenset({NO_MATCH}), "an update of several", "told apart (below), then as above"),
    Special(frozenset(), "reading an object's metadata", "misconfigured: pause the object"),
    Special(frozenset(), "the status of asynchronous people", "the people are sent again"),
    Special(frozenset(), "a [file](#files)", "its records go by calls; also if it is misconfigured or throttled"),
    Special(frozenset(), "the status of a file", "asked for again, until the file is given up; also if misconfigured"),
)

REFUSALS: Final[Mapping[str, str]] = {
    "GSOBJ_1001": "a text is longer than its field",
    "GSOBJ_1002": "a value does not fit its field's type, or there is no such field",
    "GSOBJ_1004": "a GSID is missing or is none",
    "GSOBJ_1005": "a DateTime cannot be read",
    "GSOBJ_1006": "a Date cannot be read",
    "GSOBJ_1007": "a field that must not be empty is",
    "GSOBJ_1008": "a percentage or a Boolean cannot be read",
    "GSOBJ_1011": "no row matches",
    "GSOBJ_1012": "a picklist has no such active item",
    "GS_7571": "a file has no rows",
}
"""What a code of refused data says of the record; any other is refused data all the same."""


ADVICE: Final[Mapping[str, str]] = {
    "GSOBJ_1001": "make the field longer in Gainsight, or give a shorter value with `dead-letters fix`; then retry",
    "GSOBJ_1002": "the answer names the field: give it another value with `dead-letters fix`, or mend it in Gainsight; "
    "then retry",
    "GSOBJ_1004": "retry: the record is looked for again",
    "GSOBJ_1005": "give the field a date with `dead-letters fix`",
    "GSOBJ_1006": "give the field a date with `dead-letters fix`",
    "GSOBJ_1007": "fill the field with `dead-letters fix`, map a trait to it, or make it optional there; then retry",
    "GSOBJ_1008": "give the field a value of its type with `dead-letters fix`",
    "GSOBJ_1011": "retry: what it updates is looked for again",
    "GSOBJ_1012": "add the option to the picklist in Gainsight, or choose one with `dead-letters fix`; then retry",
}
"""What a person can do about refused data, by code."""


def is_refused_credential(answer: Answer) -> bool:
    """Whether an answer refuses the key or token itself."""
    kind = next((kind for kind in ANSWERS if kind.fits(answer, code_of(answer))), None)
    return kind is not None and kind.error is AuthenticationError and kind.says != REFUSED_ADDRESS


def code_of(answer: Answer) -> str:
    body = answer.body if isinstance(answer.body, dict) else {}
    return str(body.get("errorCode") or body.get("title") or "")


def read_answer(call: Call, answer: Answer) -> Any:
    """The `data` of a successful answer. Raises the call error that fits any other answer."""
    body = answer.body if isinstance(answer.body, dict) else {}
    code = code_of(answer)
    for kind in ANSWERS:
        if kind.fits(answer, code):
            raise _error(kind, call, answer, body, code)
    return body.get("data")


def _error(kind: AnswerClass, call: Call, answer: Answer, body: Mapping[str, Any], code: str) -> CallError:
    says = kind.says.format(message=_message(body, answer, code), status=answer.status, path=call.path)
    if issubclass(kind.error, BatchRejectedError):
        return kind.error(says, call, answer, code or f"HTTP_{answer.status}", culprits(call, body))
    return kind.error(says, call, answer)


def culprits(call: Call, body: Mapping[str, Any]) -> Culprits:
    """Positions of refused records with what is said of them, when the answer tells them beyond doubt.

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


def _describe(error: Any) -> Refusal | None:
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
    return Refusal(str(code or ""), f"{text or ''} (field {name})" if name else str(text or ""), str(name or ""))


def records_of(data: Any) -> list[Mapping[str, Any]]:
    """Rows of a query: Gainsight's own sample gives a list, live tenants a `records` list inside `data`."""
    if isinstance(data, Mapping):
        data = data.get("records")
    return [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []


def _message(body: Mapping[str, Any], answer: Answer, code: str) -> str:
    for key in ("errorDesc", "message", "detail"):
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    return REFUSALS.get(code, f"HTTP {answer.status}")
