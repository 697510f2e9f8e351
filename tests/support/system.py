"""The whole product as people run it: real processes, the real SDK, the sandbox as Gainsight."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import segment.analytics as segment
import yaml

from gainsight_destination.clock import SystemClock
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.observe.status import balanced, status
from gainsight_destination.store.database import connect
from gainsight_destination.workspace.service import apply_content
from tests.support.pipeline import ACCESS_KEY

PROGRAM = [sys.executable, "-m", "gainsight_destination"]
WRITE_KEY = "test-write-key"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(done: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Poll a real process until something is so."""
    deadline = time.monotonic() + seconds
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.05)


def healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    """The processes that a process started and that run."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(child) for child in found.split()]


class System:
    """A sandbox and a server with one destination and, unless told otherwise, one source, in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        sources: Sequence[Mapping[str, Any]] = (),
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.ports = {name: free_port() for name in ("sandbox", "ingest", "console")}
        self.sandbox_url = f"http://127.0.0.1:{self.ports['sandbox']}"
        self.ingest_url = f"http://127.0.0.1:{self.ports['ingest']}"
        self.console_url = f"http://127.0.0.1:{self.ports['console']}"
        self.settings = {"accessKey": ACCESS_KEY, "domain": self.sandbox_url, "flushSeconds": 1, **settings}
        self.sources = list(sources) or [{"name": "website", "writeKey": WRITE_KEY}]
        self.environment = dict(environment or {})
        """What its processes get beside this one's own environment."""
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    # -- processes

    def start(self) -> "System":
        self.start_sandbox()
        self.start_serve()
        return self

    def start_sandbox(self) -> None:
        listen = f"127.0.0.1:{self.ports['sandbox']}"
        self._start("sandbox", "sandbox", "--listen", listen, "--data", str(self.directory / "sandbox"))
        wait_until(lambda: healthy(f"{self.sandbox_url}/_sandbox/quota"), "the sandbox")

    def start_serve(self) -> None:
        self.spawn_serve()
        wait_until(lambda: healthy(f"{self.console_url}/health"), "the server")

    def spawn_serve(self) -> None:
        """Start the server and wait for nothing."""
        self.write_workspace()
        self._start(
            "serve",
            "serve",
            *("--data", str(self.data), "--workspace", str(self.directory / "workspace.yaml")),
            *("--ingest", f"127.0.0.1:{self.ports['ingest']}", "--console", f"127.0.0.1:{self.ports['console']}"),
        )

    def _start(self, name: str, *arguments: str) -> None:
        with (self.directory / f"{name}.txt").open("ab") as output:
            self._running[name] = subprocess.Popen(
                [*PROGRAM, *arguments], stdout=output, stderr=output, env={**os.environ, **self.environment}
            )

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def engine_pid(self) -> int | None:
        """The engine that the server runs now, if it runs one."""
        if "serve" not in self._running:
            return None
        return next(iter(children(self._running["serve"].pid)), None)

    def kill(self, name: str) -> None:
        """End one process as a crash would."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def write_workspace(self) -> None:
        (self.directory / "workspace.yaml").write_text(yaml.safe_dump(self.workspace()))

    def workspace(self) -> dict[str, Any]:
        names = [source["name"] for source in self.sources]
        return {
            "sources": self.sources,
            "destinations": [{"name": "gainsight", "type": "gainsight", "sources": names, "settings": self.settings}],
        }

    def apply_workspace(self) -> None:
        """Make the running server take over what was changed here; it does so by itself within two seconds."""
        content = json.dumps(self.workspace())
        apply_content(self.data, content, clock=SystemClock(), actor="ada", environ={})

    def kill_serve(self) -> None:
        """End the server as a crash would: both processes, at once."""
        engine = self.engine_pid()
        self.kill("serve")
        if engine is not None:
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)

    def wait_for(self, name: str) -> int:
        """The exit code of a process that is to end by itself."""
        code = self._running[name].wait(60)
        del self._running[name]
        return code

    def stop_serve(self) -> None:
        """Stop the server as an operator would."""
        process = self._running.pop("serve")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    def stop(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            process.wait(30)
        self._running.clear()

    # -- the SDK

    def sdk(self, write_key: str = WRITE_KEY) -> segment.Client:
        return segment.Client(write_key, host=self.ingest_url, upload_interval=0.05, on_error=self._sdk_error)

    @staticmethod
    def _sdk_error(error: Exception, batch: object) -> None:
        raise AssertionError(f"the SDK could not send: {error}")

    def send(self, *calls: tuple[str, Mapping[str, Any]]) -> None:
        """Make SDK calls, in order, and wait until all are acknowledged."""
        client = self.sdk()
        for method, arguments in calls:
            getattr(client, method)(**arguments)
        client.flush()
        client.shutdown()

    # -- looking

    def cli(self, *arguments: str, code: int = 0) -> str:
        ran = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
        assert ran.returncode == code, (ran.returncode, ran.stdout, ran.stderr)
        return ran.stdout

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.cli("status", "--data", str(self.data), "--json"))
        assert document["destinations"]["gainsight"]["balanced"]
        return document

    def status_in_files(self) -> dict[str, Any]:
        """What `status` would say, read by this process, which costs less than starting another."""
        log = SqliteEventLog(self.data / "log.db", read_only=True)
        with closing(log), closing(connect(self.data / "state.db", read_only=True)) as connection:
            connection.execute("BEGIN")
            document = status(connection, log, time.time_ns() // 1_000_000)
        assert balanced(document), document
        return document

    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = self.status()["destinations"]["gainsight"]
        return books

    def settled(self, received: int, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until so many messages came and none is pending; the books then."""

        def look() -> dict[str, Any] | None:
            books = self.status_in_files()["destinations"]["gainsight"]
            dirty = sum(states.get("dirty", 0) for states in books["records"].values())
            return books if books["received"] == received and not books["pending"] and not dirty else None

        try:
            found: dict[str, Any] = wait_until(look, f"{received} messages to be settled", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.books(), indent=1)}") from None
        return found

    def rows(self, object_name: str) -> list[dict[str, Any]]:
        """What Gainsight holds."""
        answer = httpx.get(f"{self.sandbox_url}/_sandbox/state", params={"object": object_name}, trust_env=False)
        (rows,) = answer.json()["objects"].values()
        return list(rows)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, f"{self.sandbox_url}/_sandbox/{path}", json=body, trust_env=False)
        answer.raise_for_status()
        return answer.json()
