"""The public port as a plain ASGI application: one request in, one entry in the log, then one answer.

No framework stands between: this is the hottest path of the product. A path is looked up in one table, which is all
there is to know about what this port answers.
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.ingest import answers, limits, openapi
from gainsight_destination.ingest.admission import Admission
from gainsight_destination.ingest.answers import Answer
from gainsight_destination.ingest.body import BodyReader, DisconnectedError, Receive
from gainsight_destination.ingest.intake import Intake
from gainsight_destination.ingest.messages import Call, Messages
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.requests import Request
from gainsight_destination.ingest.routes import SETTINGS, WEBHOOK, Route, Routes
from gainsight_destination.ingest.settings_document import SettingsDocuments
from gainsight_destination.ingest.sources import SourceDirectory
from gainsight_destination.ingest.webhooks import Webhooks
from gainsight_destination.observe import metrics

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SINGLES = {
    "identify": EntryKind.IDENTIFY,
    "track": EntryKind.TRACK,
    "page": EntryKind.PAGE,
    "screen": EntryKind.SCREEN,
    "group": EntryKind.GROUP,
    "alias": EntryKind.ALIAS,
}
BATCH = Call(EntryKind.BATCH, limits.BATCH_BYTES)

logger = structlog.get_logger(__name__)


class IngestApp:
    """The ASGI application.

    `unwell` tells, in plain words, what keeps the product from working; `certificate_expires` when, if TLS is spoken.
    """

    def __init__(
        self,
        *,
        log: GroupCommit,
        sources: SourceDirectory,
        clock: Clock,
        admission: Admission | None = None,
        unwell: Callable[[], Sequence[str]] = tuple,
        public_url: PublicUrl | None = None,
        certificate_expires: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._unwell = unwell
        self._certificate_expires = certificate_expires
        bodies, admission = BodyReader(), admission or Admission(clock)
        intake = Intake(log, admission, clock)
        messages = Messages(intake=intake, sources=sources, bodies=bodies)
        webhooks = Webhooks(intake=intake, sources=sources, clock=clock, bodies=bodies)
        table = [
            *message_routes(messages),
            Route(WEBHOOK, "webhook", webhooks.take),
            Route(SETTINGS, "settings", SettingsDocuments(sources, public_url).answer),
            Route("health", "health", self._health),
            Route("openapi.json", "openapi", openapi.answer),
        ]
        other = Route("", "other", not_found)
        self._routes = Routes(table, other=other, prefix=public_url.path if public_url else "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = perf_counter()
        method, path, headers = scope["method"], scope["path"], dict(scope["headers"])
        route = self._routes.find(path)
        try:
            if method == "OPTIONS":
                answer = answers.preflight(headers.get(b"access-control-request-headers"))
            else:
                request = Request(method, scope["scheme"], path, scope["query_string"], headers, receive)
                answer = await route.handle(request)
        except DisconnectedError:
            metrics.ingest_requests_of(route.name, 499).inc()
            return
        except Exception as error:
            answer = answers.trouble(error, route.name)
        metrics.ingest_requests_of(route.name, answer.status).inc()
        if answer is answers.SUCCESS:
            metrics.ingest_ack_seconds.observe(perf_counter() - started)
        await give(answer, headers.get(b"origin"), send)

    async def _health(self, request: Request) -> Answer:
        return answers.health(self._unwell(), self._certificate_expires())


def message_routes(messages: Messages) -> Iterator[Route]:
    """Every path that messages come to."""
    for name, kind in SINGLES.items():
        call = Call(kind, limits.SINGLE_BYTES)
        yield Route(name, name, partial(messages.posted, call))
        yield Route(name[0], name[0], partial(messages.posted_or_in_query, call))
        yield Route(f"pixel/{name}", "pixel", partial(messages.pixel, call))
    yield Route("batch", "batch", partial(messages.posted, BATCH))
    yield Route("import", "import", partial(messages.posted, BATCH))
    yield Route("b", "b", partial(messages.posted_or_in_query, BATCH))
    yield Route("beacon/v1/batch", "beacon", partial(messages.beacon, BATCH))
    yield Route("m", "m", messages.discarded)


async def not_found(request: Request) -> Answer:
    return answers.NOT_FOUND


async def give(answer: Answer, origin: bytes | None, send: Send) -> None:
    headers = [*answer.headers, *answers.cors_headers(origin)] if origin else answer.headers
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
    except RuntimeError as error:
        # uvloop's error for a sender that closed its connection while its messages were being stored.
        logger.debug("sender went away before its answer", reason=str(error))
