"""A client that costs little: requests made from templates, on keep-alive connections, answers told by their end.

Without a rate each connection sends its next request when the answer to the last one is complete (closed loop). With
a rate requests fall due at even times; one that finds no free connection waits, and its acknowledgement counts from
when it was due (open loop), so that a slow server cannot hide by slowing the client.
"""

import asyncio
import base64
import random
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, cast

import msgspec
import uvloop

from benchmarks.messages import message

ANSWER = b'{"success":true}'
MARK = b"########"
"""Stands in a template where the number of the request goes: the first eight characters of each message id."""
PACE_SECONDS = 0.001
WRITE_KEY = "benchmark-write-key"


class Traffic(NamedTuple):
    """What is sent: batches of so many messages, or single posts of one, of so many users, from a number on.

    One in ten is an identify, unless only track calls are wanted.
    """

    batch: int
    users: int = 5_000
    templates: int = 200
    first_number: int = 0
    only_track: bool = False


class Load(NamedTuple):
    """How to send: over so many connections, for so long, at so many requests a second or as fast as is answered."""

    connections: int
    seconds: float
    requests_per_second: float | None = None


class Ack(NamedTuple):
    """One answered request; times are of time.monotonic(), which all processes of a machine share."""

    number: int
    due: float
    answered: float


@dataclass
class Sent:
    """What a client saw."""

    acks: list[Ack] = field(default_factory=list)
    failed: int = 0
    offered: int = 0
    cpu_seconds: float = 0
    seconds: float = 0

    def latencies_ms(self) -> list[float]:
        return [(ack.answered - ack.due) * 1_000 for ack in self.acks]


@cache
def templates(batch: int, users: int, count: int, only_track: bool) -> list[bytes]:
    """Whole HTTP requests with MARK in place of their number."""
    chance, now_ms, mark = random.Random(2), round(time.time() * 1_000), MARK.decode()
    found = []
    for start in range(0, count * batch, batch):
        numbers = [number * 10 + 1 if only_track else number for number in range(start, start + batch)]
        items = [message(chance, number, users, now_ms, mark) for number in numbers]
        path = "/v1/batch" if batch > 1 else f"/v1/{items[0]['type']}"
        content = msgspec.json.encode({"batch": items} if batch > 1 else items[0])
        authorization = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        found.append(head.encode() + content)
    return found


class Connection(asyncio.Protocol):
    """One sender."""

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.answer = b""
        self.number, self.due = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own are no subclass

    def send(self, number: int, due: float) -> None:
        self.number, self.due = number, due
        self.transport.write(self.client.request(number))

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answer.endswith(b"}"):  # every answer is a JSON object, so this one is still coming
            return
        if self.answer.endswith(ANSWER):
            self.client.sent.acks.append(Ack(self.number, self.due, time.monotonic()))
        else:
            self.client.sent.failed += 1
        self.answer = b""
        self.client.free(self)


class Client:
    """Sends traffic from this event loop."""

    def __init__(self, traffic: Traffic, load: Load) -> None:
        self.sent = Sent()
        self.load = load
        self.templates = templates(traffic.batch, traffic.users, traffic.templates, traffic.only_track)
        self.next_number = traffic.first_number
        self.waiting: deque[float] = deque()
        self.idle: deque[Connection] = deque()  # the longest idle goes first: none idles until the server closes it
        self.until = float("inf")
        self.ended = asyncio.Event()

    def request(self, number: int) -> bytes:
        return self.templates[number % len(self.templates)].replace(MARK, b"%08x" % number)

    def send(self, connection: Connection, due: float) -> None:
        connection.send(self.next_number, due)
        self.next_number += 1

    def free(self, connection: Connection) -> None:
        """A connection may send again."""
        now = time.monotonic()
        if self.waiting:
            self.send(connection, self.waiting.popleft())
        elif self.load.requests_per_second is None and now < self.until:
            self.sent.offered += 1
            self.send(connection, now)
        else:
            self.idle.append(connection)
            if now >= self.until and len(self.idle) == self.load.connections:
                self.ended.set()

    async def run(self, host: str, port: int) -> Sent:
        loop = asyncio.get_running_loop()
        opened = [
            (await loop.create_connection(lambda: Connection(self), host, port))[1]
            for _ in range(self.load.connections)
        ]
        cpu, started = time.process_time(), time.monotonic()
        self.until = started + self.load.seconds
        for connection in opened:
            self.free(connection)
        if self.load.requests_per_second is not None:
            await self._pace(self.load.requests_per_second, started)
        await self.ended.wait()
        self.sent.seconds, self.sent.cpu_seconds = time.monotonic() - started, time.process_time() - cpu
        for connection in opened:
            connection.transport.close()
        return self.sent

    async def _pace(self, requests_per_second: float, started: float) -> None:
        """Let requests fall due at even times until the end; those still waiting then are not sent."""
        while (now := time.monotonic()) < self.until:
            while self.sent.offered < (now - started) * requests_per_second:
                due = started + self.sent.offered / requests_per_second
                self.sent.offered += 1
                if self.idle:
                    self.send(self.idle.popleft(), due)
                else:
                    self.waiting.append(due)
            await asyncio.sleep(PACE_SECONDS)
        self.waiting.clear()
        if len(self.idle) == self.load.connections:
            self.ended.set()


def send(host: str, port: int, traffic: Traffic, load: Load) -> Sent:
    """Load a server from this process."""
    client = Client(traffic, load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(client.run(host, port))
