"""Keeps the engine process running for as long as the ingest process runs.

A crashed engine is started again, later each time; meanwhile messages go on being accepted, since they only need the
log. An engine that says it cannot go on (exit code 78) is not: the whole `serve` ends then.
"""

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

import msgspec
import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.observe import metrics
from gainsight_destination.runtime.link import STOP_SECONDS, IngestReport

CANNOT_GO_ON = 78
"""The engine's exit code for StoppedError (EX_CONFIG of sysexits.h)."""

FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""An engine that ran this long is started again without delay of earlier crashes."""

logger = structlog.get_logger(__name__)


class EngineSupervisor:
    """Starts `command`, watches it, and speaks to it through its standard input (see runtime/link.py)."""

    def __init__(self, command: Sequence[str], *, clock: Clock, pass_fds: Sequence[int] = ()) -> None:
        self._command = command
        self._clock = clock
        self._pass_fds = tuple(pass_fds)
        self._process: Process | None = None
        self._stopping = False
        self._trouble: str | None = "it is being started"

    def reasons(self) -> list[str]:
        """Why the engine does not run, in plain words; empty when it does."""
        return [f"the engine is not running: {self._trouble}"] if self._trouble else []

    async def run(self) -> int:
        """Keep the engine running until `stop`; return the exit code of the last one."""
        delay_seconds = FIRST_RESTART_SECONDS
        while True:
            started_ms = self._clock.now_ms()
            code = await self._run_once()
            if self._stopping or code == CANNOT_GO_ON:
                self._trouble = f"it ended with exit code {code}"
                return code
            if self._clock.now_ms() - started_ms >= STEADY_SECONDS * 1_000:
                delay_seconds = FIRST_RESTART_SECONDS
            metrics.engine_restarts.inc()
            logger.error("engine ended", exit_code=code, restart_in_seconds=delay_seconds)
            self._trouble = f"it ended with exit code {code} and is started again in {delay_seconds:g} seconds"
            await self._clock.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, LONGEST_RESTART_SECONDS)

    async def _run_once(self) -> int:
        # Of its own session, so that Ctrl-C reaches it only through us, after the last request was stored.
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, pass_fds=self._pass_fds, start_new_session=True
        )
        if self._stopping:
            self._process.terminate()
        self._trouble = None
        return await self._process.wait()

    def tell(self, report: IngestReport) -> None:
        """Send a report; one that the engine has no time to read is left out."""
        pipe = self._process.stdin if self._process and self._process.returncode is None else None
        if pipe is not None and not pipe.is_closing() and not pipe.transport.get_write_buffer_size():
            pipe.write(msgspec.json.encode(report) + b"\n")

    async def stop(self, running: "asyncio.Task[int]") -> None:
        """Ask the engine to stop; end it when that takes longer than STOP_SECONDS. `running` is the task of `run`."""
        self._stopping = True
        if self._is_alive():
            self._signal(signal.SIGTERM)
        else:
            running.cancel()
        done, _ = await asyncio.wait({running}, timeout=STOP_SECONDS)
        if not done:
            logger.error("engine did not stop in time", seconds=STOP_SECONDS)
            self._signal(signal.SIGKILL)
            await asyncio.wait({running})

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _signal(self, signal_number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal_number)
