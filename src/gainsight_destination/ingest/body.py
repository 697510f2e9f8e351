"""Reads a request's body within bounds, whatever the sender does: slow, endless, chunked or a gzip bomb."""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gainsight_destination.errors import UnavailableError
from gainsight_destination.ingest import limits
from gainsight_destination.ingest.answers import RefusedRequestError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

TOO_LARGE = "Exceed payload limit"
"""Segment's own words."""
MALFORMED_GZIP = "Malformed gzip content"


class DisconnectedError(Exception):
    """The sender went away before the body was complete: nothing is stored, nobody reads an answer."""


class BodyReader:
    """Bodies of the whole process; knows how much of unfinished ones is held in memory."""

    def __init__(self, *, unfinished_bytes: int = limits.UNFINISHED_BYTES) -> None:
        self._may_hold_bytes = unfinished_bytes

    async def read(self, receive: Receive, headers: dict[bytes, bytes], max_bytes: int) -> bytes:
        """The body, gunzipped, of at most `max_bytes`.

        Raises RefusedRequestError (too large, broken gzip, another encoding), UnavailableError (too many unfinished
        bodies in memory) or DisconnectedError.
        """
        gzip = gzipped(headers.get(b"content-encoding"))
        may_come = max_bytes + limits.GZIP_OVERHEAD_BYTES if gzip else max_bytes
        if declared_bytes(headers.get(b"content-length")) > limits.DRAIN_BYTES:
            raise RefusedRequestError(TOO_LARGE)
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        body: bytes = message["body"]
        if message["more_body"]:
            body = await self._rest(receive, body, may_come)
        if len(body) > may_come:
            raise RefusedRequestError(TOO_LARGE)
        return gunzip(body, max_bytes) if gzip else body

    async def discard(self, receive: Receive) -> None:
        """Let a body pass by, of any kind, up to where an answer is due."""
        came, more = 0, True
        while more and came <= limits.DRAIN_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                raise DisconnectedError
            came += len(message["body"])
            more = message["more_body"]

    async def _rest(self, receive: Receive, first: bytes, may_come: int) -> bytes:
        """A body that comes in pieces. Beyond `may_come` its bytes are dropped, up to where an answer is due."""
        body, held, came = bytearray(first), len(first), len(first)  # pieces may be tiny, and objects are not
        self._hold(held)
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise DisconnectedError
                piece, more = message["body"], message["more_body"]
                came += len(piece)
                if came > limits.DRAIN_BYTES:
                    raise RefusedRequestError(TOO_LARGE)
                if came <= may_come:
                    self._hold(len(piece))
                    held += len(piece)
                    body += piece
        finally:
            self._may_hold_bytes += held
        if came > may_come:
            raise RefusedRequestError(TOO_LARGE)
        return bytes(body)

    def _hold(self, size: int) -> None:
        self._may_hold_bytes -= size
        if self._may_hold_bytes < 0:
            self._may_hold_bytes += size
            raise UnavailableError("too many unfinished requests")


def declared_bytes(content_length: bytes | None) -> int:
    """The body's size as announced; 0 when it is not."""
    return int(content_length) if content_length and content_length.isdigit() else 0


def gzipped(content_encoding: bytes | None) -> bool:
    """Whether the body is gzip. Raises RefusedRequestError for an encoding that no Segment SDK uses."""
    encoding = content_encoding.strip().lower() if content_encoding else b""
    if encoding in {b"", b"identity"}:
        return False
    if encoding == b"gzip":
        return True
    raise RefusedRequestError(f"Unsupported content encoding {encoding[:20].decode('latin-1')!r}; gzip is supported")


def gunzip(packed: bytes, max_bytes: int) -> bytes:
    """Inflate, never beyond `max_bytes`: memory and work stay bounded however well a bomb is packed."""
    inflated = b""
    for _ in range(limits.GZIP_MEMBERS):
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            inflated += inflater.decompress(packed, max_bytes + 1 - len(inflated))
        except zlib.error:
            raise RefusedRequestError(MALFORMED_GZIP) from None
        if len(inflated) > max_bytes:
            raise RefusedRequestError(TOO_LARGE)
        if not inflater.eof:
            raise RefusedRequestError(MALFORMED_GZIP)
        packed = inflater.unused_data
        if not packed:
            return inflated
    raise RefusedRequestError(MALFORMED_GZIP)
