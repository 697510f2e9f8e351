"""The HTTP server of the public port: uvicorn with uvloop and httptools, guarded against slow and endless requests."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UserError
from gainsight_destination.ingest import answers, limits
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.observe import metrics

WATCH_SECONDS = 1.0
BACKLOG = 2_048
"""Connections that the system holds while they wait to be accepted."""
UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})


class IngestProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on the head of a request and the product's own shape of errors."""

    head_bytes = 0
    in_head = True
    head: object = object()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self.decline_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Malformed request")
        if self.in_head and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > limits.HEAD_BYTES:
                self.send_400_response("Malformed request: the headers are too large")

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
        self.in_head, self.head, self.head_bytes = True, self.scope, 0

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.in_head = False

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        answer = answers.failure(400, "invalid_request", msg)
        lines = [name + b": " + value + b"\r\n" for name, value in (*answer.headers, (b"connection", b"close"))]
        self.transport.write(b"".join([STATUS_LINE[400], *lines, b"\r\n", answer.body]))
        self.transport.close()

    def awaited(self) -> object | None:
        """The part of a request that has not come yet, as an object that is the same until it has; None when idle."""
        if self.in_head:
            return self.head
        return self.cycle if self.cycle.more_body else None


class IngestServer(uvicorn.Server):
    """Serves the app on a bound socket until `stop`; signals are left to the process that runs it."""

    def __init__(
        self,
        app: IngestApp,
        listener: socket.socket,
        *,
        clock: Clock,
        opened: Callable[[], None] = lambda: None,
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
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {
                "ssl": tls,
                "ssl_handshake_timeout": handshake_seconds,
                "ssl_shutdown_timeout": limits.GOODBYE_SECONDS,
            }
        self._waits: dict[IngestProtocol, tuple[object, int]] = {}

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

    def close_stalled(self) -> None:
        """Close connections whose request has been coming for longer than REQUEST_SECONDS."""
        now_ms = self._clock.now_ms()
        waits: dict[IngestProtocol, tuple[object, int]] = {}
        for connection in list(self.server_state.connections):
            assert isinstance(connection, IngestProtocol)
            awaited = connection.awaited()
            if awaited is None:
                continue
            known, since_ms = self._waits.get(connection, (awaited, now_ms))
            if known is not awaited:
                since_ms = now_ms
            if now_ms - since_ms > limits.REQUEST_SECONDS * 1_000:
                metrics.ingest_stalled_connections.inc()
                connection.transport.abort()  # close() would wait for a sender that does not answer
            else:
                waits[connection] = (awaited, since_ms)
        self._waits = waits
        metrics.ingest_connections.set(len(self.server_state.connections))

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            self.close_stalled()


def listen(host: str, port: int) -> socket.socket:
    """Bind a port; 0 takes a free one. Raises UserError when it cannot be had."""
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener
