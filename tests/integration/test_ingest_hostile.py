"""What a hostile sender can cost: bounded memory, bounded time, and never somebody else's answer."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.integration.test_eventlog_group_commit import GatedLog
from tests.support.ingest import Ingest, StoppedClock, running_ingest

from gainsight_destination.ingest import limits
from gainsight_destination.ingest.authenticate import basic_user_name, remembered
from gainsight_destination.ingest.server import IngestProtocol
from gainsight_destination.ingest.watermarks import Watermarks

KEY = b"Authorization: Basic d2Vic2l0ZS1rZXk6\r\n"
HEAD = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + KEY
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
READ_BYTES = 256 * 1024
"""What uvloop reads at once."""
DISCONNECTED = (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError)


def whole(body: bytes = b"{}", head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


@asynccontextmanager
async def connected(ingest: Ingest) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def settled(ingest: Ingest) -> None:
    """All that was sent before has been read by the server, as far as it reads."""
    for _ in range(3):
        async with connected(ingest) as (reader, writer):
            writer.write(HEALTH)
            await reader.readuntil(b"}")


def of_server(ingest: Ingest, client: tuple[str, int]) -> IngestProtocol:
    """The server's side of a connection, by the client's address."""
    (found,) = (
        each for each in ingest.server.open.connections if isinstance(each, IngestProtocol) and each.client == client
    )
    return found


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server has closed the connection."""
    came = b""
    with suppress(*DISCONNECTED):
        while piece := await reader.read(65_536):
            came += piece
    return came


async def test_many_small_headers_are_refused(tmp_path: Path) -> None:
    """However short, more than HEADERS headers are a 400, whether they come at once or one by one."""
    async with running_ingest(tmp_path) as ingest:
        enough = HEAD + b"A: b\r\n" * (limits.HEADERS - 5)
        assert statuses(await ingest.exchange(whole(head=enough + b"Connection: close\r\n"))) == [200]
        too_many = HEAD + b"A: b\r\n" * limits.HEADERS
        for pieces in ([whole(head=too_many)], [whole(head=too_many)[i : i + 64] for i in range(0, 1_400, 64)]):
            async with connected(ingest) as (reader, writer):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                answer = await closed(reader)
                assert statuses(answer) == [400]
                assert b"headers are too large" in answer
        assert len(ingest.entries()) == 1


async def test_endless_trailers_are_cut_off(tmp_path: Path) -> None:
    """Headers after a chunked body count too; the body is not stored, for its end did not come."""
    async with running_ingest(tmp_path) as ingest, connected(ingest) as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        with suppress(*DISCONNECTED):
            for _ in range(1_000):
                writer.write(b"A: b\r\n" * 1_000)
                await writer.drain()
        assert statuses(await closed(reader)) in ([400], [])
        assert not ingest.server.open.connections
        assert ingest.entries() == []


async def test_requests_far_ahead_of_their_answers_lose_the_connection(tmp_path: Path) -> None:
    """A pipeline has a length; what is beyond it is not kept waiting."""
    async with running_ingest(tmp_path) as ingest:
        async with connected(ingest) as (reader, writer):
            writer.write(HEALTH * (limits.PIPELINED_REQUESTS + 1))
            for _ in range(limits.PIPELINED_REQUESTS + 1):
                await reader.readuntil(b"}")
        async with connected(ingest) as (reader, writer):
            writer.write(HEALTH * 5_000)
            assert await closed(reader) == b""
        assert not ingest.server.open.connections


