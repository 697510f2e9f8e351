"""The route of webhook sources: messages that another pipeline has taken in before, sent on and signed.

They are stored like an archive: each was received, given its id and had its timestamp corrected by who sends it on,
so that what also came live counts once, and nothing is corrected twice.

What a person can mend is answered with 503, whatever it is: these senders repeat such a request for hours, and give
one up for ever at a 400 or 401. So a secret that was changed on one side only loses nothing. A request that no
repetition mends (it is not JSON, or too large) is a 400 here too.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.ingest import answers, limits, signatures
from gainsight_destination.ingest.answers import Answer, RefusedRequestError
from gainsight_destination.ingest.body import BodyReader
from gainsight_destination.ingest.intake import Intake
from gainsight_destination.ingest.read_json import ReadBody, read_json
from gainsight_destination.ingest.requests import Request
from gainsight_destination.ingest.routes import WEBHOOK, rest_after
from gainsight_destination.ingest.signatures import SignatureError, Signed
from gainsight_destination.ingest.sources import SourceDirectory
from gainsight_destination.observe import metrics
from gainsight_destination.workspace.model import Sender, Source, Webhook

METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
"""Segment's webhook lets its user choose among these."""
RETRY_SECONDS: Final = 60
LOG_EVERY_MS: Final = 60_000
WHITESPACE: Final = b" \t\r\n"
LONGEST_FIRST_BYTES: Final = limits.BATCH_BYTES
"""How far the end of a batch's first message is looked for: Segment sends on what was at most 32 KB."""
BRACKET_OR_TEXT: Final = re.compile(rb'[\[\]{}]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A bracket, or a JSON text whole, with the brackets inside. It never goes back, whatever stands there."""
DEPTHS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

logger = structlog.get_logger(__name__)


class _Identified(msgspec.Struct, gc=False):
    messageId: msgspec.Raw = msgspec.Raw()  # noqa: N815 - the name on the wire; Raw is immutable


decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_identified = msgspec.json.Decoder(_Identified).decode


class Webhooks:
    """Takes the requests of all webhook sources. Belongs to the event loop of the public port."""

    def __init__(self, *, intake: Intake, sources: SourceDirectory, clock: Clock, bodies: BodyReader) -> None:
        self._intake = intake
        self._sources = sources
        self._clock = clock
        self._bodies = bodies
        self._logged_at_ms: dict[tuple[str, str], int] = {}

    async def take(self, request: Request) -> Answer:
        """Answers `/v1/webhook/WRITE_KEY`: stores the messages of one request."""
        if request.method not in METHODS:
            raise RefusedRequestError("Malformed request: a webhook is a POST, PUT or PATCH")
        source = self._sources.webhook_source_of(rest_after(WEBHOOK, request.path))
        try:
            return await self._take(source, request)
        except SignatureError as error:
            return self._refuse(source, error)

    async def _take(self, source: Source | None, request: Request) -> Answer:
        if source is None or source.webhook is None:
            raise SignatureError("unknown_write_key", "No source of kind webhook has this write key; look at the URL")
        if not source.webhook.secrets:
            raise SignatureError("no_secret", "The secrets of this source cannot be read; its operator can see why")
        headers = request.headers
        self._intake.enter()
        body = await self._bodies.read(request.receive, headers, limits.WEBHOOK_BYTES)
        content = body.strip(WHITESPACE)
        batched = content.startswith(b"[")
        if batched and content.endswith(b"]") and not content[1:-1].strip(WHITESPACE):
            metrics.ingest_empty_batches.inc()
            return answers.SUCCESS
        # Before the JSON is read: for 8 MB made of the smallest items that takes long, and anybody may know the URL.
        first, alone = first_of(body) if batched else (body, True)
        signatures.check(source.webhook, headers, Signed(body, first, alone), self._clock.now_ms())
        read = read_json(body, EntryKind.ARCHIVE if batched else EntryKind.TRACK)
        stored = replace(read, body=with_message_ids(source.webhook, headers, read, batched))
        await self._intake.store(source, EntryKind.ARCHIVE, stored)
        return answers.SUCCESS

    def _refuse(self, source: Source | None, error: SignatureError) -> Answer:
        """Count a request that is not proven, and say so in the logs, now and then."""
        name, now_ms = source.name if source else "", self._clock.now_ms()
        metrics.ingest_refused_webhooks.labels(name, error.reason).inc()
        if now_ms - self._logged_at_ms.get((name, error.reason), -LOG_EVERY_MS) >= LOG_EVERY_MS:
            self._logged_at_ms[name, error.reason] = now_ms
            logger.warning("webhook refused", source=name, reason=error.reason, explanation=str(error))
        return answers.later(503, error.reason, str(error), RETRY_SECONDS)


def first_of(body: bytes) -> tuple[bytes, bool]:
    """The bytes of the first object of an array, as they came, and whether it is all there is; empty if there is none.

    Found by its brackets, in a time that grows with its length; nothing of it has been checked yet.
    """
    after = body[body.index(b"[") + 1 :].lstrip(WHITESPACE)
    if not after.startswith(b"{"):
        return b"", False
    depth = 0
    for token in BRACKET_OR_TEXT.finditer(after, 0, LONGEST_FIRST_BYTES):
        depth += DEPTHS.get(after[token.start()], 0)
        if depth == 0:
            return after[: token.end()], after[token.end() :].strip(WHITESPACE) == b"]"
    return b"", False


def with_message_ids(webhook: Webhook, headers: dict[bytes, bytes], read: ReadBody, batched: bool) -> bytes:
    """The messages as the array that is stored.

    A sender of Standard Webhooks repeats a request with the same webhook-id, so messages without an id of their own
    get one made of it, which makes them count once. The other senders give every message its id.
    """
    if webhook.sender is not Sender.STANDARD:
        return read.body if batched else b"[" + read.body + b"]"
    webhook_id = headers[b"webhook-id"].decode("utf-8", "replace")
    if not batched:
        return b"[" + with_message_id(read.body.strip(WHITESPACE), webhook_id) + b"]"
    items: Iterable[bytes] = map(bytes, decode_items(read.body))
    return b"[" + b",".join(with_message_id(item, f"{webhook_id}:{n}") for n, item in enumerate(items)) + b"]"


def with_message_id(item: bytes, message_id: str) -> bytes:
    """The message with this id if it has none. It goes to the end: of a name that is there twice the last counts."""
    if not item.startswith(b"{") or is_id(bytes(decode_identified(item).messageId)):
        return item
    separator = b"" if item[1:-1].strip(WHITESPACE) == b"" else b","
    return item[:-1] + separator + b'"messageId":' + json.dumps(message_id).encode() + b"}"


def is_id(sent: bytes) -> bool:
    """Whether this JSON is taken for an id: text that is not blank, or a number."""
    if sent.startswith(b'"'):
        return bool(json.loads(sent).strip())
    return sent[:1].isdigit() or sent.startswith(b"-")
