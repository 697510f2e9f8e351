"""The routes that take messages: from the body of a POST, from the query of a GET, and from a pixel."""

import base64
from dataclasses import dataclass

from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.ingest import answers, query
from gainsight_destination.ingest.answers import Answer, RefusedRequestError
from gainsight_destination.ingest.authenticate import write_key_of
from gainsight_destination.ingest.body import TOO_LARGE, BodyReader
from gainsight_destination.ingest.intake import Intake
from gainsight_destination.ingest.read_json import read_json
from gainsight_destination.ingest.requests import Request
from gainsight_destination.ingest.sources import SourceDirectory
from gainsight_destination.observe import metrics

MESSAGE_METHODS = frozenset({"POST", "PUT"})
NOT_A_POST = "Malformed JSON: send the message as the JSON body of a POST"

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent point."""
PIXEL = answers.answer_of(200, b"image/gif", GIF, [(b"cache-control", b"no-cache, max-age=0")])


@dataclass(frozen=True, slots=True)
class Call:
    """What a path takes."""

    kind: EntryKind
    max_body_bytes: int


class Messages:
    """Stores the messages of requests. Success means that they are on disk."""

    def __init__(self, *, intake: Intake, sources: SourceDirectory, bodies: BodyReader) -> None:
        self._intake = intake
        self._sources = sources
        self._bodies = bodies

    async def posted(self, call: Call, request: Request) -> Answer:
        """A message or batch in the body."""
        if request.method not in MESSAGE_METHODS:
            raise RefusedRequestError(NOT_A_POST)
        return await self._store(call, request, await self._body(call, request))

    async def posted_or_in_query(self, call: Call, request: Request) -> Answer:
        """As `posted`; or in the query of a GET, which scripts of a page may read by their callback (JSONP)."""
        if request.method != "GET":
            return await self.posted(call, request)
        fields = query.fields_of(request.query)
        callback = query.callback_of(fields)
        try:
            answer = await self._store(call, request, query.data_of(fields))
        except Exception as error:
            answer = answers.trouble(error, "GET")
        return answers.for_get(answer, callback)

    async def beacon(self, call: Call, request: Request) -> Answer:
        """As `posted`; navigator.sendBeacon can set no header, so that the write key may be in the query."""
        if request.method not in MESSAGE_METHODS:
            raise RefusedRequestError(NOT_A_POST)
        write_key = query.first(query.fields_of(request.query), "writeKey") or ""
        return await self._store(call, request, await self._body(call, request), write_key)

    async def pixel(self, call: Call, request: Request) -> Answer:
        """A message in the query of an image. Always the image: a broken one would be seen by the reader of a mail."""
        try:
            if request.method != "GET":
                raise RefusedRequestError("Malformed request: pixels are fetched with GET")
            answer = await self._store(call, request, query.pixel_body(query.fields_of(request.query)))
        except Exception as error:
            answer = answers.trouble(error, "pixel")
        if answer.status != 200:
            metrics.ingest_lost_pixels.labels(str(answer.status)).inc()
        return PIXEL

    async def discarded(self, request: Request) -> Answer:
        """What SDKs measure about themselves: not wanted, but a refusal would have them repeat it."""
        await self._bodies.discard(request.receive)
        return answers.IGNORED

    async def _body(self, call: Call, request: Request) -> bytes:
        self._intake.enter()
        return await self._bodies.read(request.receive, request.headers, call.max_body_bytes)

    async def _store(self, call: Call, request: Request, body: bytes, query_write_key: str = "") -> Answer:
        if len(body) > call.max_body_bytes:
            raise RefusedRequestError(TOO_LARGE)
        read = read_json(body, call.kind)
        write_key = write_key_of(request.headers.get(b"authorization"), read.write_key, query_write_key)
        await self._intake.store(self._sources.source_of(write_key), call.kind, read)
        return answers.SUCCESS
