"""The ingest process alone, for tests and benchmarks: the real `serve` with an engine that only waits for its end.

Run as `python -m gainsight_destination.runtime.testing DATA_DIR [HOST:PORT]`: it prints one line of JSON with the
URL of the public port when that is open.
"""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gainsight_destination.clock import SystemClock
from gainsight_destination.observe.logs import configure_logs
from gainsight_destination.runtime.ingest_process import Started
from gainsight_destination.runtime.options import Address, ServeOptions
from gainsight_destination.runtime.serve import run_serve
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate
from gainsight_destination.workspace.model import Source
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.source_settings import document_of
from gainsight_destination.workspace.stored import set_source_settings

IDLE_ENGINE = "import sys; sys.stdin.buffer.read()"


def write_sources(state_path: Path, sources: Sequence[Source]) -> None:
    """Make `state.db` hold exactly these sources, as a new version of the configuration."""
    with closing(connect(state_path)) as connection:
        migrate(connection, "gainsight_destination.store.migrations")
        with transaction(connection):
            replace_sources(connection, sources, Secrets.of(state_path.parent))


def replace_sources(connection: sqlite3.Connection, sources: Sequence[Source], secrets: Secrets) -> None:
    connection.execute("DELETE FROM sources")
    connection.executemany(
        "INSERT INTO sources (id, name, write_key, enabled) VALUES (?, ?, ?, ?)",
        [(source.id, source.name, source.write_key, source.enabled) for source in sources],
    )
    for source in sources:
        set_source_settings(connection, secrets, source.name, document_of(source), source.webhook)
    connection.execute("UPDATE workspace SET version = version + 1")


@dataclass(frozen=True, slots=True)
class RunningServe:
    """A `serve` process and where it listens."""

    host: str
    port: int
    process: "subprocess.Popen[str]"

    def stop(self, *, timeout_seconds: float = 30) -> int:
        """Ask it to stop as an operator would; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_serve(data_dir: Path, *, port: int = 0, log_path: Path | None = None) -> Iterator[RunningServe]:
    """Start the ingest process on `data_dir`; it is killed at the end if it still runs.

    Its log lines go to `log_path`, or to stderr.
    """
    command = [sys.executable, "-m", __name__, str(data_dir), f"127.0.0.1:{port}"]
    with ExitStack() as opened:
        log = None if log_path is None else opened.enter_context(log_path.open("ab"))
        process = opened.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - our own program
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"serve ended with exit code {process.wait()} before its port was open")
            started = json.loads(line)
            yield RunningServe(started["host"], started["port"], process)
        finally:
            process.kill()


def say(started: Started) -> None:
    url = urlsplit(started.ingest_url)
    sys.stdout.write(json.dumps({"host": url.hostname, "port": url.port}) + "\n")
    sys.stdout.flush()


def main(data_dir: str, address: str = "127.0.0.1:0") -> int:
    configure_logs(part="ingest")
    options = ServeOptions(Path(data_dir), ingest=Address.parse(address), console=Address("127.0.0.1", 0))
    idle = [sys.executable, "-c", IDLE_ENGINE]
    return run_serve(options, clock=SystemClock(), announce=say, engine_command=lambda _options, _fd: idle)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
