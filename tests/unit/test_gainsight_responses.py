"""What each answer of Gainsight means, as a table: status, body, and the error type that says what to do next."""

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
from gainsight_destination.destinations.gainsight.responses import read_answer, records_of

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
        ([[], [ERROR]], {1: ("GSOBJ_1012", "bad (field Stage)")}),
        ([[ERROR], []], {0: ("GSOBJ_1012", "bad (field Stage)")}),
        ([[ERROR]], {}),
        ([ERROR], {}),
        ([[ERROR], [ERROR]], {}),
        (None, {}),
        ("odd", {}),
    ],
)
def test_culprits_are_named_only_beyond_doubt(errors: Any, culprits: dict[int, tuple[str, str]]) -> None:
    """Errors that may be those of any record name none; then the batch has to be told apart."""
    with pytest.raises(BatchRejectedError) as raised:
        read_answer(CALL, Answer(400, failure("GSOBJ_1012", "bad", data={"errors": errors}), ""))
    assert raised.value.culprits == culprits


def test_both_shapes_of_a_query() -> None:
    """Rows are read from a list and from `records` inside data."""
    rows = [{"Gsid": "1"}]
    assert records_of(rows) == records_of({"records": rows}) == rows
    assert records_of(None) == records_of({"records": None}) == []
