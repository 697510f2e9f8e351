"""Requests of tests/data/edge_cases: how they are written, sent, and compared with what the product makes of them."""

import asyncio
import base64
import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import msgspec
import yaml

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.events.message import Discarded, Message, decode_body, read_entry
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.observe import metrics
from gainsight_destination.observe.status import status
from gainsight_destination.observe.trace import trace
from gainsight_destination.workspace.model import Source
from tests.support.ingest import DISABLED, NOW_MS, WEBSITE, FullLog, Ingest, StoppedClock, running_ingest
from tests.support.memory import directory_in_memory
from tests.support.pipeline import DAY_MS, Pipeline

FOLDER = Path(__file__).parents[1] / "data" / "edge_cases"
OF_SEGMENT = range(1, 96)
"""The questions that Segment's documents and code leave to whoever takes the messages of its SDKs."""
SOURCES = [WEBSITE, DISABLED, Source(3, "server", "server-key")]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One request, its answer, and what becomes of its messages."""

    path: str
    method: str = "POST"
    key: str | None = "website-key"
    """The Basic user name."""
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    body: str | list[str | dict[str, int]] = ""
    """Instead of `json`: text, or pieces of it; {"x": 40} is x forty times."""
    base64: str = ""
    gzip: bool = False
    sent: str = "whole"
    """Or `chunked`, `when allowed` (Expect: 100-continue), `cut off` (the sender goes away before the end)."""
    days_later: int = 0
    disk_full: bool = False
    status: int = 200
    """0: no answer."""
    says: str = ""
    """How the message of a refusal begins."""
    answer: str | None = None
    """The body of the answer, where that is not the usual one; in base64 if it is an image."""
    content_type: str = "application/json"
    mended: bool = False
    messages: list[str | dict[str, Any]] = []
    """In order: `discarded REASON`, `duplicate`, or what is read of the message, perhaps with its `fate`.

    Of several alike: `2 times discarded REASON`, or `times` beside what is read.
    """


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """A question, its answer, and the proof."""

    case: str
    segment: str
    """What Segment does, and how that is known."""
    decision: str
    requests: list[Request]
    why: str = ""
    """Why it is decided otherwise than Segment does, or than one would expect."""
    notices: dict[str, int] = {}


@cache
def cases() -> Mapping[str, Case]:
    """By the name of their file, which begins with their number."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda file: int(file.stem.partition("-")[0]))
    return {file.stem: msgspec.convert(yaml.safe_load(file.read_text("utf-8")), Case) for file in files}


def number_of(name: str) -> int:
    return int(name.partition("-")[0])


class Port:
    """The public port with a resolver behind it. Cases share it; each looks at what it added."""

    def __init__(self, directory: Path) -> None:
        self.clock = StoppedClock()
        self.pipeline = Pipeline(directory)
        self.pipeline.connection.execute("DELETE FROM connections")  # `running_ingest` writes the sources anew
        self.pipeline.connected = Connected(1, "gainsight", frozenset({1, 2, 3}), self.pipeline.destination)
        self.pipeline.restart()
        self.log = FullLog(directory / "log.db")
        self.ingest: Ingest

    def run(self, case: Case) -> None:
        """Send the requests of a case, one by one, and compare."""
        self.pipeline.resolve()
        self.clock.ms = NOW_MS
        noticed = self._notices()
        for request in case.requests:
            self._run(request)
        assert dict(self._notices() - noticed) == case.notices

    def _run(self, request: Request) -> None:
        self.clock.ms += request.days_later * DAY_MS
        self.pipeline.now_ms = self.clock.ms
        before, books, mended = self.pipeline.log.end(), self._books(), metrics.ingest_mended_bodies._value.get()
        if request.disk_full:
            self.log.fill()
        send(self.ingest.port, request)
        self.log.empty()
        self.pipeline.resolve()
        read = [item for logged in self.pipeline.log.read(before, max_messages=10**6) for item in read_entry(logged)]
        messages = [wanted for line in request.messages for wanted in repeated(line)]
        assert len(read) == len(messages)
        expected: Counter[str] = Counter()
        for item, wanted in zip(read, messages, strict=True):
            expected[self._compare(item, wanted)] += 1
        assert self._books() - books == expected
        assert metrics.ingest_mended_bodies._value.get() - mended == request.mended

    def _compare(self, item: Message | Discarded, wanted: str | dict[str, Any]) -> str:
        """Compare one message; what the books should count it as."""
        if isinstance(wanted, str):
            if wanted != "duplicate":
                assert isinstance(item, Discarded)
                assert f"discarded {item.reason}" == wanted
            return wanted
        assert isinstance(item, Message), item
        found = fields_of(item)
        if wanted.get("messageId") == "generated":
            assert item.message_id.startswith("generated-")
            found["messageId"] = "generated"
        if "fate" in wanted:
            story = trace(self.pipeline.connection, self.pipeline.log, [self.pipeline.connected], item.message_id)
            assert story is not None
            told = story["destinations"]["gainsight"]
            found["fate"] = " ".join(word for word in (told["state"], told.get("reason")) if word)
        assert {name: found[name] for name in wanted} == wanted
        return "accepted"

    def _books(self) -> Counter[str]:
        """What the books of the workspace count."""
        rows = self.pipeline.query(
            "SELECT state, reason, sum(messages) FROM books WHERE destination_id = 0 AND state <> 'received'"
            " GROUP BY state, reason"
        )
        names = {"accepted": "accepted", "duplicates": "duplicate"}
        assert all(d["balanced"] for d in self._status()["destinations"].values())
        return Counter({names.get(state, f"{state} {reason}"): count for state, reason, count in rows})

    def _status(self) -> dict[str, Any]:
        return status(self.pipeline.connection, self.pipeline.log, self.clock.ms)

    def _notices(self) -> Counter[str]:
        return Counter({kind: sum(times.values()) for kind, times in self._status()["notices"].items()})


