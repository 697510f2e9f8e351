"""A real S3 server on loopback, moto's, with faults on the way to it: broken bodies, refusals, stalls."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

WsgiApp = Callable[..., Iterable[bytes]]
Fault = Callable[[WsgiApp, dict[str, Any], Any], Iterable[bytes]]
BUCKET = "archives"


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None: ...


@dataclass
class FaultyS3:
    """The server, where it is, and what it was asked. `fault` answers the requests for objects instead of it."""

    app: WsgiApp = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    fault: Fault | None = None
    ranges: list[str] = field(default_factory=list)
    endpoint: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "HTTP_RANGE" in environ:
            self.ranges.append(environ["HTTP_RANGE"])
        if self.fault and environ["REQUEST_METHOD"] == "GET":
            return self.fault(self.app, environ, start_response)
        return self.app(environ, start_response)

    @cached_property
    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.endpoint)

    def put(self, key: str, body: bytes, **attributes: str) -> str:
        """Store an object in BUCKET; its address."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, **attributes)
        return f"s3://{BUCKET}/{key}"

    def empty(self) -> None:
        """Forget all objects and all that was asked."""
        self.fault = None
        for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            self.client.delete_object(Bucket=BUCKET, Key=item["Key"])
        self.ranges.clear()


@contextmanager
def running_s3() -> Iterator[FaultyS3]:
    """The server, with one empty bucket. Credentials come from the environment, as in the product."""
    s3 = FaultyS3()
    server = make_server("127.0.0.1", 0, s3, threaded=True, request_handler=Quiet)
    s3.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        s3.client.create_bucket(Bucket=BUCKET)
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refusing(status: str, code: str, *, times: int = 1_000) -> Fault:
    """S3's own shape of an error."""
    left = [times]

    def answer(app: WsgiApp, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        left[0] -= 1
        if left[0] < 0:
            return app(environ, start_response)
        body = f"<Error><Code>{code}</Code><Message>Said by a test.</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def breaking(*, times: int) -> Fault:
    """Bodies of objects break off in the middle."""
    left = [times]

    def answer(app: WsgiApp, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(app(environ, start_response))
        if "HTTP_RANGE" not in environ or left[0] == 0:
            return [body]
        left[0] -= 1
        return [body[: len(body) // 2]]

    return answer
