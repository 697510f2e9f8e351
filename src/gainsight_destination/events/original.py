"""A message as Segment hands it to a destination: what the sender said, completed by the server.

What was sent is kept byte for byte, value by value, so that no number changes on the way.
"""

from typing import Final

import msgspec

from gainsight_destination.eventlog.contract import Entry, EntryKind, LoggedEntry
from gainsight_destination.events.message import NOTHING, fields_of, messages_of
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.mend_json import flattened

VERSION: Final = 2
"""The version of the message format in what Segment delivers."""
CHANNELS: Final = frozenset({b'"server"', b'"client"', b'"browser"', b'"mobile"'})

Fields = dict[str, msgspec.Raw]


class _Envelope(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    sent_at: msgspec.Raw = NOTHING
    context: msgspec.Raw = NOTHING
    integrations: msgspec.Raw = NOTHING


_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def original_of(logged: LoggedEntry, offset: int, source: str) -> bytes | None:
    """The valid message at an offset as JSON; None when there is none.

    `timestamp` is corrected, the client's own becomes `originalTimestamp`; `receivedAt`, `version`, `channel` and
    `projectId` (the name of the source) are added; `context` and `integrations` of a batch are merged in, the nearer
    word wins; a missing `messageId` is the one that the message got; ids are text. The write key is left out.
    """
    message = messages_of(logged).get(offset)
    if message is None:
        return None
    entry = logged.entry
    try:
        item, envelope = _parts(entry, entry.body, offset - logged.offset)
    except RecursionError:
        item, envelope = _parts(entry, flattened(entry.body), offset - logged.offset)
    fields = dict(fields_of(item))
    fields.pop("writeKey", None)
    if "timestamp" in fields and entry.kind is not EntryKind.ARCHIVE:
        fields["originalTimestamp"] = fields["timestamp"]
    if envelope is not None:
        if envelope.sent_at != NOTHING:
            fields.setdefault("sentAt", envelope.sent_at)
        _merge(fields, "context", envelope.context)
        _merge(fields, "integrations", envelope.integrations)
    _put(fields, "type", message.type)
    _put(fields, "messageId", message.message_id)
    _put(fields, "timestamp", iso_utc(message.at_ms))
    for name, value in (("userId", message.user_id), ("anonymousId", message.anonymous_id)):
        if value is not None:
            _put(fields, name, value)
    if entry.kind is not EntryKind.ARCHIVE or "receivedAt" not in fields:
        _put(fields, "receivedAt", iso_utc(entry.received_at_ms))
    if bytes(fields.get("channel", NOTHING)) not in CHANNELS:
        _put(fields, "channel", "server")
    _put(fields, "version", VERSION)
    _put(fields, "projectId", source)
    return msgspec.json.encode(fields)


def _parts(entry: Entry, body: bytes, index: int) -> tuple[msgspec.Raw | bytes, _Envelope | None]:
    """The message as it stands in its request, and the envelope around it if there is one."""
    if entry.kind is EntryKind.ARCHIVE:
        return _decode_items(body)[index], None
    if entry.kind is not EntryKind.BATCH:
        return body, None
    envelope = _decode_envelope(body)
    return envelope.batch[index], envelope


def _merge(fields: Fields, name: str, outer: msgspec.Raw) -> None:
    """Lay an object of the message over that of its envelope; what is no object does not count."""
    around, own = _fields_of(outer), _fields_of(fields.get(name, NOTHING))
    if around:
        fields[name] = msgspec.Raw(msgspec.json.encode({**around, **own}))


def _fields_of(raw: msgspec.Raw) -> Fields:
    try:
        return _decode_fields(raw) if raw != NOTHING else {}
    except (msgspec.DecodeError, RecursionError):
        return {}


def _put(fields: Fields, name: str, value: object) -> None:
    fields[name] = msgspec.Raw(msgspec.json.encode(value))
