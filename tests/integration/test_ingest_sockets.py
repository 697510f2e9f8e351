"""What senders do below HTTP's surface: pieces, pipelines, promises to send, silence, and bombs."""

import asyncio
import gzip
import re
import zlib
from pathlib import Path

import pytest
from tests.support.ingest import Ingest, StoppedClock, running_ingest

from gainsight_destination.ingest import limits

KEY = b"Authorization: Basic d2Vic2l0ZS1rZXk6\r\n"
HEAD = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + KEY
BATCH_HEAD = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n" + KEY
CLOSE = b"Connection: close\r\n"


def whole(body: bytes, head: bytes = HEAD + CLOSE) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def bodies(ingest: Ingest) -> list[bytes]:
    return [entry.body for entry in ingest.entries()]


async def test_chunked_bodies_are_accepted(tmp_path: Path) -> None:
    """A body in chunks, of which each comes on its own, is one body."""
    async with running_ingest(tmp_path) as ingest:
        pieces = [b'2\r\n{"\r\n', b'6\r\na":1.5\r\n', b"1\r\n}\r\n", b"0\r\n\r\n"]
        head = HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
        assert statuses(await ingest.exchange(head, *pieces)) == [200]
        assert bodies(ingest) == [b'{"a":1.5}']


async def test_endless_chunks_are_refused_within_bounds(tmp_path: Path) -> None:
    """A chunked body beyond its limit is a 400 once its sender stops, and nothing is kept of it."""
    async with running_ingest(tmp_path) as ingest:
        head = HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
        answer = await ingest.exchange(head, *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 20, b"0\r\n\r\n")
        assert statuses(answer) == [400]
        assert b"Exceed payload limit" in answer
        assert bodies(ingest) == []


async def test_a_too_large_body_is_read_so_that_the_answer_arrives(tmp_path: Path) -> None:
    """The sender of 5 MB finishes sending, reads the 400, and may use the connection again."""
    async with running_ingest(tmp_path) as ingest:
        large = whole(b"x" * 5_000_000, BATCH_HEAD)
        answer = await ingest.exchange(large, whole(b"{}"))
        assert statuses(answer) == [400, 200]


