"""Checks that a body is the JSON it should be and counts its messages, without building objects.

The syntax of the whole body is checked, also inside messages, so that everything in the event log can be decoded.
What the messages say is not looked at: that is decided later, where the decision can be explained.

A body that strict JSON refuses is mended where senders are known to break it, since a refusal costs a whole batch: a
byte order mark is dropped, what is not Unicode becomes U+FFFD, NaN and Infinity become null, and so does what is nested
too deeply to be read.
"""

from dataclasses import dataclass, replace

import msgspec

from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.ingest.answers import RefusedRequestError
from gainsight_destination.mend_json import flattened, mended

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NO_WRITE_KEY = msgspec.Raw()


class Single(msgspec.Struct):
    """What is read of a single message."""

    writeKey: msgspec.Raw = NO_WRITE_KEY  # noqa: N815 - the name on the wire


class Batch(msgspec.Struct):
    """What is read of a batch."""

    batch: list[msgspec.Raw]
    writeKey: msgspec.Raw = NO_WRITE_KEY  # noqa: N815 - the name on the wire


@dataclass(frozen=True, slots=True)
class ReadBody:
    """A body that is good JSON, how many messages it holds, and the write key it states (JSON, may be empty)."""

    body: bytes
    count: int
    write_key: msgspec.Raw
    mended: bool


items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
single_decoder = msgspec.json.Decoder(Single)
batch_decoder = msgspec.json.Decoder(Batch)


def read_json(body: bytes, kind: EntryKind) -> ReadBody:
    """Check and count. Raises RefusedRequestError unless the body is a JSON object, and a batch has its array.

    Of kind ARCHIVE it is a JSON array.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    text = body if body.isascii() else valid_utf8(body)
    try:
        count, write_key = decode(text, kind)
    except msgspec.ValidationError as error:
        raise RefusedRequestError(f"Malformed message: {error}") from None
    except msgspec.DecodeError as error:
        whole, wrong = mended(text), str(error)
    except RecursionError:
        whole, wrong = flattened(text), "too deeply nested"
    else:
        return ReadBody(text, count, write_key, mended=text is not body)
    if whole == text:
        raise RefusedRequestError(f"Malformed JSON: {wrong}")
    return replace(read_json(whole, kind), mended=True)


def decode(body: bytes, kind: EntryKind) -> tuple[int, msgspec.Raw]:
    """The number of messages and the write key stated."""
    if kind is EntryKind.BATCH:
        batch = batch_decoder.decode(body)
        return len(batch.batch), batch.writeKey
    if kind is EntryKind.ARCHIVE:
        return len(items_decoder.decode(body)), NO_WRITE_KEY
    return 1, single_decoder.decode(body).writeKey


def valid_utf8(body: bytes) -> bytes:
    """`body` itself when it is UTF-8, else with U+FFFD in place of what is not."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode("utf-8")
    return body
