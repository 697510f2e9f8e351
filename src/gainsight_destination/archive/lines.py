"""Reads the lines of one archive file: newline-separated JSON, gzipped or not.

Whether a file is gzipped is seen from its first bytes, since tools that download Segment's archives often inflate
them and leave the name. Memory stays small however large a file or a line is.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from io import SEEK_SET, BufferedReader, RawIOBase
from typing import Any, Final, NamedTuple

import msgspec

from gainsight_destination.archive.files import ArchiveFile, UnreadableFileError
from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.events.message import MAX_MESSAGE_BYTES, TYPES, id_text
from gainsight_destination.events.timestamps import parse_timestamp_ms
from gainsight_destination.ingest.answers import RefusedRequestError
from gainsight_destination.ingest.read_json import BYTE_ORDER_MARK, read_json, valid_utf8

GZIP_MAGIC: Final = b"\x1f\x8b"
SKIP_BYTES: Final = 65_536
INFLATED_BYTES: Final = 262_144
LONGEST_LINE_BYTES: Final = len(BYTE_ORDER_MARK) + MAX_MESSAGE_BYTES + len(b"\r\n")

OTHER_FORMATS: Final = {
    b"PK\x03\x04": "the file is a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "the file is packed with zstd; unpack it first",
    b"BZh": "the file is packed with bzip2; unpack it first",
    b"\xfd7zXZ": "the file is packed with xz; unpack it first",
    b"PAR1": "the file is Parquet; export it as newline-separated JSON",
    b"\xff\xfe": "the file is UTF-16; make it UTF-8 first: iconv -f UTF-16 -t UTF-8 FILE",
    b"\xfe\xff": "the file is UTF-16; make it UTF-8 first: iconv -f UTF-16 -t UTF-8 FILE",
}
"""What archives are sometimes kept as and is not read, by the first bytes."""
JSON_ARRAY: Final = "the file is one JSON array and not an object per line; make lines of it first: jq -c '.[]' FILE"

TYPE_NAMES: Final = {name: name for name in (*TYPES, "delete")}
OTHER_TYPE: Final = "other"


class Position(NamedTuple):
    """How far a file was read: whole lines, and their bytes after inflating."""

    lines: int = 0
    offset_bytes: int = 0


class Line(msgspec.Struct, frozen=True, gc=False):
    """One message of an archive: a JSON object of at most 32 KB."""

    number: int
    body: bytes
    type: str
    """One of Segment's six, `delete`, or `other`."""
    received_at_ms: int | None = None
    """When Segment received it, else when it happened; None when it says neither, or nobody asked."""
    id_added: bool = False


class BadLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is no message, or the place where a file cannot be read on (`number` 0: not at all)."""

    file: str
    number: int
    code: str
    """`too_long`, `not_an_object`, `malformed` or `unreadable`."""
    reason: str


class _Said(msgspec.Struct, rename="camel", gc=False):
    """What a line says that matters here."""

    message_id: Any = None
    type: Any = None
    received_at: Any = None
    timestamp: Any = None


_decode = msgspec.json.Decoder(_Said).decode


class Inflated(RawIOBase):
    """The inside of a gzip file. Around it, a BufferedReader finds lines faster than GzipFile itself does.

    It never reads on for more while it has something, so that what stands before a damage comes out.
    """

    def __init__(self, raw: BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=raw, mode="rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        inflated = self._file.read1(len(buffer))
        buffer[: len(inflated)] = inflated
        return len(inflated)


class ArchiveLines:
    """The lines of one file, from a position on. `position` and `read_bytes` say how far the iteration got."""

    def __init__(self, file: ArchiveFile, start: Position, *, with_times: bool = False) -> None:
        self.file = file
        self.position = start
        self.complete = False
        self._with_times = with_times
        self._raw: BufferedReader | None = None

    @property
    def read_bytes(self) -> int:
        """Bytes of the file itself, which for gzip are fewer than those of the position; 0 when it has no places."""
        with suppress(OSError, ValueError):
            return self._raw.tell() if self._raw else 0
        return 0

    def __iter__(self) -> Iterator[Line | BadLine]:
        try:
            with self.file.open() as self._raw:
                yield from self._lines(self._raw)
        except EOFError:
            yield self._unreadable("the file ends in the middle: it was cut off; fetch it again")
        except (gzip.BadGzipFile, zlib.error):
            yield self._unreadable("the file is damaged from here on; fetch it again")
        except UnreadableFileError as error:
            yield self._unreadable(str(error))
        except OSError as error:
            yield self._unreadable(f"the file cannot be read on: {error.strerror}")
        else:
            self.complete = True

    def _bad(self, code: str, reason: str) -> BadLine:
        return BadLine(self.file.name, self.position.lines, code, reason)

    def _unreadable(self, reason: str) -> BadLine:
        return self._bad("unreadable", reason)

    def _lines(self, raw: BufferedReader) -> Iterator[Line | BadLine]:
        head = raw.peek(8)[:8]
        for magic, reason in OTHER_FORMATS.items():
            if head.startswith(magic):
                raise UnreadableFileError(reason)
        stream = raw
        if head.startswith(GZIP_MAGIC):
            stream = BufferedReader(Inflated(raw), INFLATED_BYTES)
        if self.position.offset_bytes:
            stream.seek(self.position.offset_bytes)
        while line := stream.readline(LONGEST_LINE_BYTES):
            length = len(line)
            if length == LONGEST_LINE_BYTES and not line.endswith(b"\n"):
                length += self._skip_rest(stream)
            body = line.strip().removeprefix(BYTE_ORDER_MARK)
            if self.position.lines == 0 and is_array(body):
                raise UnreadableFileError(JSON_ARRAY)
            self.position = Position(self.position.lines + 1, self.position.offset_bytes + length)
            if body:
                yield self._message(body)

    def _skip_rest(self, stream: BufferedReader) -> int:
        skipped = 0
        while piece := stream.readline(SKIP_BYTES):
            skipped += len(piece)
            if piece.endswith(b"\n"):
                break
        return skipped

    def _message(self, body: bytes) -> Line | BadLine:
        """The line as it is, or with a message id if it has none."""
        number = self.position.lines
        if len(body) > MAX_MESSAGE_BYTES:
            return self._bad("too_long", f"it is longer than {MAX_MESSAGE_BYTES:,} bytes")
        if not body.startswith(b"{"):
            return self._bad("not_an_object", "it is not a JSON object")
        try:
            body, said = read_line(body)
        except RefusedRequestError as error:
            return self._bad("malformed", str(error))
        type_ = TYPE_NAMES.get(said.type, OTHER_TYPE) if isinstance(said.type, str) else OTHER_TYPE
        received_at_ms = None
        if self._with_times:
            received_at_ms = parse_timestamp_ms(said.received_at)
            if received_at_ms is None:
                received_at_ms = parse_timestamp_ms(said.timestamp)
        if id_text(said.message_id) is not None:
            return Line(number, body, type_, received_at_ms)
        body = with_message_id(body, self.file.stable_name, number)
        if len(body) > MAX_MESSAGE_BYTES:
            return self._bad("too_long", f"it is longer than {MAX_MESSAGE_BYTES:,} bytes with the message id it needs")
        return Line(number, body, type_, received_at_ms, id_added=True)


def is_array(first_line: bytes) -> bool:
    """Whether a file that begins so is a JSON array of objects, in one line or many."""
    return first_line.startswith(b"[") and first_line[1:].lstrip()[:1] in (b"", b"{")


def read_line(body: bytes) -> tuple[bytes, _Said]:
    """A JSON object, mended where senders break it, and what it says. Raises RefusedRequestError."""
    if body.isascii() or valid_utf8(body) is body:
        try:
            return body, _decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
    body = read_json(body, EntryKind.TRACK).body
    try:
        return body, _decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise RefusedRequestError(
            "one of its ids or dates is a number that is too large, or nested too deeply"
        ) from None


def with_message_id(body: bytes, file_name: str, number: int) -> bytes:
    """The message with an id made of where it stands and what it says, so that reading it again gives the same.

    It goes to the end: of a name that is there twice the last counts, and a message may hold an empty `messageId`.
    """
    digest = blake2b(b"\0".join((file_name.encode("utf-8", "surrogateescape"), b"%d" % number, body)), digest_size=16)
    separator = b"" if body[1:-1].strip() == b"" else b","
    return body[:-1] + separator + b'"messageId":"archive-' + digest.hexdigest().encode() + b'"}'
