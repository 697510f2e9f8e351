"""The HTTP server of the public port: uvicorn with uvloop and httptools, guarded against slow and endless requests.

What one connection may cost is bounded here, how many there are in connections.py.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sized
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gainsight_destination.clock import Clock
from gainsight_destination.ingest import answers, limits
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.ingest.connections import Connections

WATCH_SECONDS = 1.0
HEADERS_TOO_LARGE = "Malformed request: the headers are too large"
BACKLOG = 2_048
"""Connections that the system holds while they wait to be accepted."""
UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})


class TooManyError(Exception):
    """Ends the parsing of a connection that is closed already."""


class ReadOnlyWhenIdle(FlowControl):
    """Reads no more while requests wait for their turn: their bodies and successors would pile up."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if self.read_paused and not self._waiting:
            super().resume_reading()


class IngestProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on what one connection may cost and the product's own shape of errors."""

    head_bytes = piece_bytes = 0
    in_head = True
    head: object = object()
    spare = False
    """One too many: heard for a moment, see connections.py."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.flow = ReadOnlyWhenIdle(self.transport, self.pipeline)
        assert isinstance(self.server_state, Connections)
        self.server_state.opened(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self.piece_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self.decline_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Malformed request")
        if self.in_head:
            self.head_bytes += len(data)
            if self.head_bytes > limits.HEAD_BYTES:
                self.send_400_response(HEADERS_TOO_LARGE)
        else:
            self.head_bytes = 0
            if len(self.headers) > limits.HEADERS:  # some came after a chunked body
                self.send_400_response(HEADERS_TOO_LARGE)

    def decline_upgrade(self, rest: bytes) -> None:
        """Take the request as if it had not offered another protocol, as HTTP allows and some HTTP/2 clients expect.

        The parser drops the body of such a request, so the head is parsed once more without the offer.
        """
        if self.parser.get_method() == b"CONNECT":
            self.send_400_response("Malformed request")
            return
        version = self.parser.get_http_version().encode("ascii")
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name not in UPGRADE_HEADERS]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head, self.head = True, self.scope

    def on_headers_complete(self) -> None:
        if len(self.headers) > limits.HEADERS:
            self.send_400_response(HEADERS_TOO_LARGE)
            raise TooManyError
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.in_head = False
        if len(self.pipeline) > limits.PIPELINED_REQUESTS:
            self.transport.abort()
            raise TooManyError

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self.cycle.more_body = False  # also of a request that was answered before its body came
            self.head_bytes = -self.piece_bytes  # what comes in the same piece is not all head

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        answer = answers.failure(400, "invalid_request", msg)
        lines = [name + b": " + value + b"\r\n" for name, value in (*answer.headers, (b"connection", b"close"))]
        self.transport.write(b"".join([STATUS_LINE[400], *lines, b"\r\n", answer.body]))
        self.transport.close()

    def awaited(self) -> object | None:
        """What this connection waits for its sender to do, as an object that is the same until it is done.

        The rest of a request, the next request, to read answers, or to let go; None while it is our turn.
        """
        if self.transport.is_closing():
            return self.transport
        if self.flow.write_paused:
            return self.flow
        if self.in_head:
            return self.head
        return self.cycle if self.cycle.more_body or self.is_idle() else None

    def is_idle(self) -> bool:
        """Between two requests."""
        return not self.in_head and self.cycle.response_complete and not self.cycle.more_body and not self.pipeline


class IngestServer(uvicorn.Server):
    """Serves the app on a bound socket until `stop`; signals are left to the process that runs it."""

    def __init__(
        self,
        app: IngestApp,
        listener: socket.socket,
        *,
        clock: Clock,
        opened: Callable[[], None] = lambda: None,
        max_connections: int = limits.CONNECTIONS,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float = limits.HANDSHAKE_SECONDS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=IngestProtocol,
                loop="none",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=limits.KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=limits.DRAIN_SECONDS,
            )
        )
        self._listener = listener
        self._clock = clock
        self._opened = opened
        self.open = self.server_state = Connections(max_connections, clock)
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {
                "ssl": tls,
                "ssl_handshake_timeout": handshake_seconds,
                "ssl_shutdown_timeout": limits.GOODBYE_SECONDS,
            }

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port. uvicorn's own would do the same, without the bounds of TLS."""

        def protocol() -> IngestProtocol:
            return IngestProtocol(config=self.config, server_state=self.server_state, app_state={})

        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_server(protocol, sock=self._listener, backlog=BACKLOG, **self._tls)]
        self.started = True
        self._opened()

    async def run_until_stopped(self) -> None:
        """Serve; return when `stop` was called and requests under way were answered, or DRAIN_SECONDS are over."""
        watch = asyncio.create_task(self._watch())
        try:
            await self.serve(sockets=[self._listener])
        finally:
            watch.cancel()

    def stop(self) -> None:
        """Accept no more connections and finish what is under way."""
        self.should_exit = True

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            self.open.look()