async def test_a_gigantic_announcement_is_refused_at_once(tmp_path: Path) -> None:
    """A body announced beyond what would be read is answered before it comes."""
    async with running_ingest(tmp_path) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(BATCH_HEAD + b"Content-Length: 9000000000\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()


async def test_expect_100_continue(tmp_path: Path) -> None:
    """A sender that waits for permission gets it, and then its 200."""
    async with running_ingest(tmp_path) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(HEAD + CLOSE + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"{}")
        assert statuses(await reader.read()) == [200]
        writer.close()


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Requests sent without waiting are all stored, in their order, and each answered."""
    async with running_ingest(tmp_path) as ingest:
        good = [whole(b'{"a":%d}' % number, HEAD) for number in range(10)]
        answer = await ingest.exchange(b"".join([*good[:5], whole(b"{", HEAD), *good[5:], whole(b"{}")]))
        assert statuses(answer) == [200] * 5 + [400] + [200] * 6
        assert bodies(ingest) == [b'{"a":%d}' % number for number in range(10)] + [b"{}"]


async def test_a_head_byte_by_byte(tmp_path: Path) -> None:
    """However a request is cut into packets, it is the same request."""
    async with running_ingest(tmp_path) as ingest:
        request = whole(b'{"a":1}')
        assert statuses(await ingest.exchange(*[request[i : i + 1] for i in range(len(request))])) == [200]
        assert bodies(ingest) == [b'{"a":1}']


async def test_a_head_behind_a_large_body(tmp_path: Path) -> None:
    """A request is not blamed for the size of what came in the same packet before it."""
    async with running_ingest(tmp_path) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(whole(b'{"batch":["%s"]}' % (b"x" * 2 * limits.HEAD_BYTES), BATCH_HEAD) + HEAD)
        assert statuses(await reader.readuntil(b"}")) == [200]
        writer.write(CLOSE + b"Content-Length: 2\r\n\r\n{}")
        assert statuses(await reader.read()) == [200]
        writer.close()


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """Half a body is not stored, not even when that half is JSON."""
    async with running_ingest(tmp_path) as ingest:
        _, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert statuses(await ingest.exchange(whole(b'{"after":1}'))) == [200]
        assert bodies(ingest) == [b'{"after":1}']


async def test_h2c_upgrade_is_declined_and_the_message_taken(tmp_path: Path) -> None:
    """Clients that offer HTTP/2 on the way are served with HTTP/1.1."""
    async with running_ingest(tmp_path) as ingest:
        offer = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        request = whole(b'{"a":1}', offer)
        for cut in (request[:40], request[40:-3], request[-3:]):
            writer.write(cut)
            await writer.drain()
        assert statuses(await reader.readuntil(b'{"success":true}')) == [200]
        writer.write(whole(b'{"a":2}'))
        assert statuses(await reader.read()) == [200]
        writer.close()
        assert bodies(ingest) == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / FTP\r\n\r\n", b"POST /\xff HTTP/1.1\r\n\r\n"]
)
async def test_what_is_not_http_gets_the_one_error_shape(noise: bytes, tmp_path: Path) -> None:
    """TLS on the plain port, or nonsense: a 400 with a JSON object, and the connection closed."""
    async with running_ingest(tmp_path) as ingest:
        answer = await ingest.exchange(noise)
        assert statuses(answer) == [400]
        assert b'{"success":false,"error":' in answer


async def test_endless_headers_are_cut_off(tmp_path: Path) -> None:
    """A head beyond 64 KB is refused before it ends."""
    async with running_ingest(tmp_path) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(HEAD + b"X: " + b"x" * limits.HEAD_BYTES)
        assert b"400" in await reader.readline()
        assert b"headers are too large" in await reader.read()
        writer.close()


@pytest.mark.parametrize(
    "start",
    [b"", b"POST /v1/tr", HEAD + b"Content-Length: 100\r\n\r\n{", whole(b"{}", HEAD) + b"POST"],
    ids=["silent", "half a head", "half a body", "half a second head"],
)
async def test_a_request_that_never_ends_loses_its_connection(start: bytes, tmp_path: Path) -> None:
    """Slow senders hold a connection for REQUEST_SECONDS, not for ever."""
    clock = StoppedClock()
    async with running_ingest(tmp_path, clock=clock) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(start)
        assert statuses(await ingest.exchange(whole(b"{}"))) == [200]  # what came before has been read by now
        ingest.server.open.look()
        clock.ms += limits.REQUEST_SECONDS * 1_000
        ingest.server.open.look()
        assert not reader.at_eof()
        clock.ms += 1
        ingest.server.open.look()
        await reader.read()
        assert reader.at_eof()
        writer.close()


async def test_an_idle_connection_is_not_stalled(tmp_path: Path) -> None:
    """Between requests a connection may rest; keep-alive has its own limit."""
    clock = StoppedClock()
    async with running_ingest(tmp_path, clock=clock) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(whole(b"{}", HEAD))
        await reader.readuntil(b"}")
        for _ in range(3):
            ingest.server.open.look()
            clock.ms += limits.REQUEST_SECONDS * 2_000
        writer.write(whole(b"{}"))
        assert statuses(await reader.read()) == [200]
        writer.close()


def zipped(body: bytes) -> bytes:
    return whole(body, BATCH_HEAD + CLOSE + b"Content-Encoding: gzip\r\n")


async def test_gzip_bombs_are_refused(tmp_path: Path) -> None:
    """A body that would inflate to a gigabyte is inflated to its limit and no further."""
    async with running_ingest(tmp_path) as ingest:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(packer.compress(b"x" * 1_000_000) for _ in range(300)) + packer.flush()
        assert len(bomb) < limits.BATCH_BYTES
        assert b"Exceed payload limit" in await ingest.exchange(zipped(bomb))
        assert bodies(ingest) == []


async def test_gzip_of_several_members(tmp_path: Path) -> None:
    """Streams in a row are one body, as gzip has it; a swarm of them is refused."""
    async with running_ingest(tmp_path) as ingest:
        assert statuses(await ingest.exchange(zipped(gzip.compress(b'{"batch":') + gzip.compress(b"[1]}")))) == [200]
        assert bodies(ingest) == [b'{"batch":[1]}']
        swarm = zipped(gzip.compress(b"") * 20_000 + gzip.compress(b'{"batch":[1]}'))
        assert b"Malformed gzip content" in await ingest.exchange(swarm)


@pytest.mark.parametrize("damage", ["cut", "garbage after", "flipped"])
async def test_damaged_gzip_is_refused(damage: str, tmp_path: Path) -> None:
    """A stream without its end, with something after it, or with a wrong checksum is malformed."""
    good = gzip.compress(b'{"batch":[1]}')
    damaged = {"cut": good[:-1], "garbage after": good + b"x", "flipped": good[:-6] + b"\x00" + good[-5:]}[damage]
    async with running_ingest(tmp_path) as ingest:
        answer = await ingest.exchange(zipped(damaged))
        assert statuses(answer) == [400]
        assert b"Malformed gzip content" in answer
        assert bodies(ingest) == []


async def test_invalid_utf8_is_mended(tmp_path: Path) -> None:
    """Bytes that are no text become U+FFFD, as at Segment, so that the log can always be decoded."""
    async with running_ingest(tmp_path) as ingest:
        assert statuses(await ingest.exchange(whole(b'{"a":"\xff\xc3\xa9"}'))) == [200]
        assert bodies(ingest) == ['{"a":"\ufffdé"}'.encode()]
