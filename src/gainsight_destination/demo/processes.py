"""Starts the sandbox and the server as processes of their own, as a person would, and stops them again."""

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import httpx

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UnavailableError

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0


def free_address(wanted: str) -> str:
    """The wanted HOST:PORT, or one with another port when something else listens there."""
    host, port = wanted.rsplit(":", 1)
    for candidate in (int(port), 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return f"{host}:{probe.getsockname()[1]}"
    raise UnavailableError(f"no port can be opened on {host}")


@dataclass
class Process:
    """A command of this program, running; its output goes to a file."""

    name: str
    arguments: Sequence[str]
    output: Path
    health_url: str
    clock: Clock
    running: "subprocess.Popen[bytes] | None" = None

    async def start(self) -> None:
        """Start it and wait until it is healthy. Raises UnavailableError."""
        running = self.running = self._spawn()
        waited = 0.0
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while waited < START_SECONDS and running.poll() is None:
                try:
                    if (await client.get(self.health_url)).status_code == 200:
                        return
                except httpx.TransportError:  # not listening yet
                    pass
                await self.clock.sleep(0.1)
                waited += 0.1
        raise UnavailableError(f"the {self.name} did not start; its last words are in {self.output}")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.output.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                [sys.executable, "-m", "gainsight_destination", *self.arguments], stdout=output, stderr=output
            )

    def stop(self) -> None:
        """Ask it to stop; end it if it does not."""
        if self.running is None or self.running.poll() is not None:
            return
        self.running.send_signal(signal.SIGTERM)
        try:
            self.running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()

    async def __aenter__(self) -> "Process":
        try:
            await self.start()
        except BaseException:  # not healthy in time, or the demo is stopped while it starts
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