async def test_nothing_is_read_while_requests_wait(tmp_path: Path) -> None:
    """What follows requests that are not answered yet stays with its sender, however large."""
    log = GatedLog(tmp_path / "log.db")
    async with running_ingest(tmp_path, log=log) as ingest, connected(ingest) as (reader, writer):
        log.gate.clear()
        writer.write(HEALTH * 20 + whole() + HEAD + b"Content-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
        await settled(ingest)
        protocol = of_server(ingest, writer.get_extra_info("sockname"))
        assert len(protocol.pipeline) == 1
        assert protocol.flow.read_paused
        assert len(protocol.cycle.body) <= READ_BYTES
        log.gate.set()
        answers = b""
        while len(statuses(answers)) < 22:
            answers += await reader.readuntil(b"}")
        assert statuses(answers) == [200] * 21 + [400]


async def test_a_client_that_never_reads_is_dropped(tmp_path: Path) -> None:
    """Its answers fill a small buffer, then it is not read any more, and after REQUEST_SECONDS it is gone."""
    clock = StoppedClock()
    loop = asyncio.get_running_loop()
    async with running_ingest(tmp_path, clock=clock, unwell=lambda: ["x" * 20_000]) as ingest:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", ingest.port))
            await settled(ingest)
            protocol = of_server(ingest, client.getsockname())
            protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            await loop.sock_sendall(client, HEALTH * limits.PIPELINED_REQUESTS)
            await settled(ingest)
            assert protocol.flow.write_paused
            assert protocol.transport.get_write_buffer_size() < 128 * 1024
            ingest.server.open.look()
            clock.ms += limits.REQUEST_SECONDS * 1_000
            ingest.server.open.look()
            assert not protocol.transport.is_closing()
            clock.ms += 1
            ingest.server.open.look()
            await settled(ingest)
            assert protocol not in ingest.server.open.connections


async def test_beyond_the_cap_only_health_is_answered(tmp_path: Path) -> None:
    """Senders are told to come later, load balancers still learn how it is, and the next are dropped unheard."""
    async with running_ingest(tmp_path, max_connections=2) as ingest:
        first, second = [await asyncio.open_connection("127.0.0.1", ingest.port) for _ in range(2)]
        first[1].write(whole())
        assert statuses(await first[0].readuntil(b"}")) == [200]
        with capture_logs() as logs:
            async with connected(ingest) as (reader, writer):
                writer.write(whole())
                answer = await closed(reader)
                assert statuses(answer) == [503]
                assert b"\r\nretry-after: 5\r\n" in answer
                assert b"\r\nconnection: close\r\n" in answer
            async with connected(ingest) as (reader, writer):
                writer.write(HEALTH)
                assert statuses(await closed(reader)) == [200]
            spare = [await asyncio.open_connection("127.0.0.1", ingest.port) for _ in range(limits.SPARE_CONNECTIONS)]
            async with connected(ingest) as (reader, writer):
                writer.write(HEALTH)
                assert await closed(reader) == b""
            assert [line["event"] for line in logs] == ["too many connections, new ones are refused"]
        second[1].write(whole())
        assert statuses(await second[0].readuntil(b"}")) == [200]
        assert len(ingest.entries()) == 2
        for _, writer in (first, second, *spare):
            writer.close()


async def test_a_spare_connection_is_not_kept(tmp_path: Path) -> None:
    """Who says nothing on one of them is closed soon, so that there is always one for /health."""
    clock = StoppedClock()
    async with (
        running_ingest(tmp_path, clock=clock, max_connections=1) as ingest,
        connected(ingest) as (kept, _),
        connected(ingest) as (spare, _),
    ):
        await settled(ingest)
        ingest.server.open.look()
        clock.ms += limits.SPARE_SECONDS * 1_000 + 1
        ingest.server.open.look()
        assert await closed(spare) == b""
        assert not kept.at_eof()


async def test_the_longest_idle_make_room(tmp_path: Path) -> None:
    """A tenth of the connections is kept free for newcomers; who is in the middle of a request stays."""
    clock = StoppedClock()
    async with running_ingest(tmp_path, clock=clock, max_connections=10) as ingest:
        idle = []
        for _ in range(9):
            reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
            writer.write(whole())
            await reader.readuntil(b"}")
            ingest.server.open.look()
            clock.ms += 1_000
            idle.append((reader, writer))
        oldest_again = idle[0]
        oldest_again[1].write(HEAD + b"Content-Length: 2\r\n\r\n{")
        busy = await asyncio.open_connection("127.0.0.1", ingest.port)
        busy[1].write(HEAD)
        await asyncio.sleep(0.05)
        ingest.server.open.look()
        assert await closed(idle[1][0]) == b""
        assert not any(reader.at_eof() for reader, _ in (oldest_again, *idle[2:]))
        oldest_again[1].write(b"}")
        assert statuses(await oldest_again[0].readuntil(b'"success":true}')) == [200]
        for _, writer in (busy, *idle):
            writer.close()


async def test_a_refused_request_leaves_its_connection_usable(tmp_path: Path) -> None:
    """Answered before its body is looked at; the body passes by, is not kept, and the next request is taken."""
    clock = StoppedClock()
    closed_marks = Watermarks(min_free_bytes=10**18)
    async with (
        running_ingest(tmp_path, clock=clock, marks=closed_marks) as ingest,
        connected(ingest) as (reader, writer),
    ):
        writer.write(whole(b'{"pad":"' + b"x" * 300_000 + b'"}'))
        assert b" 429 " in await reader.readuntil(b"}")
        await settled(ingest)
        assert of_server(ingest, writer.get_extra_info("sockname")).is_idle()
        ingest.admission.marks = Watermarks()
        ingest.look()
        writer.write(whole())
        assert b" 200 " in await reader.readuntil(b"}")


def test_long_credentials_are_not_remembered() -> None:
    """Each request may bring other ones, as long as a head may be."""
    before = remembered.cache_info().currsize
    assert basic_user_name(b"Basic " + b"d2Vic2l0ZS1rZXk6" + b"YWFh" * 10_000) == "website-key"
    assert remembered.cache_info().currsize == before


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[" * 30_000, 400), (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 200)],
    ids=["open", "closed"],
)
async def test_nesting_bombs_cost_no_stack(body: bytes, status: int, tmp_path: Path) -> None:
    """What is not JSON is refused; what is too deep is cut, and the message taken."""
    async with running_ingest(tmp_path) as ingest:
        assert statuses(await ingest.exchange(whole(body, HEAD + b"Connection: close\r\n"))) == [status]


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed"),
    [(1_000, 5_000, 100, 100), (300, 5_000, 2_000, 2_000), (300, 1_256, 2_000, 1_000), (200, 256, 10, None)],
)
def test_connections_fit_into_the_open_files(soft: int, hard: int, wanted: int, allowed: int | None) -> None:
    """The limit of the process is raised as far as it may be, and files are kept for what is no connection."""
    code = (
        "import resource, sys; from gainsight_destination.runtime.open_files import allow_connections;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); print(allow_connections({wanted}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if allowed is None:
        assert "ulimit -n" in ran.stderr
    else:
        assert int(ran.stdout.split()[-1]) == allowed
        assert ("fewer connections than asked for" in ran.stdout) == (allowed < wanted)
