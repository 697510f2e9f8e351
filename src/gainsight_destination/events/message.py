"""Reads one message of the Segment Spec from the bytes the log kept.

The way in is `MessageReader.read(entry)`: every message of a logged entry comes out as a `Message`, or as a
`Discarded` with the reason code under which Segment would count it. Typed decoding does the work; only what it
refuses takes the slow path, which finds the reason or mends what SDKs are known to send.
"""

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

import msgspec

from gainsight_destination.eventlog.contract import EntryKind, LoggedEntry
from gainsight_destination.events.timestamps import correct_ms, parse_timestamp_ms
from gainsight_destination.mend_json import flattened

MAX_MESSAGE_BYTES: Final = 32_768
"""Segment documents 32 KB for one event; its published code says 32,768."""
MAX_PROCESSED_BYTES: Final = 65_536
"""What another pipeline took in at 32 KB comes from there with more in it: ids, dates, context."""
MAX_BATCH_MESSAGES: Final = 2_500
"""Segment documents 2,500 events in one batch."""
MAX_ID_CHARACTERS: Final = 255
"""Segment documents 100 for a message id and takes longer ones; from here on an end of 32 hex digits stands for it."""
FUTURE_MS: Final = 3_600_000
"""A message may be dated so long after its receipt before it is remarked."""

NUMBER_AS_ID: Final = "number_as_id"
UNREADABLE_TIMESTAMP: Final = "unreadable_timestamp"
FUTURE_TIMESTAMP: Final = "future_timestamp"

GROUP_ID: Final = "groupId"
"""The name under which a group call says the account of its user."""

TYPES: Final = frozenset({"identify", "track", "group", "page", "screen", "alias"})

_TYPE_OF_KIND: Final = {
    EntryKind.IDENTIFY: "identify",
    EntryKind.TRACK: "track",
    EntryKind.GROUP: "group",
    EntryKind.PAGE: "page",
    EntryKind.SCREEN: "screen",
    EntryKind.ALIAS: "alias",
}

GENERATED_ID_NAMESPACE: Final = uuid.UUID("6f0b7a2e-3a55-4f0e-9d7c-6a1d6b1f9a11")

NOTHING: Final = msgspec.Raw(b"")
EMPTY: Final = msgspec.Raw(b"{}")
UNREADABLE: Final = object()
OPENING: Final = ord("{")


class Message(msgspec.Struct, frozen=True, gc=False):
    """A valid message. Ids are text, blank ones absent; times are Unix milliseconds, `at_ms` corrected for skew."""

    offset: int
    source_id: int
    type: str
    message_id: str
    user_id: str | None
    anonymous_id: str | None
    at_ms: int
    received_at_ms: int
    event: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    context_group_id: str | None = None
    integrations: Any = None
    consent: bytes | None = None
    """`context.consent` as it came, JSON that is not null; what it says is read where somebody asks for it."""
    body: bytes = b"{}"
    """`properties` of a track, page or screen, `traits` of an identify or group: a JSON object as it came."""
    remarks: tuple[str, ...] = ()
    """What is odd about it and may interest somebody; the message counts all the same."""


class Discarded(msgspec.Struct, frozen=True, gc=False):
    """A message that Segment accepts with a 200 and then discards."""

    offset: int
    source_id: int
    reason: str


class _Context(msgspec.Struct, gc=False):
    group_id: str | int | float | None = msgspec.field(default=None, name="groupId")
    consent: msgspec.Raw = NOTHING


