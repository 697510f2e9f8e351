"""Whatever comes: the public port never breaks, and nothing good is lost beside something bad."""

import base64
import gzip
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.edge_cases import Port, running_port

from gainsight_destination.events.message import Discarded, Message, decode_body, read_entry
from gainsight_destination.events.original import original_of
from gainsight_destination.resolve.resolver import INTERNAL_ERROR

pytestmark = pytest.mark.soak

SINGLES = ("identify", "track", "group", "page", "screen", "alias")
PATHS = [f"/v1/{name}" for name in (*SINGLES, *(name[0] for name in SINGLES), "batch", "import", "b", "m")]
QUERY_PATHS = [f"/v1/{path}" for name in SINGLES for path in (name[0], f"pixel/{name}")] + ["/v1/b"]
KEY = b"Basic " + base64.b64encode(b"website-key:")
NAMES = st.sampled_from(
    [
        *("type", "userId", "anonymousId", "groupId", "previousId", "messageId", "event", "name", "category"),
        *("timestamp", "originalTimestamp", "sentAt", "context", "integrations", "properties", "traits", "writeKey"),
        *("consent", "categoryPreferences", "channel"),
        *("batch", "accountId", "email", "Gainsight", "All", "", "ü", "\\ud83d"),
    ]
)
TEXTS = st.sampled_from(
    [
        *(
            "track",
            "identify",
            "group",
            "page",
            "screen",
            "alias",
            "u1",
            "",
            " ",
            "2026-11-23T10:00:00Z",
            "2014",
            "soon",
        ),
        *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "20262", "\\ud83d", "\\ud83d\\ude00", "\\u0000"),
        *('\\"', "NaN", "x" * 300, "a@b.test", "\ufffd", "\u2028"),
    ]
)
NUMBERS = st.sampled_from(
    [
        *("0", "-1", "-0", "1.5", "1e999", "-1e999", "1E-999", "1795432604724", "1e18", "9" * 30, "⟦9×5000⟧"),
        *("NaN", "Infinity", "-Infinity"),
    ]
)
LEAVES = st.one_of(TEXTS.map('"{}"'.format), NUMBERS, st.sampled_from(["null", "true", "false"]))


def lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda some: f"[{','.join(some)}]")


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON objects, perhaps with a name twice."""
    pairs = st.tuples(NAMES, values).map(lambda pair: f'"{pair[0]}":{pair[1]}')
    return st.lists(pairs, max_size=6).map(lambda some: "{" + ",".join(some) + "}")


DEEP = st.builds(
    "⟦{}×{}⟧".format,
    st.sampled_from(["[", '{"a":', '[{"userId":']),
    st.sampled_from([400, 960, 970, 980, 990, 1_000, 3_000]),
)
VALUES = st.recursive(LEAVES, lambda inner: lists(inner) | objects(inner), max_leaves=10) | DEEP
"""JSON as text: what libraries write, what only some of them write, and what is nested deeply.

What is long is written short, `⟦[×15000⟧`, until `written` writes it in full.
"""
MESSAGES = objects(VALUES)


def batch_of(envelope: str, items: Sequence[str]) -> str:
    """The object with these items as its `batch`, whatever else it holds."""
    opened = envelope[:-1].replace('"batch":', '"other":')
    return f'{opened}{"," if opened != "{" else ""}"batch":[{",".join(items)}]}}'


BATCHES = st.builds(batch_of, MESSAGES, st.lists(MESSAGES | VALUES, max_size=4))


def written(text: str) -> bytes:
    def in_full(short: re.Match[str]) -> str:
        opening, times = short[1], int(short[2])
        closing = "".join({"[": "]", "{": "}"}.get(character, "") for character in reversed(opening))
        return opening * times + "1" + closing * times

    return re.sub("⟦(.+?)×([0-9]+)⟧", in_full, text).encode()


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Good, odd, mutilated and meaningless bodies."""
    body = written(draw(st.one_of(BATCHES, MESSAGES, VALUES)))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 3))
        body = body[:start] + draw(st.binary(max_size=3)) + body[end:]
    return draw(st.sampled_from([body, body, body, b"\xef\xbb\xbf" + body]) | st.binary())


