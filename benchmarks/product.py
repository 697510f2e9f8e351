"""The real `serve`, both of its processes, as a person starts it, and a look at its store from outside."""

import http.client
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.system import free_port

from benchmarks.load import WRITE_KEY
from benchmarks.processes import rss_mb, tree
from benchmarks.resolving import ACCESS_KEY, REFUSING
from gainsight_destination.store.database import connect

START_SECONDS = 60.0
LOOK_SECONDS = 0.002
HOST = "127.0.0.1"


@dataclass
class Product:
    """A running `serve`. `started` is when its process was executed, in time.monotonic()."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    started: float
    ingest_port: int
    console_port: int

    def rss_mb(self) -> float:
        """Resident memory of all its processes together."""
        return sum(rss_mb(process_id) for process_id in tree(self.process.pid))

    def wait_healthy(self) -> float:
        """Seconds from its execution until both ports said that all is well."""
        for port in (self.ingest_port, self.console_port):
            while not healthy(port):
                if self.process.poll() is not None or time.monotonic() > self.started + START_SECONDS:
                    raise RuntimeError((self.folder / "serve.txt").read_text("utf-8")[-2_000:])
                time.sleep(LOOK_SECONDS)
        return time.monotonic() - self.started


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def write_workspace(folder: Path, **settings: Any) -> None:
    """One source and one destination; without a `domain` that is a loopback port which refuses connections."""
    settings = {"accessKey": ACCESS_KEY, "domain": REFUSING, **settings}
    destination = {"name": "gainsight", "type": "gainsight", "sources": ["benchmark"], "settings": settings}
    workspace = {"sources": [{"name": "benchmark", "writeKey": WRITE_KEY}], "destinations": [destination]}
    (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace), "utf-8")


@contextmanager
def running_product(folder: Path) -> Iterator[Product]:
    """Start `serve` on a folder's `data` with its workspace.yaml; its log goes to serve.txt."""
    ingest_port, console_port = free_port(), free_port()
    arguments = ["--data", str(folder / "data"), "--workspace", str(folder / "workspace.yaml")]
    arguments += ["--ingest", f"{HOST}:{ingest_port}", "--console", f"{HOST}:{console_port}"]
    command = [sys.executable, "-m", "gainsight_destination", "serve", *arguments]
    with (folder / "serve.txt").open("ab") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield Product(folder, process, started, ingest_port, console_port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


@contextmanager
def state_of(folder: Path) -> Iterator[sqlite3.Connection]:
    """The state of a running product, to read only: a look takes some microseconds and no lock of the writer's."""
    with closing(connect(folder / "data" / "state.db", read_only=True)) as connection:
        yield connection


def resolved_until(connection: sqlite3.Connection) -> int:
    """Messages before this offset are resolved: it moves in the transaction that makes their records dirty."""
    (offset,) = connection.execute("SELECT next_offset FROM reader").fetchone()
    return int(offset)
