"""A call as it came, and the log of all of them. What opens doors is never stored: no headers, no keys, no tokens."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gainsight_destination.sandbox.answers import Answer, invalid
from gainsight_destination.sandbox.tenant import Tenant

LOGGED_BODY_BYTES: Final = 64 * 1_024
CALLS_KEPT: Final = 100_000
HIDDEN: Final = "[hidden]"
TOKEN: Final = re.compile(r'("access_token"\s*:\s*")[^"]*')


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; header names are lower-case."""

    method: str
    path: str
    body: bytes
    query: Mapping[str, str]
    headers: Mapping[str, str]
    parameters: Mapping[str, str]
    query_text: str = ""

    def json(self) -> Any:
        """The body. Raises RefusedError when it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid("The request body is not valid JSON") from error

    def json_object(self) -> dict[str, Any]:
        """The body, which must be a JSON object. Raises RefusedError."""
        body = self.json()
        if not isinstance(body, dict):
            raise invalid("The request body must be a JSON object")
        return body


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One line of the log."""

    id: int
    at_ms: int
    method: str
    path: str
    status: int
    error_code: str | None
    fault: str | None
    request_body: str
    response_body: str


def record_call(tenant: Tenant, call: Call, answer: Answer, fault: str | None) -> None:
    """Write the call and the answer that it got, or would have got had a fault not lost it."""
    secrets = tenant.credentials.secrets()
    path = call.path + (f"?{call.query_text}" if call.query_text else "")
    cursor = tenant.connection.execute(
        "INSERT INTO calls (at_ms, method, path, status, error_code, fault, request_body, response_body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tenant.now_ms,
            call.method,
            _without(secrets, path),
            answer.status,
            answer.error_code,
            fault,
            _without(secrets, _text(call.body)),
            TOKEN.sub(rf"\1{HIDDEN}", _without(secrets, _text(answer.body))),
        ),
    )
    tenant.connection.execute("DELETE FROM calls WHERE id <= ?", ((cursor.lastrowid or 0) - CALLS_KEPT,))


def _text(body: bytes) -> str:
    text = body[:LOGGED_BODY_BYTES].decode("utf-8", "replace")
    cut = len(body) - LOGGED_BODY_BYTES
    return f"{text}\n[{cut} more bytes]" if cut > 0 else text


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text


COLUMNS: Final = "id, at_ms, method, path, status, error_code, fault, request_body, response_body"


def calls_after(connection: sqlite3.Connection, after: int, limit: int) -> list[LoggedCall]:
    """Calls with a greater id, oldest first."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM calls WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    return [LoggedCall(*row) for row in rows]


def calls_before(connection: sqlite3.Connection, before: int | None, limit: int) -> list[LoggedCall]:
    """Calls with a smaller id (all when None), newest first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM calls WHERE ? IS NULL OR id < ? ORDER BY id DESC LIMIT ?", (before, before, limit)
    )
    return [LoggedCall(*row) for row in rows]


def call_by_id(connection: sqlite3.Connection, call_id: int) -> LoggedCall | None:
    row = connection.execute(f"SELECT {COLUMNS} FROM calls WHERE id = ?", (call_id,)).fetchone()
    return None if row is None else LoggedCall(*row)
