"""A reverse proxy that fails on purpose, over real HTTP: what may stand between an SDK and the server."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from tests.support.system import wait_until

OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@dataclass(frozen=True)
class Fault:
    """The answer to one request that carries messages, in place of the server's."""

    status: HTTPStatus
    retry_after_seconds: int | None = None
    forwarded: bool = False
    """The server has stored the request, and only its answer is lost."""

    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        return dict.fromkeys(("Retry-After", "X-RateLimit-Reset"), str(self.retry_after_seconds))

    def body(self) -> bytes:
        words = {"error": self.status.phrase, "code": "unavailable", "message": self.status.phrase}
        return json.dumps({"success": False, **words}).encode()


@dataclass(frozen=True)
class Passed:
    """A request that came by and was answered."""

    at_seconds: float
    method: str
    path: str
    headers: dict[str, str]
    status: int


class FaultProxy:
    """Fails the next requests that carry messages, one fault each, and lets everything else through."""

    def __init__(self, upstream_url: str, faults: Sequence[Fault]) -> None:
        self._upstream = urlsplit(upstream_url).netloc
        self._faults = list(faults)
        self._lock = Lock()
        self.passed: list[Passed] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_OPTIONS = handle_request  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        at_seconds, body = time.monotonic(), request.rfile.read(int(request.headers.get("Content-Length", 0)))
        fault = self._next_fault() if request.command in ("POST", "PUT") else None
        status, headers, answer = 0, dict[str, str](), b""
        if fault is None or fault.forwarded:
            status, headers, answer = self._forward(request, body)
        if fault is not None:
            status, headers, answer = fault.status, {**self._cors(request), **fault.headers()}, fault.body()
        self.passed.append(Passed(at_seconds, request.command, request.path, dict(request.headers), status))
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers}:
            request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _next_fault(self) -> Fault | None:
        with self._lock:
            return self._faults.pop(0) if self._faults else None

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self._upstream, timeout=30)
        try:
            kept = {name: value for name, value in request.headers.items() if name.lower() not in OF_ONE_CONNECTION}
            connection.request(request.command, request.path, body, kept)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in OF_ONE_CONNECTION}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    @staticmethod
    def _cors(request: BaseHTTPRequestHandler) -> dict[str, str]:
        """A proxy that answers itself has to let pages read that, as the server does."""
        origin = request.headers.get("Origin")
        if origin is None:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Retry-After, X-RateLimit-Reset",
        }

    def wait_for_refusals(self) -> None:
        """Wait until every fault was given."""
        wait_until(lambda: not self._faults, "every fault to be given")

    def posts(self) -> list[Passed]:
        """The requests that carried messages."""
        return [passed for passed in self.passed if passed.method in ("POST", "PUT")]


@contextmanager
def fault_proxy(upstream_url: str, *faults: Fault) -> Iterator[FaultProxy]:
    """A proxy before a server until the end of the block."""
    proxy = FaultProxy(upstream_url, faults)
    thread = Thread(target=proxy._server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy._server.shutdown()
        thread.join()
        proxy._server.server_close()
