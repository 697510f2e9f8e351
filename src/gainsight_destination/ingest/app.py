"""The public port as a plain ASGI application: one request in, one entry in the log, then one answer.

No framework stands between: this is the hottest path of the product, and it has ten paths to know.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import perf_counter
from typing import Any

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UnavailableError
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.ingest import answers
from gainsight_destination.ingest.admission import Admission
from gainsight_destination.ingest.answers import Answer, RefusedRequestError
from gainsight_destination.ingest.authenticate import write_key_of
from gainsight_destination.ingest.body import BodyReader, DisconnectedError, Receive
from gainsight_destination.ingest.read_json import ReadBody, read_json
from gainsight_destination.ingest.routes import ROUTES, Route, plain_path
from gainsight_destination.ingest.sources import SourceDirectory
from gainsight_destination.observe import metrics
from gainsight_destination.workspace.model import Source

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MESSAGE_METHODS = frozenset({"POST", "PUT"})
NOT_A_POST = "Malformed JSON: send the message as the JSON body of a POST"

logger = structlog.get_logger(__name__)


class IngestApp:
    """The ASGI application. `unwell` tells, in plain words, what keeps the product from working."""

    def __init__(
        self,
        *,
        log: GroupCommit,
        sources: SourceDirectory,
        clock: Clock,
        admission: Admission | None = None,
        unwell: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._log = log
        self._sources = sources
        self._clock = clock
        self._admission = admission or Admission(clock)
        self._unwell = unwell
        self._bodies = BodyReader()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path = plain_path(scope["path"])
        route = ROUTES.get(path)
        try:
            answer = await self._answer(scope["method"], path, route, headers, receive)
        except DisconnectedError:
            metrics.ingest_requests_of(route.name if route else "other", 499).inc()
            return
        metrics.ingest_requests_of(route.name if route else "other", answer.status).inc()
        if answer is answers.SUCCESS:
            metrics.ingest_ack_seconds.observe(perf_counter() - started)
        await give(answer, headers.get(b"origin"), send)

    async def _answer(
        self, method: str, path: str, route: Route | None, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer:
        try:
            if method == "OPTIONS":
                return answers.preflight(headers.get(b"access-control-request-headers"))
            if route is not None:
                return await self._take(method, route, headers, receive)
            if path == "/health":
                return answers.health(self._unwell())
        except RefusedRequestError as error:
            return answers.refused(error)
        except UnavailableError as error:
            return answers.unavailable(error)
        except DisconnectedError:
            raise
        except Exception:
            logger.exception("request failed", path=path)
            return answers.BROKEN
        return answers.NOT_FOUND

    async def _take(self, method: str, route: Route, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        """Store the messages of one request; success means that they are on disk."""
        if method not in MESSAGE_METHODS:
            raise RefusedRequestError(NOT_A_POST)
        self._admission.enter()
        read = read_json(await self._bodies.read(receive, headers, route.max_body_bytes), route.kind)
        source = self._sources.source_of(write_key_of(headers.get(b"authorization"), read.write_key))
        if read.count == 0:
            metrics.ingest_empty_batches.inc()
            return answers.SUCCESS
        self._admission.admit(source, read)
        entry, outcome = entry_of(source, route, read, self._clock.now_ms())
        await self._log.append(entry)
        metrics.ingest_messages_of(source.name if source else "", outcome).inc(read.count)
        metrics.ingest_body_bytes.inc(len(entry.body))
        if read.mended:
            metrics.ingest_mended_bodies.inc()
        return answers.SUCCESS


def entry_of(source: Source | None, route: Route, read: ReadBody, received_at_ms: int) -> tuple[Entry, str]:
    """What goes into the log, and the name of that outcome. Unknown and disabled sources leave only a count.

    Segment answers 200 to an unknown write key too, so the sender cannot know; the count shows it to the operator.
    """
    if source is None:
        return Entry(0, EntryKind.UNKNOWN_SOURCE, received_at_ms, read.count, b""), "unknown_source"
    if not source.enabled:
        return Entry(source.id, EntryKind.SOURCE_DISABLED, received_at_ms, read.count, b""), "source_disabled"
    return Entry(source.id, route.kind, received_at_ms, read.count, read.body), "accepted"


async def give(answer: Answer, origin: bytes | None, send: Send) -> None:
    headers = [*answer.headers, *answers.cors_headers(origin)] if origin else answer.headers
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
    except RuntimeError as error:
        # uvloop's error for a sender that closed its connection while its messages were being stored.
        logger.debug("sender went away before its answer", reason=str(error))
