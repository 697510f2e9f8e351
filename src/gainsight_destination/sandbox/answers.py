"""What a call is answered with: the tenant's common envelope, its error codes, and raw bodies.

Every Gainsight answer, good or bad, is documented as one envelope:
`{"result", "errorCode", "errorDesc", "requestId", "data", "message"}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gainsight_destination.errors import ProductError

TOO_LONG: Final = "GSOBJ_1001"
INVALID_FIELD: Final = "GSOBJ_1002"
INVALID_GSID: Final = "GSOBJ_1004"
INVALID_DATETIME: Final = "GSOBJ_1005"
INVALID_DATE: Final = "GSOBJ_1006"
INVALID_VALUE: Final = "GSOBJ_1007"
NOT_PARSED: Final = "GSOBJ_1008"
NO_MATCH: Final = "GSOBJ_1011"
INVALID_PICKLIST: Final = "GSOBJ_1012"
INVALID_API: Final = "GSOBJ_1023"
INVALID_HEADERS: Final = "GSOBJ_1024"
NO_ROWS: Final = "GSOBJ_1XXX"
"""The Company page of the vendor prints this code literally for an empty result."""
UNAUTHORIZED: Final = "GS_APIG_2401"
ADDRESS_REFUSED: Final = "GS_APIG_2402"
GATEWAY_THROTTLE: Final = "GS_APIG_2404"
NOT_FOUND: Final = "GS_APIG_1000"
THROTTLE: Final = "GU_2400"
SERVER_FAULT: Final = "GU_1101"
EMPTY_FILE: Final = "GS_7571"

NO_MATCH_TEXT: Final = "No entity matches the given criteria, please re-check your request"
INVALID_API_TEXT: Final = "Invalid API called, please refer to API documentation"
INVALID_GSID_TEXT: Final = "Either the Gainsight ID is invalid or missing, please re-check your request."
SERVER_FAULT_TEXT: Final = "Oops, something went wrong..."


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers as they leave the sandbox."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint did: `data` for the envelope, or `body` to be sent as it is."""

    data: Any = None
    body: Mapping[str, Any] | None = None


class RefusedError(ProductError):
    """The tenant refuses a call. `text` is Gainsight's errorDesc; nothing that the call wrote is kept.

    `data` stands in the envelope; `body` replaces the envelope where Gainsight answers without one.
    """

    def __init__(
        self, status: int, code: str | None, text: str, *, data: Any = None, body: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.data, self.body = status, code, text, data, body


def invalid(text: str) -> RefusedError:
    """A malformed request. Gainsight's code for it is not published; its nearest one is used."""
    return RefusedError(400, INVALID_FIELD, text)


def invalid_api() -> RefusedError:
    return RefusedError(400, INVALID_API, INVALID_API_TEXT)


def success(reply: Reply, request_id: str) -> Answer:
    """A 200 answer."""
    body = reply.body
    if body is None:
        body = _envelope(True, None, None, request_id, reply.data)
    return Answer(200, msgspec.json.encode(body), headers=_request_headers(request_id))


def failure(error: RefusedError, request_id: str) -> Answer:
    """The answer to a refused call."""
    body = error.body
    if body is not None:
        body = {"requestId": request_id, **body}
    elif error.code in (UNAUTHORIZED, ADDRESS_REFUSED):
        body = {"result": False, "errorCode": error.code, "errorDesc": error.text, "requestId": request_id}
        body |= {"message": error.text}
    else:
        body = _envelope(False, error.code, error.text, request_id, error.data)
    return Answer(error.status, msgspec.json.encode(body), headers=_request_headers(request_id), error_code=error.code)


def _envelope(result: bool, code: str | None, text: str | None, request_id: str, data: Any) -> dict[str, Any]:
    return {
        "result": result,
        "errorCode": code,
        "errorDesc": text,
        "requestId": request_id,
        "data": data,
        "message": None,
    }


def _request_headers(request_id: str) -> dict[str, str]:
    return {"x-gs-request-id": request_id, "x-request-id": request_id}