class _Wire(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    message_id: str | int | None = None
    timestamp: str | int | float | None = None
    original_timestamp: str | int | float | None = None
    sent_at: str | int | float | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    group_id: str | int | None = None
    previous_id: str | int | None = None
    context: _Context | None = None
    integrations: msgspec.Raw = NOTHING
    properties: msgspec.Raw = NOTHING
    traits: msgspec.Raw = NOTHING


class _Envelope(msgspec.Struct, rename="camel", gc=False):
    batch: list[msgspec.Raw] = []
    sent_at: msgspec.Raw = NOTHING
    context: msgspec.Raw = NOTHING
    integrations: msgspec.Raw = NOTHING


_decode_wire = msgspec.json.Decoder(_Wire).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


class _DiscardError(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


class _Frame(msgspec.Struct, gc=False):
    """What the messages of one entry share."""

    logged: LoggedEntry
    type: str | None
    sent_at_ms: int | None = None
    context_group_id: str | None = None
    integrations: Any = None
    consent: bytes | None = None
    corrected: bool = False
    max_bytes: int = MAX_MESSAGE_BYTES


def read_entry(logged: LoggedEntry) -> Iterator[Message | Discarded]:
    """Every message of an entry, in order: exactly `entry.count` of them."""
    entry = logged.entry
    if entry.kind in (EntryKind.SOURCE_DISABLED, EntryKind.UNKNOWN_SOURCE):
        reason = "source_disabled" if entry.kind is EntryKind.SOURCE_DISABLED else "unknown_source"
        for index in range(entry.count):
            yield Discarded(logged.offset + index, entry.source_id, reason)
        return
    frame, items = _open_somehow(logged)
    for index in range(entry.count):
        raw: bytes | msgspec.Raw | None = items[index] if index < len(items) else None
        try:
            if raw is None:
                raise _DiscardError("bad_request")
            if index >= MAX_BATCH_MESSAGES and entry.kind is EntryKind.BATCH:
                raise _DiscardError("batch_too_long")
            yield _read_message(frame, index, raw)
        except _DiscardError as discard:
            yield Discarded(logged.offset + index, entry.source_id, discard.reason)


def messages_of(logged: LoggedEntry) -> dict[int, Message]:
    """The valid messages of an entry by offset."""
    return {item.offset: item for item in read_entry(logged) if isinstance(item, Message)}


def _open_somehow(logged: LoggedEntry) -> tuple[_Frame, Sequence[bytes | msgspec.Raw]]:
    """The frame and the items; no items if the entry cannot be read, which ingest rules out."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return _open(logged, logged.entry.body)
        except RecursionError:  # Python's stack is deeper here than it was in ingest
            return _open(logged, flattened(logged.entry.body))
    return _Frame(logged, None), ()


def _open(logged: LoggedEntry, body: bytes) -> tuple[_Frame, Sequence[bytes | msgspec.Raw]]:
    entry = logged.entry
    if entry.kind is EntryKind.ARCHIVE:
        return _Frame(logged, None, corrected=True, max_bytes=MAX_PROCESSED_BYTES), _decode_items(body)
    if entry.kind is not EntryKind.BATCH:
        return _Frame(logged, _TYPE_OF_KIND[entry.kind]), [body]
    envelope = _decode_envelope(body)
    context = _value(envelope.context)
    if not isinstance(context, dict):
        context = {}
    return (
        _Frame(
            logged,
            None,
            sent_at_ms=parse_timestamp_ms(_value(envelope.sent_at)),
            context_group_id=id_text(context.get("groupId")),
            integrations=_value(envelope.integrations),
            consent=None if context.get("consent") is None else msgspec.json.encode(context["consent"]),
        ),
        envelope.batch,
    )


def _value(raw: msgspec.Raw) -> Any:
    """What the JSON says, however large its numbers and deep its nesting are; None for no JSON."""
    if not len(memoryview(raw)):
        return None
    value = _plain_value(raw)
    return _decode_slowly(bytes(raw)) if value is UNREADABLE else value


def _plain_value(raw: msgspec.Raw) -> Any:
    """What the JSON says; UNREADABLE if it is nested too deeply or has a number that is none."""
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError):
        return UNREADABLE


def _read_message(frame: _Frame, index: int, raw: bytes | msgspec.Raw) -> Message:
    if frame.type is None and len(memoryview(raw)) > frame.max_bytes:  # ingest measured what came alone
        raise _DiscardError("message_too_large")
    try:
        wire = _decode_wire(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire = _mend(frame, bytes(raw))
    kind = frame.type or wire.type
    if kind not in TYPES:
        raise _unknown_type(kind)
    entry = frame.logged.entry
    sent_user_id, sent_anonymous_id = wire.user_id, wire.anonymous_id
    user_id = None if sent_user_id is None else id_text(sent_user_id)
    anonymous_id = None if sent_anonymous_id is None else id_text(sent_anonymous_id)
    if user_id is None and (anonymous_id is None or kind == "alias"):
        raise _DiscardError("no_user_anon_id")
    event = group_id = previous_id = None
    if kind == "track":
        event = _event_name(wire)
    elif kind == "group":
        group_id = _required(wire.group_id, "group_id_required")
    elif kind == "alias":
        previous_id = _required(wire.previous_id, "previous_id_required")
    context_group_id, consent = frame.context_group_id, frame.consent
    if wire.context is not None:
        if wire.context.group_id is not None:
            context_group_id = id_text(wire.context.group_id) or context_group_id
        if wire.context.consent is not NOTHING:
            consent = _said_consent(wire.context.consent) or consent
    received_at_ms = entry.received_at_ms
    at_ms = _at_ms(frame, wire, received_at_ms)
    remarks: tuple[str, ...] = ()
    if (
        user_id is not sent_user_id
        or anonymous_id is not sent_anonymous_id
        or at_ms == received_at_ms
        or at_ms > received_at_ms + FUTURE_MS
        or group_id is not None
        or previous_id is not None
    ):
        remarks = _remarks(kind, wire, at_ms, received_at_ms)
    return Message(
        frame.logged.offset + index,
        entry.source_id,
        kind,
        message_id_text(wire.message_id) or _generated_id(frame.logged, index),
        user_id,
        anonymous_id,
        at_ms,
        received_at_ms,
        event,
        group_id,
        previous_id,
        context_group_id,
        frame.integrations if wire.integrations is NOTHING else _integrations(frame, wire.integrations),
        consent,
        _body(kind, wire),
        remarks,
    )


def _remarks(kind: str, wire: _Wire, at_ms: int, received_at_ms: int) -> tuple[str, ...]:
    """What is odd about a message. Only for those of which something may be."""
    found: tuple[str, ...] = ()
    other_id = wire.group_id if kind == "group" else wire.previous_id if kind == "alias" else None
    if isinstance(wire.user_id, _NUMBER) or isinstance(wire.anonymous_id, _NUMBER) or isinstance(other_id, _NUMBER):
        found = (NUMBER_AS_ID,)
    if at_ms == received_at_ms and wire.timestamp not in (None, "") and parse_timestamp_ms(wire.timestamp) is None:
        found += (UNREADABLE_TIMESTAMP,)
    return (*found, FUTURE_TIMESTAMP) if at_ms > received_at_ms + FUTURE_MS else found


def message_id_text(sent: object) -> str | None:
    """The message id as it is kept: a very long one is cut, and stays another than those it has its beginning in common
    with."""
    text = id_text(sent)
    if text is not None and len(text) > MAX_ID_CHARACTERS:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{text[: MAX_ID_CHARACTERS - len(digest) - 1]}-{digest}"
    return text


def _unknown_type(kind: object) -> _DiscardError:
    """Segment's webhooks say `delete` of a user who is to be forgotten; somebody has to see that."""
    return _DiscardError("deletion_request" if kind == "delete" else "type_not_supported")


def id_text(value: object) -> str | None:
    """An id as text: numbers become decimal text; blank text, null and everything else is absent."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def _required(value: object, reason: str) -> str:
    text = id_text(value)
    if text is None:
        raise _DiscardError(reason)
    return text


def _event_name(wire: _Wire) -> str:
    if not wire.event:
        raise _DiscardError("event_not_defined")
    return wire.event


def _body(kind: str, wire: _Wire) -> bytes:
    if kind == "alias":
        return b"{}"
    raw = bytes(wire.traits if kind == "identify" or kind == "group" else wire.properties)
    if not raw or raw == b"null":
        return b"{}"
    if raw[0] != OPENING:
        raise _DiscardError("traits_not_object" if kind in ("identify", "group") else "properties_not_object")
    return raw if raw.isascii() else raw.decode("utf-8", "replace").encode()


def _integrations(frame: _Frame, sent: msgspec.Raw) -> Any:
    """The item's `integrations` over the envelope's: Segment merges them, and the nearer word wins."""
    own = {} if sent == EMPTY else _value(sent)
    if isinstance(frame.integrations, dict) and isinstance(own, dict):
        return {**frame.integrations, **own}
    return own if own is not None else frame.integrations


def _said_consent(raw: msgspec.Raw) -> bytes | None:
    return None if bytes(raw) == b"null" else bytes(raw)


def _at_ms(frame: _Frame, wire: _Wire, received_at_ms: int) -> int:
    original_ms = parse_timestamp_ms(wire.timestamp)
    if original_ms is None:
        original_ms = parse_timestamp_ms(wire.original_timestamp)
    if frame.corrected:
        return received_at_ms if original_ms is None else original_ms
    sent_at_ms = None if wire.sent_at is None else parse_timestamp_ms(wire.sent_at)
    return correct_ms(original_ms, frame.sent_at_ms if sent_at_ms is None else sent_at_ms, received_at_ms)


def _generated_id(logged: LoggedEntry, index: int) -> str:
    """A message id for a message that came without one: the same each time this entry is read."""
    entry = logged.entry
    name = f"{entry.source_id}:{entry.received_at_ms}:{logged.offset + index}"
    return f"generated-{uuid.uuid5(GENERATED_ID_NAMESPACE, name)}"


def _mend(frame: _Frame, raw: bytes) -> _Wire:
    """The slow path: mend invalid UTF-8 and odd types that SDKs send, or find why Segment would discard it."""
    fields = fields_of(raw if raw.isascii() else raw.decode("utf-8", "replace").encode())
    item = {name: _plain_value(fields[name]) for name in _PLAIN_FIELDS if name in fields}
    kind = frame.type or item.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise _unknown_type(kind)
    needed = _IDS_OF_TYPE.get(kind, _IDS)
    if any(not isinstance(item.get(name), _AN_ID) or isinstance(item.get(name), bool) for name in needed):
        raise _DiscardError("id_not_string")
    for name in _TEXTS_OF_TYPE.get(kind, ()):
        if not isinstance(item.get(name), str | None):
            raise _DiscardError(f"{name}_not_string")
    return _Wire(
        type=kind,
        message_id=id_text(item.get("messageId")),
        timestamp=_date(item, fields, "timestamp"),
        original_timestamp=_date(item, fields, "originalTimestamp"),
        sent_at=_date(item, fields, "sentAt"),
        event=item.get("event") if kind == "track" else None,
        context=_context(fields.get("context", NOTHING)),
        integrations=fields.get("integrations", NOTHING),
        properties=fields.get("properties", NOTHING),
        traits=fields.get("traits", NOTHING),
        **{_ATTRIBUTE_OF_ID[name]: item.get(name) for name in needed},
    )


_IDS: Final = ("userId", "anonymousId")
_IDS_OF_TYPE: Final = {"group": (*_IDS, "groupId"), "alias": (*_IDS, "previousId")}
_ATTRIBUTE_OF_ID: Final = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
}
_TEXTS_OF_TYPE: Final = {"track": ("event",), "page": ("name", "category"), "screen": ("name", "category")}
_NUMBER: Final = (int, float)
_AN_ID: Final = (*_NUMBER, str, type(None))
_PLAIN_FIELDS: Final = (
    *("type", "userId", "anonymousId", "groupId", "previousId", "messageId", "event", "name", "category"),
    *("timestamp", "originalTimestamp", "sentAt"),
)


def fields_of(text: bytes) -> Mapping[str, msgspec.Raw]:
    """The fields of a message, each as it came. A message that is no JSON object is discarded."""
    try:
        try:
            return _decode_fields(text)
        except RecursionError:
            return _decode_fields(flattened(text))
    except (msgspec.DecodeError, RecursionError):
        raise _DiscardError("bad_request") from None


def _date(item: Mapping[str, Any], fields: Mapping[str, msgspec.Raw], name: str) -> str | int | float | None:
    """A date as it was sent; what cannot be one as the text of its JSON, which is none either."""
    value = item.get(name)
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return bytes(fields[name]).decode()


def _context(raw: msgspec.Raw) -> _Context | None:
    try:
        fields = _decode_fields(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    group_id = _plain_value(fields["groupId"]) if "groupId" in fields else None
    return _Context(group_id=id_text(group_id), consent=fields.get("consent", NOTHING))


def decode_body(body: bytes) -> Mapping[str, Any]:
    """Traits or properties as objects: integers exact, numbers too large for JSON as the text they were."""
    decoded = _decode_slowly(body)
    return decoded if isinstance(decoded, dict) else {}


def _decode_slowly(body: bytes) -> Any:
    """What JSON says, however large its numbers and deep its nesting are; None if it is no JSON."""
    with suppress(ValueError, RecursionError):
        return json.loads(body, parse_float=_finite)
    with suppress(ValueError, RecursionError):
        return json.loads(flattened(body), parse_float=_finite, parse_int=_whole)
    return None


def _finite(text: str) -> float | str:
    """A number as JSON can carry it on; one too great for that (1e999) stays the text it was."""
    number = float(text)
    return number if math.isfinite(number) else text


def _whole(text: str) -> int | str:
    """An integer; one with more digits than Python reads stays the text it was."""
    try:
        return int(text)
    except ValueError:
        return text
