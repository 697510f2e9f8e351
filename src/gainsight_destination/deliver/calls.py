"""The engine's way to call out: quota first, then the request, then an answer or an error that says what to do."""

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import httpx
import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.deliver import call_book, quota, references
from gainsight_destination.deliver.call_book import Ended
from gainsight_destination.deliver.outcomes import LONGEST_JOB_MS
from gainsight_destination.deliver.tokens import TokenKeeper
from gainsight_destination.destinations.contract import (
    Answer,
    Call,
    Limits,
    Record,
    RecordDestination,
    Reference,
    Token,
    TransientError,
)
from gainsight_destination.observe import metrics
from gainsight_destination.store.database import Database

TIMEOUT_SECONDS: Final = 30.0
UPLOAD_SECONDS: Final = 300.0
"""For a file, which may be large and is sent once."""
CALL_SECONDS: Final = 60.0
"""For the whole of a call: an answer that drips in slowly never meets the limit above."""
ABSENCE_TRUSTED_SECONDS: Final = 1_800.0
MAX_ANSWER_TEXT: Final = 4_000

_log = structlog.get_logger(__name__)


class _Spent(NamedTuple):
    """A call entered in the ledger, in a minute, and in the book of calls."""

    minute: int
    call_id: int
    at_ms: int


class EngineCalls:
    """Implements `Calls` for one destination."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        destination_id: int,
        destination_name: str,
        destination: RecordDestination,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._destination_id = destination_id
        self._name = destination_name
        self._limits: Limits = destination.limits
        self.answers = 0
        """Calls that the other side answered, whatever it said, other than with trouble of its own."""
        self._ended: deque[Ended] = deque()
        """Calls whose end is to be entered in the book. One that is lost with a transaction is not known there."""
        self._client = httpx.AsyncClient(
            base_url=destination.base_url,
            headers={**destination.headers, "Accept": "application/json", "User-Agent": "gainsight-destination"},
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )
        grant = destination.token_grant
        self._tokens = None if grant is None else TokenKeeper(grant, clock, self._send)

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, call: Call, about: Sequence[Record] = ()) -> Answer:
        if self._tokens is None:
            return await self._send(call, about)
        token = await self._tokens.token()
        answer = await self._send(call, about, token)
        if self._tokens.drop_refused(token, answer):
            answer = await self._send(call, about, await self._tokens.token())
        return answer

    async def _send(self, call: Call, about: Sequence[Record] = (), token: Token | None = None) -> Answer:
        headers = call.headers if token is None else (*call.headers, *token.headers)
        spent = await self._spend(call, about)
        while not quota.still_in(
            spent.minute, self._limits, self._clock.now_ms()
        ):  # the writer may have kept us waiting
            spent = await self._spend(call, about)
        started_ms = self._clock.now_ms()
        seconds = CALL_SECONDS if call.upload is None else UPLOAD_SECONDS
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request(
                    call.method, call.path, params=call.query or None, headers=headers, **_payload(call)
                )
            answer = _answer(response)
        except TimeoutError as error:
            self._report(call, "TimeoutError", started_ms, spent)
            raise TransientError(f"no whole answer within {seconds:.0f} seconds", call) from error
        except httpx.RequestError as error:
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
            self._report(call, type(error).__name__, started_ms, spent)
            failure = TransientError(_in_words(error), call)
            failure.uncertain = not unsent
            raise failure from error
        self._report(call, str(answer.status), started_ms, spent)
        self.answers += answer.status < 500
        return answer

    async def _spend(self, call: Call, about: Sequence[Record]) -> _Spent:
        def spend(connection: sqlite3.Connection) -> _Spent:
            self.enter_ends(connection)
            now_ms = self._clock.now_ms()
            minute = quota.spend(connection, self._destination_id, self._limits, now_ms)
            if call.upload is not None:
                quota.spend_upload(connection, self._destination_id, now_ms)
                until_ms = now_ms + LONGEST_JOB_MS  # then it has been worked off, whether we know of it or not
                connection.executemany(
                    "UPDATE records SET presence = iif(presence = 'absent', 'uncertain', presence), due_at_ms = ?"
                    " WHERE id = ?",
                    [(until_ms, record.id) for record in about],
                )
            elif call.inserts:
                connection.executemany(
                    "UPDATE records SET presence = 'uncertain' WHERE id = ?", [(record.id,) for record in about]
                )
            return _Spent(minute, call_book.enter(connection, self._destination_id, call, about, now_ms), now_ms)

        return await self._database.write(spend)

    def enter_ends(self, connection: sqlite3.Connection) -> None:
        """Enter in the book how calls ended; part of a transaction that happens anyway."""
        call_book.enter_ends(connection, self._take_ended())

    async def enter_rest(self) -> None:
        """As `enter_ends`, in a transaction of its own if there is anything left to enter."""
        if self._ended:
            await self._database.write(self.enter_ends)

    def _take_ended(self) -> Iterator[Ended]:
        with suppress(IndexError):
            while True:
                yield self._ended.popleft()

    def _report(self, call: Call, outcome: str, started_ms: int, spent: _Spent) -> None:
        milliseconds = self._clock.now_ms() - started_ms
        self._ended.append(Ended(spent.call_id, self._destination_id, spent.at_ms, outcome, milliseconds))
        metrics.deliver_calls.labels(destination=self._name, outcome=outcome).inc()
        metrics.deliver_call_seconds.labels(destination=self._name).observe(milliseconds / 1000)
        _log.info(
            "call",
            destination=self._name,
            method=call.method,
            path=call.path,
            outcome=outcome,
            milliseconds=milliseconds,
        )

    async def known(self, wanted: Collection[Reference]) -> dict[Reference, str | None]:
        absent_since_ms = self._clock.now_ms() - round(ABSENCE_TRUSTED_SECONDS * 1000)
        return await self._database.read(
            lambda connection: references.known(connection, self._destination_id, wanted, absent_since_ms)
        )

    async def learned(self, remote_ids: Mapping[Reference, str | None]) -> None:
        now_ms = self._clock.now_ms()
        await self._database.write(
            lambda connection: references.learn(connection, self._destination_id, remote_ids, now_ms)
        )

    async def forget(self, wanted: Collection[Reference]) -> None:
        await self._database.write(lambda connection: references.forget(connection, self._destination_id, wanted))


def _payload(call: Call) -> dict[str, Any]:
    if call.upload is not None:
        file = (call.upload.file_name, call.upload.content, call.upload.media_type)
        return {"files": {"file": file}, "data": dict(call.upload.fields)}
    return {"content": call.content} if call.content is not None else {"json": call.body}


def _answer(response: httpx.Response) -> Answer:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    text = "" if body is not None else response.text[:MAX_ANSWER_TEXT]
    return Answer(response.status_code, body, text)


def _in_words(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"no connection to {error.request.url.host}: {error}"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer from {error.request.url.host} within {TIMEOUT_SECONDS:.0f} seconds"
    return f"the connection to {error.request.url.host} broke: {type(error).__name__}"
