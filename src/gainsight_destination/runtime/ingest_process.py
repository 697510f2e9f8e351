"""The ingest process: owns the public port and the event log, and keeps the engine process running.

It promises that stopping loses nothing: on TERM or INT it accepts no more, answers the requests under way (10 seconds
at most), writes what waits for the log, stops the engine (15 seconds at most), and ends with exit code 0.
"""

import asyncio
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.ingest.admission import Admission
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.ingest.levels import LevelWatch, refused_now
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.server import IngestServer
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.ingest.watermarks import Watermarks
from gainsight_destination.observe import metrics
from gainsight_destination.runtime.link import IngestReport
from gainsight_destination.runtime.options import Address, address_of
from gainsight_destination.runtime.supervisor import EngineSupervisor
from gainsight_destination.workspace.model import Source

if TYPE_CHECKING:
    from gainsight_destination.ingest.tls import Tls

REPORT_SECONDS = 1.0

ENGINE_STOPPED = 1
"""Exit code when the engine cannot go on."""
BROKEN = 70
"""Exit code when a part failed that never should (EX_SOFTWARE of sysexits.h)."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """Where the product can be reached, and whether anything may write yet."""

    ingest_url: str
    console_url: str
    public_url: PublicUrl | None
    has_sources: bool
    console_hosts: tuple[str, ...] = ()
    """Names under which the private port is reached, beside those of loopback."""
    setup_word: str | None = None
    """Opens the page that makes the first person; None: somebody is there already."""

    @property
    def sdk_url(self) -> str:
        """Where SDKs send to."""
        return self.ingest_url if self.public_url is None else str(self.public_url)

    @property
    def setup_url(self) -> str | None:
        return None if self.setup_word is None else f"{self.console_url}/setup/{self.setup_word}"


def hosts_of(console: Address, console_url: PublicUrl | None) -> set[str]:
    """The names that a browser may ask the private port by; a wildcard address is no name."""
    found = set() if console.host in ("0.0.0.0", "::") else {console.host.lower()}  # noqa: S104 - a comparison
    return found | ({urlsplit(str(console_url)).hostname or ""} if console_url else set())


class IngestProcess:
    """The parts of the ingest process on one event loop. `ingest` is bound, `console` belongs to the engine."""

    def __init__(
        self,
        log: EventLog,
        state_path: Path,
        *,
        ingest: socket.socket,
        console: socket.socket,
        engine_command: Sequence[str],
        engine: "Popen[bytes] | None" = None,
        read_sources: Callable[[sqlite3.Connection], Iterable[Source]],
        clock: Clock,
        marks: Watermarks,
        max_connections: int,
        announce: Callable[[Started], None],
        public_url: PublicUrl | None = None,
        console_url: PublicUrl | None = None,
        setup_word: str | None = None,
        tls: "Tls | None" = None,
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._commits = GroupCommit(log, clock=clock)
        self._sources = StoredSources(state_path, clock=clock, read_sources=read_sources)
        self._sources.refresh()
        self._admission = Admission(clock, marks)
        self._levels = LevelWatch(self._admission, log, state_path, self._sources, clock=clock)
        self._levels.judge(self._levels.look())
        self._levels.tell()
        self._supervisor = EngineSupervisor(engine_command, clock=clock, pass_fds=[console.fileno()], started=engine)
        app = IngestApp(
            log=self._commits,
            sources=self._sources,
            clock=clock,
            admission=self._admission,
            unwell=self.troubles,
            public_url=public_url,
            certificate_expires=lambda: tls.expires() if tls else None,
        )
        ingest_url = address_of(ingest).url("https" if tls else "http")
        has_sources = not self._sources.is_empty()
        started = self._started = Started(
            ingest_url,
            address_of(console).url() if console_url is None else str(console_url),
            public_url=public_url,
            has_sources=has_sources,
            console_hosts=tuple(hosts_of(address_of(console), console_url)),
            setup_word=setup_word,
        )
        self._server = IngestServer(
            app,
            ingest,
            clock=clock,
            opened=lambda: announce(started),
            max_connections=max_connections,
            tls=tls.context if tls else None,
        )

    async def run(self) -> int:
        """Serve until TERM or INT, or until a part ends by itself; then drain and return the exit code."""
        serving = asyncio.create_task(self._server.run_until_stopped(), name="public port")
        engine = asyncio.create_task(self._supervisor.run(), name="engine")
        watching = {
            asyncio.create_task(self._sources.watch(), name="sources"),
            asyncio.create_task(self._levels.watch(), name="levels"),
            asyncio.create_task(self._tell_engine(), name="reports"),
        }
        if self._tls is not None:
            watching.add(asyncio.create_task(self._tls.watch(), name="certificate"))
        asked = asyncio.create_task(stop_signal(), name="stop signal")
        done, _ = await asyncio.wait({serving, engine, asked, *watching}, return_when=asyncio.FIRST_COMPLETED)
        code = 0 if asked in done else exit_code(done, engine)
        logger.info("stopping", exit_code=code)
        for task in (asked, *watching):
            task.cancel()
        self._server.stop()
        await asyncio.wait({serving})
        await self._commits.close()
        await self._supervisor.stop(engine)
        return code

    def troubles(self) -> list[str]:
        """What keeps the product from working, in plain words; empty when all is well."""
        return [*self._own_troubles(), *self._supervisor.reasons()]

    def _own_troubles(self) -> list[str]:
        troubles = self._sources.troubles()
        if failure := self._commits.failure:
            troubles.append(f"the event log cannot be written since {iso_utc(failure.since_ms)}: {failure.reason}")
        if closed := self._admission.closed:
            troubles.append(f"all messages are refused since {iso_utc(closed.since_ms)}: {closed.refusal.words}")
        if (since_ms := self._server.open.crowded_since_ms) is not None:
            troubles.append(
                f"new connections are refused since {iso_utc(since_ms)}: "
                f"no more than {self._server.open.max_connections:,} may be open (--max-connections)"
            )
        return [*troubles, *self._tls.troubles()] if self._tls else troubles

    def _notes(self) -> list[str]:
        """What a person may want to know though the product works."""
        return [
            f'source "{name}" is refused since {iso_utc(told["since"])}: {told["words"]}'
            for name, told in refused_now(self._admission)["sources"].items()
        ]

    async def _tell_engine(self) -> None:
        """Report to the engine, which owns the private port, again and again."""
        while True:
            text, troubles, notes = metrics.text_of(metrics.INGEST), self._own_troubles(), self._notes()
            told = self._started
            self._supervisor.tell(IngestReport(text, tuple(troubles), tuple(notes), told.sdk_url, told.console_hosts))
            await self._clock.sleep(REPORT_SECONDS)


async def stop_signal() -> None:
    """Return when this process is asked to stop, by TERM or INT."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


def exit_code(done: Iterable["asyncio.Task[Any]"], engine: "asyncio.Task[int]") -> int:
    """The exit code when parts ended that nobody asked to end."""
    for task in done:
        if error := task.exception():
            logger.error("part failed", failed=task.get_name(), exc_info=error)
            return BROKEN
    if engine.done():
        logger.error("engine cannot go on; see its last lines")
        return ENGINE_STOPPED
    return BROKEN
