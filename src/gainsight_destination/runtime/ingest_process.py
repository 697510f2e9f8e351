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
from typing import Any

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.server import IngestServer
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.observe import metrics
from gainsight_destination.runtime.link import IngestReport
from gainsight_destination.runtime.options import Address, address_of
from gainsight_destination.runtime.supervisor import EngineSupervisor
from gainsight_destination.workspace.model import Source

REPORT_SECONDS = 1.0

ENGINE_STOPPED = 1
"""Exit code when the engine cannot go on."""
BROKEN = 70
"""Exit code when a part failed that never should (EX_SOFTWARE of sysexits.h)."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """Where the product can be reached, and whether anything may write yet."""

    ingest: Address
    console: Address
    has_sources: bool


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
        read_sources: Callable[[sqlite3.Connection], Iterable[Source]],
        clock: Clock,
        announce: Callable[[Started], None],
        public_url: PublicUrl | None = None,
    ) -> None:
        self._clock = clock
        self._commits = GroupCommit(log, clock=clock)
        self._sources = StoredSources(state_path, clock=clock, read_sources=read_sources)
        self._sources.refresh()
        self._supervisor = EngineSupervisor(engine_command, clock=clock, pass_fds=[console.fileno()])
        app = IngestApp(
            log=self._commits, sources=self._sources, clock=clock, unwell=self.troubles, public_url=public_url
        )
        started = Started(address_of(ingest), address_of(console), has_sources=not self._sources.is_empty())
        self._server = IngestServer(app, ingest, clock=clock, opened=lambda: announce(started))

    async def run(self) -> int:
        """Serve until TERM or INT, or until a part ends by itself; then drain and return the exit code."""
        serving = asyncio.create_task(self._server.run_until_stopped(), name="public port")
        engine = asyncio.create_task(self._supervisor.run(), name="engine")
        watching = {
            asyncio.create_task(self._sources.watch(), name="sources"),
            asyncio.create_task(self._tell_engine(), name="reports"),
        }
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
        return troubles

    async def _tell_engine(self) -> None:
        """Report to the engine, which owns the private port, again and again."""
        while True:
            self._supervisor.tell(IngestReport(metrics.text_of(metrics.INGEST), tuple(self._own_troubles())))
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
