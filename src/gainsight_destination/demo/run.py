"""The demo from start to end: processes up, traffic sent, everything delivered, books and Gainsight checked."""

import asyncio
import json
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gainsight_destination.cli.app import PROGRAM
from gainsight_destination.cli.console import console
from gainsight_destination.clock import Clock, SystemClock
from gainsight_destination.demo.processes import Process, free_address
from gainsight_destination.demo.sample import WANTED_EVENTS, Sample, make_sample
from gainsight_destination.demo.send import Sender
from gainsight_destination.demo.summary import summary_lines
from gainsight_destination.demo.verify import GainsightState, verify
from gainsight_destination.errors import UnavailableError, UserError
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.observe.status import status
from gainsight_destination.store.database import connect

ACCESS_KEY: Final = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
WRITE_KEYS: Final = {"website": "demo-website-key", "server": "demo-server-key"}
DELIVERED_WITHIN_SECONDS: Final = 300.0

WORKSPACE: Final = """\
sources:
  - name: website
    writeKey: {website}
  - name: server
    writeKey: {server}
destinations:
  - name: gainsight
    type: gainsight
    sources: [website, server]
    settings:
      accessKey: {access_key}
      domain: {domain}
      flushSeconds: 10
      events: {events}
"""


def program() -> str:
    """How this program was called, so that its other commands can be called likewise."""
    called = Path(sys.argv[0])
    return str(called) if called.name == PROGRAM else PROGRAM


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the demo's three ports are."""

    ingest: str
    console: str
    sandbox: str


def run_demo(data: Path | None, *, stay: bool) -> bool:
    """Run the demo; whether everything came out right. Raises UserError, UnavailableError."""
    if data is not None and data.exists() and any(data.iterdir()):
        raise UserError(f"{data} is not empty; name a new directory for the demo")
    with tempfile.TemporaryDirectory(prefix="gainsight-demo-") as temporary:
        directory = data or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return asyncio.run(_Demo(directory, SystemClock()).run(stay=stay))
        except asyncio.CancelledError:  # TERM ends it as Ctrl-C does
            raise KeyboardInterrupt from None


class _Demo:
    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._at = Addresses(
            free_address("127.0.0.1:8080"), free_address("127.0.0.1:8081"), free_address("127.0.0.1:8090")
        )
        self._sandbox_url = f"http://{self._at.sandbox}"

    async def run(self, *, stay: bool) -> bool:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with AsyncExitStack() as running:
            console.print("Starting a Gainsight sandbox and a server ...")
            await running.enter_async_context(self._sandbox())
            state = GainsightState(self._sandbox_url)
            accounts = await state.accounts()
            await running.enter_async_context(self._serve())
            sample = make_sample(accounts, datetime.now(UTC))
            console.print(f"Sending {len(sample.calls):,} calls through segment-analytics-python ...")
            problems = await self._send(sample)
            document = await self._delivered(sample)
            problems += await verify(sample.expected, document, state)
            for line in summary_lines(document, await state.counts(), problems):
                console.print(line)
            if stay:
                await self._stay(sample.showcase_message_id)
        return not problems

    async def _send(self, sample: Sample) -> list[str]:
        sender = Sender(f"http://{self._at.ingest}", WRITE_KEYS)
        try:
            return await asyncio.to_thread(sender.send, sample.calls)
        except asyncio.CancelledError:
            sender.give_up()
            raise

    def _sandbox(self) -> Process:
        arguments = (
            "--listen",
            self._at.sandbox,
            "--access-key",
            ACCESS_KEY,
            "--data",
            str(self._directory / "sandbox"),
        )
        return Process(
            "sandbox",
            ("sandbox", *arguments),
            self._directory / "sandbox.txt",
            f"{self._sandbox_url}/_sandbox/quota",
            self._clock,
        )

    def _serve(self) -> Process:
        workspace = self._directory / "workspace.yaml"
        workspace.write_text(
            WORKSPACE.format(
                **WRITE_KEYS,
                access_key=ACCESS_KEY,
                domain=self._sandbox_url,
                events=json.dumps(WANTED_EVENTS),
            )
        )
        arguments = ("--data", str(self._directory / "data"), "--workspace", str(workspace))
        ports = ("--ingest", self._at.ingest, "--console", self._at.console)
        return Process(
            "server",
            ("serve", *arguments, *ports),
            self._directory / "serve.txt",
            f"http://{self._at.console}/health",
            self._clock,
        )

    def _status(self) -> dict[str, Any]:
        data = self._directory / "data"
        log = SqliteEventLog(data / "log.db", read_only=True)
        connection = connect(data / "state.db", read_only=True)
        try:
            connection.execute("BEGIN")
            return status(connection, log, self._clock.now_ms())
        finally:
            connection.close()
            log.close()

    async def _delivered(self, sample: Sample) -> dict[str, Any]:
        """Wait until nothing is pending and say how it goes. Raises UnavailableError when it takes too long."""
        started_ms = self._clock.now_ms()
        with console.status("Delivering ...") as line:
            while True:
                document = await asyncio.to_thread(self._status)
                books = document["destinations"]["gainsight"]
                dirty = sum(states.get("dirty", 0) for states in books["records"].values())
                if books["received"] >= sample.expected.received and books["pending"] == 0 and dirty == 0:
                    return document
                calls = books["calls"]["total"]
                line.update(
                    f"Delivering ... {books['pending']:,} messages pending, {dirty:,} records, {calls} calls made"
                )
                if self._clock.now_ms() - started_ms > DELIVERED_WITHIN_SECONDS * 1000:
                    raise UnavailableError(f"the sample was not delivered in time; look into {self._directory}")
                await self._clock.sleep(0.3)

    async def _stay(self, message_id: str) -> None:
        console.print(
            f"""
Everything is still running; Ctrl-C stops it and removes the data.
  Gainsight sandbox  {self._sandbox_url}
  SDKs send to       http://{self._at.ingest}   (write key {WRITE_KEYS["server"]})
  Health, metrics    http://{self._at.console}/health  http://{self._at.console}/metrics

See how an anonymous visit came to its user and account, by a sign-in a day later:
  {program()} trace {message_id} --data {self._directory / "data"}
  {program()} status --data {self._directory / "data"}"""
        )
        try:
            while True:
                await self._clock.sleep(3600)
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("Stopping ...")