def repeated(line: str | dict[str, Any]) -> Sequence[str | dict[str, Any]]:
    if isinstance(line, dict):
        return [{name: value for name, value in line.items() if name != "times"}] * line.get("times", 1)
    times, _, wanted = line.partition(" times ")
    return [wanted] * int(times) if wanted else [line]


def fields_of(message: Message) -> dict[str, Any]:
    """What was read, under the names of the Spec."""
    return {
        "type": message.type,
        "userId": message.user_id,
        "anonymousId": message.anonymous_id,
        "messageId": message.message_id,
        "event": message.event,
        "groupId": message.group_id,
        "previousId": message.previous_id,
        "context.groupId": message.context_group_id,
        "timestamp": iso_utc(message.at_ms),
        "receivedAt": iso_utc(message.received_at_ms),
        "integrations": message.integrations,
        "said": dict(decode_body(message.body)),
        "text": message.body.decode(),
    }


@contextmanager
def running_port() -> Iterator[Port]:
    """A port in a thread of its own until the end of the block."""
    with directory_in_memory() as directory:
        port = Port(directory)
        opened, loop, done = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

        async def serve() -> None:
            try:
                async with running_ingest(directory, sources=SOURCES, clock=port.clock, log=port.log) as port.ingest:
                    opened.set()
                    await done.wait()
            finally:
                opened.set()

        serving = threading.Thread(target=loop.run_until_complete, args=[serve()])
        serving.start()
        try:
            assert opened.wait(30)
            yield port
        finally:
            loop.call_soon_threadsafe(done.set)
            serving.join()
            loop.close()
            port.pipeline.close()


def body_of(request: Request) -> bytes:
    if request.json is not msgspec.UNSET:
        body = json.dumps(request.json).encode()
    elif request.base64:
        body = base64.b64decode(request.base64)
    else:
        pieces = [request.body] if isinstance(request.body, str) else request.body
        body = "".join(
            piece if isinstance(piece, str) else "".join(text * times for text, times in piece.items())
            for piece in pieces
        ).encode()
    return gzip.compress(body) if request.gzip else body


def send(port: int, request: Request) -> None:
    """Send a request as it says, and check its answer."""
    headers = dict(request.headers)
    if request.key is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{request.key}:".encode()).decode()
    body = body_of(request)
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    if request.sent == "cut off":
        headers["Content-Length"] = str(len(body) + 1)
    elif request.sent == "when allowed":
        headers |= {"Expect": "100-continue", "Content-Length": str(len(body))}
    pieces = [body[:5], body[5:]] if request.sent == "chunked" else body
    try:
        if request.sent == "when allowed":
            send_when_allowed(connection, request, headers, body)
        else:
            connection.request(request.method, request.path, pieces, headers, encode_chunked=True)
        if request.sent == "cut off":
            connection.sock.shutdown(socket.SHUT_WR)
            assert connection.sock.recv(1) == b""
        else:
            check_answer(connection.getresponse(), request)
    finally:
        connection.close()


def send_when_allowed(connection: HTTPConnection, request: Request, headers: Mapping[str, str], body: bytes) -> None:
    connection.putrequest(request.method, request.path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    allowed = b""
    while not allowed.endswith(b"\r\n\r\n"):
        allowed += connection.sock.recv(1)
    assert allowed.startswith(b"HTTP/1.1 100 ")
    connection.send(body)


def check_answer(answer: HTTPResponse, request: Request) -> None:
    body = answer.read()
    assert answer.status == request.status, body
    if request.method == "HEAD":
        assert body == b""
        return
    assert answer.headers["content-type"] == request.content_type
    if answer.status == 503:
        assert int(answer.headers["retry-after"]) == int(answer.headers["x-ratelimit-reset"]) > 0
    if request.answer is not None:
        image = request.content_type.startswith("image/")
        assert body == (base64.b64decode(request.answer) if image else request.answer.encode())
    elif request.status == 200:
        assert body == b'{"success":true}'
    else:
        refusal = json.loads(body)
        assert set(refusal) == {"success", "error", "code", "message"}
        assert refusal["success"] is False
        assert refusal["error"] == refusal["message"]
        assert refusal["message"].startswith(request.says or "?"), refusal
