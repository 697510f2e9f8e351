"""Reads the lines of one archive file: newline-separated JSON, gzipped or not.

Whether a file is gzipped is seen from its first bytes, since tools that download Segment's archives often inflate
them and leave the name. Memory stays small however large a file or a line is.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

import msgspec

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.events.message import MAX_MESSAGE_BYTES, id_text
from gainsight_destination.ingest.answers import RefusedRequestError
from gainsight_destination.ingest.read_json import read_json

GZIP_MAGIC = b"\x1f\x8b"
SKIP_BYTES = 65_536
READ_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read: whole lines, and their bytes after inflating."""

    lines: int = 0
    offset_bytes: int = 0


class Line(msgspec.Struct, frozen=True, gc=False):
    """One message of an archive: a JSON object of at most 32 KB."""

    number: int
    body: bytes
    id_added: bool = False


class BadLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is no message, or the place where a file cannot be read on (`number` 0: not at all)."""

    file: str
    number: int
    reason: str


class _MessageId(msgspec.Struct, gc=False):
    messageId: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815 - the name on the wire; Raw is immutable


_decode_id = msgspec.json.Decoder(_MessageId).decode


class ArchiveLines:
    """The lines of one file, from a position on. `position` and `read_bytes` say how far the iteration got."""

    def __init__(self, file: ArchiveFile, start: Position) -> None:
        self.file = file
        self.position = start
        self.complete = False
        self.read_bytes = 0
        """Bytes of the file itself, which for gzip are fewer than those of the position."""

    def __iter__(self) -> Iterator[Line | BadLine]:
        try:
            if self.file.path is None:
                yield from self._lines(sys.stdin.buffer)
            else:
                with open(self.file.path, "rb", buffering=READ_BYTES) as raw:
                    yield from self._lines(raw)
        except EOFError:
            yield self._bad("the file ends in the middle: it was cut off; fetch it again")
        except (gzip.BadGzipFile, zlib.error):
            yield self._bad("the file is damaged from here on; fetch it again")
        except OSError as error:
            yield self._bad(f"the file cannot be read on: {error.strerror}")
        else:
            self.complete = True

    def _bad(self, reason: str) -> BadLine:
        return BadLine(self.file.name, self.position.lines, reason)

    def _lines(self, raw: BinaryIO) -> Iterator[Line | BadLine]:
        zipped = raw.peek(2)[:2] == GZIP_MAGIC  # type: ignore[attr-defined] # a BufferedReader
        stream: BinaryIO = gzip.GzipFile(fileobj=raw, mode="rb") if zipped else raw  # type: ignore[assignment] # alike
        if self.position.offset_bytes:
            stream.seek(self.position.offset_bytes)
        while line := stream.readline(MAX_MESSAGE_BYTES + 3):
            length = len(line)
            if length == MAX_MESSAGE_BYTES + 3 and not line.endswith(b"\n"):
                length += self._skip_rest(stream)
            self.position = Position(self.position.lines + 1, self.position.offset_bytes + length)
            with suppress(OSError):  # a pipe has no place
                self.read_bytes = raw.tell()
            if body := line.strip().removeprefix(b"\xef\xbb\xbf"):
                yield self._message(body)

    def _skip_rest(self, stream: BinaryIO) -> int:
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
            return self._bad(f"it is longer than {MAX_MESSAGE_BYTES:,} bytes")
        if not body.startswith(b"{"):
            return self._bad("it is not a JSON object")
        try:
            body = read_json(body, EntryKind.TRACK).body
        except RefusedRequestError as error:
            return self._bad(str(error))
        if id_text(msgspec.json.decode(_decode_id(body).messageId)) is not None:
            return Line(number, body)
        body = with_message_id(body, self.file.stable_name, number)
        if len(body) > MAX_MESSAGE_BYTES:
            return self._bad(f"it is longer than {MAX_MESSAGE_BYTES:,} bytes with the message id that it needs")
        return Line(number, body, id_added=True)


def with_message_id(body: bytes, file_name: str, number: int) -> bytes:
    """The message with an id made of where it stands and what it says, so that reading it again gives the same.

    It goes to the end: of a name that is there twice the last counts, and a message may hold an empty `messageId`.
    """
    digest = blake2b(b"\0".join((file_name.encode("utf-8", "surrogateescape"), b"%d" % number, body)), digest_size=16)
    separator = b"" if body[1:-1].strip() == b"" else b","
    return body[:-1] + separator + b'"messageId":"archive-' + digest.hexdigest().encode() + b'"}'