@st.composite
def packed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(body, Content-Encoding), which need not fit each other."""
    body = draw(bodies())
    encoding = draw(st.sampled_from([b"", b"", b"gzip", b"gzip", b" GZIP ", b"identity", b"deflate", b"gzip, br"]))
    if draw(st.booleans()) == (b"gzip" in encoding.lower()):
        body = gzip.compress(body)
        start = draw(st.integers(0, len(body)))
        body = draw(st.sampled_from([body, body, body[:start], body[:start] + b"x" + body[start + 1 :], body * 2]))
    return body, encoding


VALUES_OF_HEADERS = st.binary(max_size=40).map(lambda value: re.sub(rb"[\r\n\0]", b"", value))
KEYS = st.sampled_from([KEY, KEY, KEY, b"Bearer x", b"Basic", b"Basic =", b"Basic w7w6"]) | VALUES_OF_HEADERS
OTHER_HEADERS = st.dictionaries(
    st.sampled_from([b"Origin", b"Content-Type", b"X-Retry-Count", b"X-Forwarded-Proto", b"Host", b"Cookie"]),
    VALUES_OF_HEADERS,
)


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with running_port() as port:
        yield port


def exchange(port: Port, sent: bytes, *, leave: bool = False) -> bytes:
    """What the port answers until it closes the connection; the sender may `leave` when it has sent all."""
    with socket.create_connection(("127.0.0.1", port.ingest.port), timeout=30) as connection:
        answer = b""
        try:
            connection.sendall(sent)
            if leave:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionError:  # refused in the middle: what was answered before that counts
            pass
        return answer


def request(path: str, body: bytes, headers: Mapping[bytes, bytes] | None = None, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Connection: close", b"Content-Length: %d" % len(body)]
    lines += [name + b": " + value for name, value in ({b"Authorization": KEY} | dict(headers or {})).items()]
    return b"\r\n".join([*lines, b"", body])


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"(?:\A|(?<=\}))HTTP/1\.1 (\d{3})", answer)]


def read_on(port: Port, offset: int) -> Sequence[Message | Discarded]:
    """The messages from an offset on: of each entry as many as were counted, and the resolver takes them all."""
    read: list[Message | Discarded] = []
    for logged in port.pipeline.log.read(offset, max_messages=10**6):
        items = list(read_entry(logged))
        assert [item.offset for item in items] == list(range(logged.offset, logged.end))
        read += items
        for item in items:
            if isinstance(item, Message):
                original = original_of(logged, item.offset, "website")
                assert original is not None
                assert decode_body(original)["messageId"] == item.message_id
    port.pipeline.resolve()
    assert port.pipeline.query("SELECT 1 FROM books WHERE reason = ?", INTERNAL_ERROR) == []
    return read


@given(path=st.sampled_from(PATHS), sent=packed(), key=KEYS, headers=OTHER_HEADERS)
def test_any_body_is_taken_or_refused(
    port: Port, path: str, sent: tuple[bytes, bytes], key: bytes, headers: dict[bytes, bytes]
) -> None:
    """200 or 400, never a 500; what was taken is read to the last message, what was refused leaves nothing."""
    before = port.pipeline.log.end()
    body, encoding = sent
    headers = headers | {b"Authorization": key, b"Content-Encoding": encoding}
    (status,) = statuses(exchange(port, request(path, body, headers)))
    assert status in (200, 400)
    taken = len(read_on(port, before))
    assert status == 200 or taken == 0


QUERIES = st.one_of(
    bodies().map(base64.b64encode).map(lambda data: b"data=" + data),
    st.dictionaries(NAMES | st.just("properties.a.b"), TEXTS | st.text(max_size=9)).map(
        lambda f: urlencode(f).encode()
    ),
    st.binary().map(lambda raw: re.sub(rb"[\x00-\x20#\x7f-\xff]", b"", raw)),
)


@given(
    path=st.sampled_from(QUERY_PATHS),
    query=st.lists(QUERIES, max_size=3).map(lambda queries: b"&".join(queries)[:30_000]),  # a head has 64 KB
    key=st.sampled_from([b"", b"&writeKey=website-key", b"&callback=f", b"&callback=f("]),
)
def test_any_query_is_taken_or_refused(port: Port, path: str, query: bytes, key: bytes) -> None:
    """A GET is answered 200 or 400, a pixel always 200; what was taken is read to the last message."""
    before = port.pipeline.log.end()
    sent = b"GET %b?%b%b HTTP/1.1\r\nConnection: close\r\nAuthorization: %b\r\n\r\n" % (path.encode(), query, key, KEY)
    (status,) = statuses(exchange(port, sent))
    assert status == 200 or (status == 400 and "pixel" not in path)
    taken = len(read_on(port, before))
    assert status == 200 or taken == 0


@given(st.binary() | st.builds(bytes.join, st.sampled_from([b"\r\n", b" ", b":"]), st.lists(st.binary(max_size=9))))
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(b"CONNECT x:1 HTTP/1.1\r\n\r\n")
@example(b"GET http://[ HTTP/1.1\r\n\r\n")
@example(b"POST /v1/track HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}")
@example(b"POST /v1/track HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
@example(b"POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")
@example(b"POST /\xff%ff?\xff HTTP/1.1\r\n\r\n")
def test_any_bytes_are_answered_or_dropped(port: Port, sent: bytes) -> None:
    """What is no HTTP is refused in the one shape of errors or dropped, and the next sender notices nothing."""
    before = port.pipeline.log.end()
    assert set(statuses(exchange(port, sent, leave=True))) <= {400, 404}
    good = json.dumps({"userId": "u", "event": "Seen"}).encode()
    assert statuses(exchange(port, request("/v1/track", good))) == [200]
    assert len(read_on(port, before)) == 1


def good(number: int) -> dict[str, Any]:
    return {"type": "track", "userId": f"u{number}", "event": "Seen", "properties": {"accountId": "001A0000006Vm9rIAC"}}


@given(envelope=MESSAGES, bad=VALUES | MESSAGES, place=st.integers(0, 3))
@example(envelope="{}", bad='{"type":["track"]}', place=1)
@example(envelope='{"context":⟦[{"userId":×15000⟧}', bad="⟦[×15000⟧", place=2)
@example(envelope='{"sentAt":1e999}', bad='{"integrations":{"x":1e999}}', place=0)
def test_good_messages_survive_a_bad_one(port: Port, envelope: str, bad: str, place: int) -> None:
    """A batch of good messages with one that is anything: 200, and all the good ones are read, whatever it is."""
    before = port.pipeline.log.end()
    items = [json.dumps(good(number)) for number in range(3)]
    items.insert(place, bad)
    body = written(batch_of(envelope, items))
    assert statuses(exchange(port, request("/v1/batch", body))) == [200]
    read = [*read_on(port, before)]
    assert len(read) == 4
    del read[place]
    found = [item.user_id if isinstance(item, Message) else item.reason for item in read]
    assert found == [f"u{number}" for number in range(3)]
