"""What destinations have in common that get each message as it came: one request a message, in order per user.

The engine sees one object, `message`, whose records are the messages. It hands out the first one of several users at a
time; their requests go at once. Which answer means what is in docs/delivery.md.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    Call,
    CallError,
    Calls,
    Contribution,
    Deferred,
    Delivered,
    Delivery,
    Draft,
    EventNames,
    Limits,
    MisconfiguredError,
    ObjectSpec,
    Outcome,
    Placement,
    Presence,
    QuotaSpentError,
    Record,
    RecordReader,
    Reference,
    Rejected,
    ThrottledError,
    TokenGrant,
    TransientError,
    Windows,
)
from gainsight_destination.destinations.read_settings import SettingsReader, number, optional, whole_number
from gainsight_destination.events.message import decode_body

MESSAGE: Final = "message"
AT_ONCE: Final = 16
"""Requests under way together, each of another user."""
STORY_MS: Final = 7 * 86_400_000
"""How long what became of a message is kept after it arrived."""
RETRY_HOURS: Final = 4.0
"""How long Segment retries a destination before it gives a message up."""
GIVE_UP_AFTER_ATTEMPTS: Final = 5
THROTTLED_SECONDS: Final = 60.0
REFUSED_SECONDS: Final = 300.0
"""Between attempts with a message that alone is refused with 401 or 403, by a firewall that reads it for example."""


class Pace(msgspec.Struct, frozen=True):
    """How fast messages go, and how long one that fails alone is tried again."""

    calls_per_minute: int
    calls_per_day: int
    retry_hours: float | None
    """None: for ever."""


def read_pace(reader: SettingsReader) -> Pace:
    """The settings that all of these destinations have."""
    return Pace(
        reader.take("callsPerMinute", whole_number(1, 1_000_000), 6_000),
        reader.take("callsPerDay", whole_number(1, 1_000_000_000), 8_640_000),
        reader.take("retryHours", optional(number(0, 8_760)), RETRY_HOURS),
    )


class MessageDestination:
    """Keeps `RecordDestination`; a subclass says what the request of a message looks like."""

    objects: Sequence[ObjectSpec] = (
        ObjectSpec(MESSAGE, AT_ONCE, per_message=True, ordered=True, calls_per_batch=AT_ONCE),
    )
    windows = Windows(park_ms=STORY_MS, parked_then_deliver=False, correction_ms=STORY_MS, movable=False)
    account_names: tuple[str, ...] = ("accountId", "account_id")
    placing: Mapping[str, str] = {}
    token_grant: TokenGrant | None = None
    advice: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        integration_name: str,
        base_url: str,
        headers: Mapping[str, str],
        types: Collection[str],
        events: Collection[str],
        pace: Pace,
    ) -> None:
        self.integration_name = integration_name
        self.base_url = base_url
        self.headers = headers
        self.allowlist = events
        self.limits = Limits(pace.calls_per_minute, pace.calls_per_day, flush_seconds=0, edge_seconds=0)
        self._types = frozenset(types)
        self._retry_ms = None if pace.retry_hours is None else round(pace.retry_hours * 3_600_000)
        self._now_ms = 0
        self._takes_messages = False
        self._takes_since_ms = 0
        self._asked = 0

    def call_of(self, message_id: str, message: bytes, now_ms: int) -> Call:
        """The request that delivers a message; its body is added."""
        raise NotImplementedError

    def why_not_corrected(self, object_name: str, field: str) -> str | None:
        return "a message goes as it came; correct what takes it, then retry"

    def supports(self, message_type: str) -> bool:
        return message_type in self._types

    def place(self, delivery: Delivery, event_name: EventNames) -> Placement:
        return Placement((Contribution(MESSAGE, str(delivery.offset)),))

    def place_as(self, delivery: Delivery, placing: Mapping[str, str], event_name: EventNames) -> Placement:
        return self.place(delivery, event_name)

    async def prepare(self, object_name: str, calls: Calls, now_ms: int) -> None:
        self._now_ms = now_ms

    def forget_metadata(self, object_name: str) -> None:
        """There is none."""

    def project(self, reader: RecordReader, records: Sequence[Record]) -> list[Draft]:
        drafts = []
        for record in records:
            offset = int(record.key)
            message = reader.original(offset)
            if message is None:
                raise LookupError(f"message {offset} is in neither log nor store")
            drafts.append(Draft(record, reader.delivery(offset).message_id, {"message": message.decode()}))
        return drafts

    async def deliver(self, drafts: Sequence[Draft], calls: Calls, worthwhile: int = 1) -> Mapping[int, Outcome]:
        """A request for each; while it is not known whether the other side takes any, one goes ahead of the others.

        Raises when the other side is in trouble. A message that fails while others are taken is in trouble itself.
        """
        took, self._takes_messages = self._takes_messages, False
        requests = {draft.record.id: self._request(draft) for draft in drafts}  # all, before anything is sent
        together = list(drafts)
        found: dict[int, Outcome] = {}
        if not took:
            self._asked += 1
            ahead = one_to_ask_with(drafts, self._asked)
            together.remove(ahead)
            found[ahead.record.id] = await send(requests[ahead.record.id], ahead.record, calls)
        sent = (send(requests[draft.record.id], draft.record, calls) for draft in together)
        results = await asyncio.gather(*sent, return_exceptions=True)
        failed: list[tuple[Draft, CallError | QuotaSpentError]] = []
        for draft, result in zip(together, results, strict=True):
            if isinstance(result, (CallError, QuotaSpentError)):
                failed.append((draft, result))
            elif isinstance(result, BaseException):
                raise result
            else:
                found[draft.record.id] = result
        if failed and not found and not all(is_known_trouble(draft, error) for draft, error in failed):
            raise failed[0][1]
        self._takes_messages = True
        if not took:
            self._takes_since_ms = self._now_ms
        return found | {draft.record.id: self._alone(draft, error) for draft, error in failed}

    def _request(self, draft: Draft) -> Call:
        content = draft.fields["message"].encode()
        call = self.call_of(draft.name, content, self._now_ms)
        return call._replace(body=decode_body(content), content=content)

    def _alone(self, draft: Draft, error: CallError | QuotaSpentError) -> Outcome:
        """What becomes of a message that failed while others of the same moment were taken: its own trouble."""
        if isinstance(error, QuotaSpentError):
            return Deferred(max(0, error.retry_at_ms - self._now_ms) / 1000, "no call is left now")
        if isinstance(error, ThrottledError):
            return Deferred(THROTTLED_SECONDS, str(error))
        refused = isinstance(error, AuthenticationError)
        tried = draft.record.attempts + 1 >= GIVE_UP_AFTER_ATTEMPTS
        since_ms = max(draft.record.dirty_since_ms, self._takes_since_ms)
        overdue = self._retry_ms is not None and self._now_ms - since_ms > self._retry_ms
        if isinstance(error, MisconfiguredError) or (
            overdue and tried and (refused or isinstance(error, TransientError))
        ):
            answer = error.answer or Answer(0, None, "")
            return Rejected(f"HTTP_{answer.status}" if error.answer else "NO_ANSWER", str(error), error.call, answer)
        return Deferred(REFUSED_SECONDS if refused else None, str(error), failed=True)

    async def upload(self, drafts: AsyncIterator[Sequence[Draft]], calls: Calls) -> Mapping[int, Outcome]:
        """There are no files."""
        return {}

    async def locate(self, drafts: Sequence[Draft], calls: Calls) -> Mapping[int, Presence]:
        """No request creates anything that could be looked up: receivers know a repeat by its message id."""
        return {draft.record.id: "absent" for draft in drafts}

    async def find(self, references: Sequence[Reference], calls: Calls) -> None:
        """There are none."""

    async def poll(
        self, remote_job_id: str, object_name: str, records: Sequence[tuple[int, bytes]], calls: Calls
    ) -> Mapping[int, Outcome] | None:
        """There are no jobs."""
        return {}

    async def probe(self, calls: Calls, now_ms: int) -> None:
        """No call tells whether the credentials are good but a message; the next one will, alone."""


def is_known_trouble(draft: Draft, error: Exception) -> bool:
    """Whether a message failed that had failed before, while the other side took others."""
    return draft.record.attempts > 0 and isinstance(error, (TransientError, MisconfiguredError, AuthenticationError))


def one_to_ask_with(drafts: Sequence[Draft], asked: int) -> Draft:
    """The message that goes ahead: one that failed least, and another one each time, since it may be what is wrong."""
    fewest = min(draft.record.attempts for draft in drafts)
    unsuspected = [draft for draft in drafts if draft.record.attempts == fewest]
    return unsuspected[asked % len(unsuspected)]


async def send(call: Call, record: Record, calls: Calls) -> Outcome:
    answer = await calls.send(call, (record,))
    if 200 <= answer.status < 300:
        return Delivered(blake2b(call.content or b"", digest_size=16).digest())
    raise_for(call, answer)
    return Rejected(f"HTTP_{answer.status}", said(answer), call, answer)


def raise_for(call: Call, answer: Answer) -> None:
    """The call error of an answer that says something of the other side; nothing if it is about this message."""
    if answer.status == 429:
        raise ThrottledError("it takes no more messages now (HTTP 429)", call, answer)
    if answer.status in (401, 403):
        raise AuthenticationError(f"it refuses the credentials (HTTP {answer.status}: {said(answer)})", call, answer)
    if answer.status >= 500 or answer.status in (408, 425):
        raise TransientError(f"it is in trouble (HTTP {answer.status}: {said(answer)})", call, answer)
    if 300 <= answer.status < 400:
        raise MisconfiguredError("it redirects; correct the address in the settings", call, answer)
    if answer.status in (404, 405, 410):
        raise MisconfiguredError(
            f"nothing takes messages at this address (HTTP {answer.status}); correct it in the settings", call, answer
        )


def said(answer: Answer) -> str:
    """The other side's own words, if it has any."""
    if isinstance(answer.body, Mapping):
        for name in ("message", "error", "errorDesc"):
            if isinstance(answer.body.get(name), str):
                return str(answer.body[name])[:500]
    return answer.text[:500] or f"HTTP {answer.status}"
