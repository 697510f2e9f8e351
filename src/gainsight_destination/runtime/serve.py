"""`serve`: prepares the data directory, opens both ports, and runs the ingest process, which runs the engine."""

import asyncio
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UserError
from gainsight_destination.eventlog.backlog import count_read_bytes
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest.server import listen
from gainsight_destination.runtime.ingest_process import IngestProcess, Started
from gainsight_destination.runtime.lock import RoleLock
from gainsight_destination.runtime.open_files import allow_connections
from gainsight_destination.runtime.options import Address, ServeOptions
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate
from gainsight_destination.workspace.data_directory import make_data_directory
from gainsight_destination.workspace.model import Source
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import apply_file, load, load_sources

if TYPE_CHECKING:
    from gainsight_destination.ingest.tls import Tls

CONSOLE_BACKLOG = 128


def run_serve(
    options: ServeOptions,
    *,
    clock: Clock,
    announce: Callable[[Started], None],
    engine_command: Callable[[ServeOptions, int], list[str]] | None = None,
) -> int:
    """Serve until TERM or INT; return the exit code. `announce` is called once, when both ports are open.

    `engine_command` makes the engine's command line from the options and the file descriptor of the private port.
    Raises UserError for a port that cannot be had or a wrong workspace file, StoppedError when another process
    uses the data directory or a newer version wrote it.
    """
    if options.ingest == options.console and options.ingest.port:
        raise UserError(f"--ingest and --console are both {options.ingest.url()}; give them different ports")
    tls = tls_of(options, clock)
    make_data_directory(options.data_dir)
    with ExitStack() as held:
        held.enter_context(RoleLock(options.data_dir, "ingest"))
        prepare(options, clock)
        log = held.enter_context(closing(SqliteEventLog(options.data_dir / "log.db")))
        with closing(connect(options.data_dir / "state.db")) as state, transaction(state):
            count_read_bytes(state, log)
        ingest = held.enter_context(closing(opened(options.ingest, "--ingest")))
        console = held.enter_context(closing(opened(options.console, "--console")))
        console.listen(CONSOLE_BACKLOG)
        command = (engine_command or command_of_engine)(options, console.fileno())

        async def main() -> int:
            process = IngestProcess(
                log,
                options.data_dir / "state.db",
                ingest=ingest,
                console=console,
                engine_command=command,
                read_sources=partial(read_sources, options.data_dir),
                clock=clock,
                marks=options.marks,
                max_connections=allow_connections(options.max_connections),
                announce=announce,
                public_url=options.public_url,
                tls=tls,
            )
            return await process.run()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())


def tls_of(options: ServeOptions, clock: Clock) -> "Tls | None":
    """The certificate of the public port if it has one. Raises UserError that says what is wrong with the files."""
    if options.tls_cert is None and options.tls_key is None:
        return None
    from gainsight_destination.ingest.tls import Tls, TlsFiles  # takes time to import, and few need it

    return Tls(TlsFiles.of(options.tls_cert, options.tls_key), clock=clock)


def opened(address: Address, option: str) -> socket.socket:
    """A bound port. Raises UserError that names the option to change."""
    try:
        return listen(address.host, address.port)
    except UserError as error:
        raise UserError(f"{error}; choose another address with {option} HOST:PORT") from error


def prepare(options: ServeOptions, clock: Clock) -> None:
    """Bring the state to this version's schema, and the configuration to the workspace file if one is given.

    Raises SecretKeyError when the stored secrets cannot be opened: nothing could be delivered.
    """
    with closing(connect(options.data_dir / "state.db")) as connection:
        migrate(connection, "gainsight_destination.store.migrations")
    if options.workspace_file is not None:
        apply_file(options.data_dir, options.workspace_file, clock=clock, actor="serve", environ=os.environ)
    with closing(connect(options.data_dir / "state.db", read_only=True)) as connection:
        load(connection, Secrets.of(options.data_dir))


def read_sources(data_dir: Path, connection: sqlite3.Connection) -> tuple[Source, ...]:
    """The sources with their secrets. The key is read each time: it may have been restored, or made anew."""
    return load_sources(connection, Secrets.of(data_dir))


def command_of_engine(options: ServeOptions, console_fd: int) -> list[str]:
    """How the engine is started."""
    return [
        *(sys.executable, "-m", "gainsight_destination.runtime.start_engine"),
        *(str(options.data_dir), str(console_fd)),
        *(str(options.retention.days), str(options.retention.gigabytes)),
    ]
