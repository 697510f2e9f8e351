"""The processes of `serve`: one per data directory, an engine that is kept running, and a stop that loses nothing."""

import asyncio
import json
import os
import select
import signal
import sys
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gainsight_destination.errors import UserError
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest.listen import listen
from gainsight_destination.runtime.link import IngestReport, ParentLink
from gainsight_destination.runtime.lock import LockedError, RoleLock
from gainsight_destination.runtime.options import Address, Retention
from gainsight_destination.runtime.supervisor import CANNOT_GO_ON, EngineSupervisor
from gainsight_destination.runtime.testing import running_serve, write_sources
from gainsight_destination.workspace.model import Source

AUTH = ("key", "")


class QuickClock:
    """Nobody waits: sleeping only lets others run, and time moves by what was slept."""

    def __init__(self) -> None:
        self.ms = 0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ms += round(seconds * 1_000)
        await asyncio.sleep(0)


class WaitingClock(QuickClock):
    """Whoever sleeps, sleeps on; the test learns of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await asyncio.Event().wait()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_one_role_per_data_directory(tmp_path: Path) -> None:
    """The second holder is refused with the process id of the first; another role is free; the end frees it."""
    refused = pytest.raises(LockedError, match=f"process {os.getpid()}")
    with RoleLock(tmp_path, "ingest"), RoleLock(tmp_path, "engine"), refused, RoleLock(tmp_path, "ingest"):
        pass
    with RoleLock(tmp_path, "ingest"):
        pass


def test_two_serves_cannot_share_a_data_directory(tmp_path: Path) -> None:
    """The second `serve` ends by itself and the first goes on."""
    write_sources(tmp_path / "state.db", [Source(1, "website", "key")])
    with running_serve(tmp_path) as first:
        with pytest.raises(RuntimeError, match="exit code 1"), running_serve(tmp_path):
            pass
        answer = httpx.post(f"http://{first.host}:{first.port}/v1/track", content=b"{}", auth=AUTH)
        assert answer.status_code == 200
        assert first.stop() == 0


def test_term_drains_and_exits_0(tmp_path: Path) -> None:
    """After TERM everything acknowledged is in the log, and the exit code is 0."""
    write_sources(tmp_path / "state.db", [Source(1, "website", "key")])
    with running_serve(tmp_path) as serve, httpx.Client(base_url=f"http://{serve.host}:{serve.port}") as client:
        for number in range(20):
            assert client.post("/v1/track", content=b"%d" % number, auth=AUTH).status_code == 400
            assert client.post("/v1/track", json={"n": number}, auth=AUTH).status_code == 200
        assert client.get("/health").json() == {"status": "ok"}
        assert serve.stop() == 0
    with closing(SqliteEventLog(tmp_path / "log.db", read_only=True)) as log:
        bodies = [json.loads(logged.entry.body) for logged in log.read(0, max_messages=100)]
    assert bodies == [{"n": number} for number in range(20)]


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    """The message names the address."""
    with closing(listen("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen("127.0.0.1", port)


async def test_a_crashed_engine_is_started_again_later_each_time(tmp_path: Path) -> None:
    """Restarts wait longer and longer, and end when the engine says that it cannot go on."""
    code = (
        "import os, sys; runs = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND); os.write(runs, b'x');"
        f"sys.exit({CANNOT_GO_ON} if os.fstat(runs).st_size == 5 else 3)"
    )
    clock = QuickClock()
    supervisor = EngineSupervisor([*python(code), str(tmp_path / "runs")], clock=clock)
    assert supervisor.reasons() == ["the engine is not running: it is being started"]
    assert await supervisor.run() == CANNOT_GO_ON
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]
    assert supervisor.reasons() == [f"the engine is not running: it ended with exit code {CANNOT_GO_ON}"]


async def test_a_running_engine_hears_reports_and_the_end() -> None:
    """Reports come as lines on standard input; TERM ends it."""
    heard, say = os.pipe()
    code = (
        f"import os, sys; os.write({say}, b'up'); os.write({say}, sys.stdin.buffer.readline()); sys.stdin.buffer.read()"
    )
    supervisor = EngineSupervisor(python(code), clock=QuickClock(), pass_fds=[say])
    running = asyncio.create_task(supervisor.run())
    assert await asyncio.to_thread(os.read, heard, 2) == b"up"
    assert supervisor.reasons() == []
    supervisor.tell(IngestReport(metrics="m 1\n", reasons=("full",), notes=("busy",)))
    assert json.loads(await asyncio.to_thread(os.read, heard, 1_000)) == {
        "metrics": "m 1\n",
        "reasons": ["full"],
        "notes": ["busy"],
        "ingest_url": "",
        "console_hosts": [],
    }
    await supervisor.stop(running)
    assert running.result() == -signal.SIGTERM
    os.close(heard)
    os.close(say)


async def test_stopping_while_a_restart_is_due_does_not_wait() -> None:
    """An engine that is down stays down once `serve` is asked to stop."""
    clock = WaitingClock()
    supervisor = EngineSupervisor(python("import sys; sys.exit(3)"), clock=clock)
    running = asyncio.create_task(supervisor.run())
    await clock.asleep.wait()
    assert supervisor.reasons() == [
        "the engine is not running: it ended with exit code 3 and is started again in 0.5 seconds"
    ]
    await supervisor.stop(running)
    assert running.cancelled()


def test_the_engine_reads_reports_until_its_parent_is_gone() -> None:
    """The newest report counts, a line cut off by the parent's death does not, and the end is noticed."""
    gone = threading.Event()
    link = ParentLink()
    hear, say = os.pipe()
    reading = link.follow(hear, gone=gone.set)
    os.write(say, b'{"metrics":"a 1"}\n{"metrics":"a 2","reasons":["full"]}\n{"metr')
    os.close(say)
    reading.join(10)
    assert gone.is_set()
    assert link.report == IngestReport("a 2", ("full",))
    os.close(hear)


def test_a_killed_serve_takes_its_engine_along(tmp_path: Path) -> None:
    """The engine's pipe ends with its parent, however that died, and then the engine ends too."""
    with running_serve(tmp_path) as serve:
        children = Path(f"/proc/{serve.process.pid}/task/{serve.process.pid}/children")
        while not (engines := children.read_text().split()):
            pass
        engine = os.pidfd_open(int(engines[0]))
        serve.kill()
        poller = select.poll()
        poller.register(engine, select.POLLIN)
        assert poller.poll(10_000), "the engine outlived its parent"
        os.close(engine)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8080", Address("127.0.0.1", 8080)), ("[::1]:0", Address("::1", 0)), ("host:1", Address("host", 1))],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    """HOST:PORT, IPv6 in brackets."""
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["8080", ":8080", "host:", "host:port", "host:65536", "host:-1"])
def test_wrong_addresses_are_refused(text: str) -> None:
    """The message shows how it is written."""
    with pytest.raises(UserError, match="HOST:PORT"):
        Address.parse(text)


def test_retention_is_days_and_gigabytes() -> None:
    """Days count back from now; a gigabyte is 10^9 bytes."""
    retention = Retention(days=2, gigabytes=0.5)
    assert retention.older_than_ms(200_000_000) == 200_000_000 - 172_800_000
    assert retention.max_bytes() == 500_000_000
