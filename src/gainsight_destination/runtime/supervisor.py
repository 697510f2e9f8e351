"""Keeps the engine process running for as long as the ingest process runs.

A crashed engine is started again, later each time; meanwhile messages go on being accepted, since they only need the
log. An engine that says it cannot go on (exit code 78) is not: the whole `serve` ends then.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from subprocess import Popen

import msgspec
import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.observe import metrics
from gainsight_destination.runtime.child import start_child
from gainsight_destination.runtime.link import STOP_SECONDS, IngestReport

CANNOT_GO_ON = 78
"""The engine's exit code for StoppedError (EX_CONFIG of sysexits.h)."""

FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""An engine that ran this long is started again without delay of earlier crashes."""

logger = structlog.get_logger(__name__)


class EngineSupervisor:
    """Starts `command`, watches it, and speaks to it through its standard input (see runtime/link.py).

    `started` is a process of this command that runs already.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        clock: Clock,
        pass_fds: Sequence[int] = (),
        started: "Popen[bytes] | None" = None,
    ) -> None:
        self._command = command
        self._clock = clock
        self._pass_fds = pass_fds
        self._started = started
        self._process: Popen[bytes] | None = None
        self._report = self._unsent = b""
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
        process, self._started = self._started or start_child(self._command, self._pass_fds), None
        assert process.stdin is not None
        with process.stdin as pipe:
            os.set_blocking(pipe.fileno(), False)
            self._process, self._unsent = process, self._report
            self._send()
            if self._stopping:
                process.terminate()
            self._trouble = None
            return await asyncio.to_thread(process.wait)

    def tell(self, report: IngestReport) -> None:
        """Send a report; one that the engine has no time to read is left out. The first lets it begin."""
        self._report = msgspec.json.encode(report) + b"\n"
        self._send()
        if not self._unsent:
            self._unsent = self._report
            self._send()

    def _send(self) -> None:
        """Write as much of what is begun as the pipe takes now."""
        if self._unsent and self._process is not None and self._is_alive():
            assert self._process.stdin is not None
            with suppress(BlockingIOError, BrokenPipeError):
                self._unsent = self._unsent[os.write(self._process.stdin.fileno(), self._unsent) :]

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
        """Whether it runs, as far as its waiting thread knows."""
        return self._process is not None and self._process.returncode is None

    def _signal(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
