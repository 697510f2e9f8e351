"""The answers of the public port, in the shapes that every Segment SDK survives.

Success is exactly 200 with `{"success":true}`: some SDKs repeat a batch for any other 2xx. A refusal that repeating
cannot mend is always 400 with a JSON object of `success`, `error`, `code` and `message`: some SDKs repeat for ever on
other statuses, others on a body without these names. Never a redirect, which would turn a POST into a GET.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from gainsight_destination.errors import StorageFullError, UnavailableError, UserError

FULL_DISK_RETRY_SECONDS = 30
BUSY_RETRY_SECONDS = 2

ALLOWED_METHODS = b"GET, HEAD, POST, PUT, OPTIONS"
ALLOWED_HEADERS = b"Authorization, Content-Type, Content-Encoding, X-Retry-Count"
EXPOSED_HEADERS = b"Retry-After, X-RateLimit-Reset"
PREFLIGHT_SECONDS = b"604800"

NOT_KEPT = (b"cache-control", b"no-store")
"""For what nobody in between may answer in our place."""

Headers = list[tuple[bytes, bytes]]

logger = structlog.get_logger(__name__)


class RefusedRequestError(UserError):
    """The request is wrong and repeating it will not help. The message says what is wrong with it."""


class RefusedForNowError(UnavailableError):
    """The request is not taken now, though nothing is wrong with it or with the server. The message says why."""

    def __init__(self, reason: str, retry_seconds: int) -> None:
        super().__init__(reason, retry_seconds)
        self.reason = reason
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def answer_of(status: int, content_type: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    length = str(len(body)).encode()
    return Answer(status, ((b"content-type", content_type), (b"content-length", length), *headers), body)


def json_answer(status: int, content: Mapping[str, object], headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    return answer_of(status, b"application/json", json.dumps(content, separators=(",", ":")).encode(), headers)


def failure(status: int, code: str, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """The one shape of errors."""
    return json_answer(status, {"success": False, "error": message, "code": code, "message": message}, headers)


SUCCESS = json_answer(200, {"success": True})
IGNORED = json_answer(200, {"success": True})
"""Success in the eyes of the sender, for what is thrown away."""
NOT_FOUND = failure(404, "not_found", "There is nothing at this path; messages go to /v1/batch and /v1/track")
BROKEN = failure(500, "internal_error", "The server failed; the request was not stored, try again")


def trouble(error: Exception, route: str) -> Answer:
    """The answer to a request whose handler raised this. `route` is named in the logs; a path can hold a write key."""
    if isinstance(error, RefusedRequestError):
        return failure(400, "invalid_request", str(error))
    if isinstance(error, UnavailableError):
        return unavailable(error)
    logger.error("request failed", route=route, exc_info=error)
    return BROKEN


def unavailable(error: UnavailableError) -> Answer:
    """503 or, when the server keeps senders off on purpose, 429."""
    if isinstance(error, RefusedForNowError):
        return later(429, "too_many_requests", error.reason, error.retry_seconds)
    if isinstance(error, StorageFullError):
        return later(503, "unavailable", "The disk is full", FULL_DISK_RETRY_SECONDS)
    return later(503, "unavailable", "The server is busy", BUSY_RETRY_SECONDS)


def later(status: int, code: str, reason: str, retry_seconds: int, *headers: tuple[bytes, bytes]) -> Answer:
    """A refusal that repeating does mend, with the wait in whole seconds under both names that SDKs read."""
    seconds = str(retry_seconds).encode()
    waits = [(b"retry-after", seconds), (b"x-ratelimit-reset", seconds)]
    words = f"{reason}; nothing was stored, try again in {retry_seconds} seconds"
    return failure(status, code, words, [*waits, *headers])


def health(reasons: Sequence[str], certificate_expires: str | None = None) -> Answer:
    """200 when all is well, else 503 with what is not, in plain words. With TLS also when the certificate ends."""
    https = {"https": {"certificateExpires": certificate_expires}} if certificate_expires else {}
    if reasons:
        return json_answer(503, {"status": "unwell", "reasons": list(reasons), **https})
    return json_answer(200, {"status": "ok", **https})


def for_get(answer: Answer, callback: str | None) -> Answer:
    """The same answer, not to be kept; with a callback as a script that calls this function of the page (JSONP).

    The comment before the script keeps it from being read as anything else, such as a Flash file.
    """
    if callback is None:
        return Answer(answer.status, (*answer.headers, NOT_KEPT), answer.body)
    headers = [header for header in answer.headers if header[0] not in (b"content-type", b"content-length")]
    script = b"/**/" + callback.encode() + b"(" + answer.body + b");"
    headers += [NOT_KEPT, (b"x-content-type-options", b"nosniff")]
    return answer_of(answer.status, b"application/javascript; charset=utf-8", script, headers)


def cors_headers(origin: bytes) -> Headers:
    """What a browser needs to let a page of `origin` see the answer. Every origin may write, as at Segment."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
        (b"vary", b"Origin"),
    ]


def preflight(requested_headers: bytes | None) -> Answer:
    """The answer to OPTIONS: a page may send any header it asks for, since SDKs let it add its own."""
    return Answer(
        200,
        (
            (b"access-control-allow-methods", ALLOWED_METHODS),
            (b"access-control-allow-headers", requested_headers or ALLOWED_HEADERS),
            (b"access-control-max-age", PREFLIGHT_SECONDS),
            (b"content-length", b"0"),
        ),
        b"",
    )
