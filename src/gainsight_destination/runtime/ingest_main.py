"""Prepares the data directory, and runs the ingest process until it is asked to stop."""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from gainsight_destination.access.links import setup_link
from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.backlog import count_read_bytes
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.runtime.ingest_process import IngestProcess, Started
from gainsight_destination.runtime.open_files import allow_connections
from gainsight_destination.runtime.options import ServeOptions
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate
from gainsight_destination.workspace.model import Source
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import apply_file, load, load_sources

if TYPE_CHECKING:
    from gainsight_destination.ingest.tls import Tls


class Ports(NamedTuple):
    """Both ports, bound. The private one belongs to the engine."""

    ingest: socket.socket
    console: socket.socket


def run_ingest(
    options: ServeOptions,
    ports: Ports,
    *,
    clock: Clock,
    announce: Callable[[Started], None],
    command: Sequence[str],
    engine: "Popen[bytes]",
    tls: "Tls | None",
) -> int:
    """Serve until TERM or INT; return the exit code. `engine` runs `command` already, and waits for its first report.

    Raises UserError for a wrong workspace file, StoppedError when a newer version wrote the data directory.
    """
    setup_word = prepare(options, clock)
    with closing(SqliteEventLog(options.data_dir / "log.db")) as log:
        with closing(connect(options.data_dir / "state.db")) as state, transaction(state):
            count_read_bytes(state, log)

        async def main() -> int:
            process = IngestProcess(
                log,
                options.data_dir / "state.db",
                ingest=ports.ingest,
                console=ports.console,
                engine_command=command,
                engine=engine,
                read_sources=partial(read_sources, options.data_dir),
                clock=clock,
                marks=options.marks,
                max_connections=allow_connections(options.max_connections),
                announce=announce,
                public_url=options.public_url,
                console_url=options.console_url,
                setup_word=setup_word,
                tls=tls,
            )
            return await process.run()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())


def prepare(options: ServeOptions, clock: Clock) -> str | None:
    """Bring the state to this version's schema, and the configuration to the workspace file if one is given.

    The word of a link to set up the console, while nobody can sign in there.
    Raises SecretKeyError when the stored secrets cannot be opened: nothing could be delivered.
    """
    with closing(connect(options.data_dir / "state.db")) as connection:
        migrate(connection, "gainsight_destination.store.migrations")
    if options.workspace_file is not None:
        apply_file(options.data_dir, options.workspace_file, clock=clock, actor="serve", environ=os.environ)
    with closing(connect(options.data_dir / "state.db", read_only=True)) as connection:
        load(connection, Secrets.of(options.data_dir))
    with closing(connect(options.data_dir / "state.db")) as connection, transaction(connection):
        return setup_link(connection, clock.now_ms())


def read_sources(data_dir: Path, connection: sqlite3.Connection) -> tuple[Source, ...]:
    """The sources with their secrets. The key is read each time: it may have been restored, or made anew."""
    return load_sources(connection, Secrets.of(data_dir))
