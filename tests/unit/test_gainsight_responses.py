"""What each answer of Gainsight means, as a table: status, body, and the error type that says what to do next."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    CallError,
    MisconfiguredError,
    ThrottledError,
    TransientError,
)
from gainsight_destination.destinations.gainsight.files import import_file, import_status
from gainsight_destination.destinations.gainsight.responses import (
    ANSWERS,
    REFUSALS,
    AnswerClass,
    read_answer,
    records_of,
)

CALL = Call("PUT", "/v1/data/objects/Company", {"records": [{"Gsid": "1"}, {"Gsid": "2"}]})


def failure(code: str | None = None, text: str | None = None, **more: Any) -> dict[str, Any]:
    return {"result": False, "errorCode": code, "errorDesc": text, **more}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, failure("GU_2400", "Too many request"), ThrottledError),
        (200, failure("GS_APIG_2404", "rate limit reached"), ThrottledError),
        (429, None, ThrottledError),
        (401, failure("GS_APIG_2401", "Unauthorized"), AuthenticationError),
        (403, None, AuthenticationError),
        (400, failure("GSOBJ_1024", "Invalid authorization headers"), AuthenticationError),
        (401, failure("GS_APIG_2402", "IP Address does not lie in range"), AuthenticationError),
        (302, None, MisconfiguredError),
        (404, failure("GS_APIG_1000", "Not Found"), MisconfiguredError),
        (400, failure("GSOBJ_1023", "Invalid API called"), MisconfiguredError),
        (400, {"result": False, "title": "OBJECT_NOT_FOUND", "detail": "not found"}, MisconfiguredError),
        (500, failure("GU_1101", "Oops"), TransientError),
        (200, failure("GU_1101", "Oops"), TransientError),
        (502, None, TransientError),
        (503, None, TransientError),
        (504, None, TransientError),
        (408, None, TransientError),
        (200, None, TransientError),
        (200, [], TransientError),
        (400, failure("GSOBJ_1012", "Invalid picklist"), BatchRejectedError),
        (400, failure("GSOBJ_9999", "never seen"), BatchRejectedError),
        (200, failure("GSOBJ_1001", "too long"), BatchRejectedError),
        (200, {"data": {}}, BatchRejectedError),
        (413, None, BatchRejectedError),
        (400, None, TransientError),
    ],
)
def test_classes(status: int, body: Any, expected: type[CallError]) -> None:
    """Every answer but a success raises the error that says what to do."""
    with pytest.raises(expected) as raised:
        read_answer(CALL, Answer(status, body, ""))
    assert raised.value.call is CALL


CHANNELS = (
    CALL,
    Call("POST", "/v1/data/objects/Segment_Event__gc", {"records": [{"Message_Id__gc": "m"}]}, inserts=True),
    Call("POST", "/v1/data/objects/query/Company", {"select": ["Gsid"]}),
    Call("GET", "/v1/meta/services/objects/Company/describe"),
    Call("PUT", "/v1/peoplemgmt/v1.0/people", {"Email": "a@x.test"}),
    Call("PUT", "/v1/peoplemgmt/v1.0/people/async", {"records": [{"Email": "a@x.test"}]}),
    Call("GET", "/v1/peoplemgmt/v1.0/people/async/1"),
    import_file("job", b"a\r\n1\r\n"),
    import_status("1"),
)
"""A call of each kind that is made."""
BODIES: tuple[Any, ...] = (None, [], {}, failure(), failure("GSOBJ_1012", "bad"), {"result": True, "data": {}})


def answers_of(kind: AnswerClass) -> Iterator[Answer]:
    """Answers that a class claims: each status at its edges with every body, each code at statuses of other classes."""
    for first, last in kind.statuses:
        yield from (Answer(status, body, "") for status in {first, last} for body in BODIES)
    for code in sorted(kind.codes):
        for status in (200, 400, 418):
            yield Answer(status, failure(code, "said"), "")
            yield Answer(status, {"result": False, "title": code}, "")
            yield Answer(status, {"result": True, "errorCode": code}, "")
    if kind.no_json:
        yield from (Answer(status, body, "") for status in (200, 204, 400, 418, 499) for body in (None, [], "text", 1))
    if kind.not_done:
        yield from (Answer(status, body, "") for status in (200, 201) for body in ({}, failure(), {"result": "true"}))


@pytest.mark.parametrize("call", CHANNELS, ids=lambda call: f"{call.method} {call.path}")
@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.answer)
def test_each_row_of_the_table_on_each_channel(kind: AnswerClass, call: Call) -> None:
    """Every status and code that a row claims raises its error, unless a row before it claims it too."""
    tried = 0
    for answer in answers_of(kind):
        code = str((answer.body or {}).get("errorCode") or "") if isinstance(answer.body, dict) else ""
        code = code or (str(answer.body.get("title") or "") if isinstance(answer.body, dict) else "")
        first = next(row for row in ANSWERS if row.fits(answer, code))
        with pytest.raises(first.error) as raised:
            read_answer(call, answer)
        assert type(raised.value) is first.error
        assert raised.value.answer is answer
        tried += first is kind
    assert tried


def test_every_answer_has_one_meaning() -> None:
    """Every HTTP status with every body is either done or an error of a known class; no other error ever comes out."""
    for call, status, body in product(CHANNELS, range(200, 600), BODIES):
        try:
            done = read_answer(call, Answer(status, body, ""))
        except (ThrottledError, AuthenticationError, MisconfiguredError, TransientError, BatchRejectedError):
            continue
        assert done == {}
        assert (status // 100, body) == (2, {"result": True, "data": {}})


@pytest.mark.parametrize("code", [*REFUSALS, "GSOBJ_1009", "GSOBJ_1022", "GSOBJ_9104", "never_seen"])
def test_codes_of_refused_data(code: str) -> None:
    """Known or not, such a code is refused data; a known one says what is wrong where Gainsight does not."""
    with pytest.raises(BatchRejectedError) as raised:
        read_answer(CALL, Answer(400, failure(code), ""))
    assert raised.value.code == code
    assert str(raised.value) == REFUSALS.get(code, "HTTP 400")


def test_success() -> None:
    """A 200 with result true gives its data."""
    assert read_answer(CALL, Answer(200, {"result": True, "data": {"count": 2}}, "")) == {"count": 2}


ERROR = {
    "success": False,
    "errors": [{"errorMessage": "bad", "errorCode": "GSOBJ_1012", "fieldName": "Stage", "invalidValue": ["xyz"]}],
}


@pytest.mark.parametrize(
    ("errors", "culprits"),
    [
        ([[], [ERROR]], {1: ("GSOBJ_1012", "bad (field Stage)", "Stage")}),
        ([[ERROR], []], {0: ("GSOBJ_1012", "bad (field Stage)", "Stage")}),
        ([[ERROR]], {}),
        ([ERROR], {}),
        ([[ERROR], [ERROR]], {}),
        (None, {}),
        ("odd", {}),
    ],
)
def test_culprits_are_named_only_beyond_doubt(errors: Any, culprits: dict[int, tuple[str, str, str]]) -> None:
    """Errors that may be those of any record name none; then the batch has to be told apart."""
    with pytest.raises(BatchRejectedError) as raised:
        read_answer(CALL, Answer(400, failure("GSOBJ_1012", "bad", data={"errors": errors}), ""))
    assert raised.value.culprits == culprits


def test_both_shapes_of_a_query() -> None:
    """Rows are read from a list and from `records` inside data."""
    rows = [{"Gsid": "1"}]
    assert records_of(rows) == records_of({"records": rows}) == rows
    assert records_of(None) == records_of({"records": None}) == []
