"""A client that costs little: prebuilt requests on keep-alive connections, answers counted by their bytes.

Each connection sends its next request when the answer to the last one is complete, so that concurrency is the number
of connections and the time between is the acknowledgement.
"""

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

ANSWER = b'{"success":true}'


@dataclass
class Load:
    """What one client process saw."""

    acknowledged: int = 0
    failed: int = 0
    latencies_seconds: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One sender. Requests are used in turn, starting at its own place."""

    def __init__(self, load: Load, requests: Sequence[bytes], first: int, until: float) -> None:
        self.load = load
        self.requests = requests
        self.next = first
        self.until = until
        self.answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.next = (self.next + 1) % len(self.requests)
        self.sent_at = time.perf_counter()
        self.transport.write(self.requests[self.next])

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answer.endswith(b"}"):  # every answer is a JSON object, so this one is still coming
            return
        now = time.perf_counter()
        self.load.latencies_seconds.append(now - self.sent_at)
        if self.answer.endswith(ANSWER):
            self.load.acknowledged += 1
        else:
            self.load.failed += 1
        self.answer = b""
        if now < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


def event(number: int) -> dict[str, object]:
    """A realistic track call of about 545 bytes as compact JSON."""
    return {
        "type": "track",
        "event": "Report Exported",
        "userId": f"u-{number % 997:06d}",
        "anonymousId": f"6b1f0d9e-3c55-4d52-9d0e-{number:012d}",
        "messageId": f"node-next-1795432718572-{number:012d}",
        "timestamp": "2026-11-23T11:16:44.724Z",
        "properties": {"accountId": "001A0000010gainQ", "rows": 1200, "format": "csv", "path": "/reports/weekly"},
        "context": {
            "groupId": "001A0000010gainQ",
            "ip": "203.0.113.9",
            "library": {"name": "@segment/analytics-node", "version": "3.1.0"},
            "page": {"path": "/reports", "title": "Reports"},
        },
        "integrations": {},
        "_metadata": {"nodeVersion": "22.11.0", "jsRuntime": "node"},
    }


def request(path: str, body: object, write_key: str) -> bytes:
    """A whole HTTP request."""
    content = json.dumps(body, separators=(",", ":")).encode()
    authorization = base64.b64encode(f"{write_key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def send_for(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Load the server from this event loop."""
    loop, load, until = asyncio.get_running_loop(), Load(), time.perf_counter() + seconds
    opened = []
    for number in range(connections):
        first = number * len(requests) // connections
        _, connection = await loop.create_connection(
            lambda first=first: Connection(load, requests, first, until), host, port
        )
        opened.append(connection)
    await asyncio.gather(*(connection.done for connection in opened))
    return load


def run_client(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """The same in an event loop of its own, for a client process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(send_for(host, port, requests, connections, seconds))
