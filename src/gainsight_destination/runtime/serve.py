"""`serve`: opens both ports, starts the engine, and hands over to the ingest process.

The engine comes so early because what it imports takes longest: it does so beside all that follows, and waits until it
is told to begin. For the same reason this module imports little, and the rest (ingest_main.py) after that.
"""

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UserError
from gainsight_destination.ingest.listen import listen
from gainsight_destination.runtime.child import end_child, start_child
from gainsight_destination.runtime.lock import RoleLock
from gainsight_destination.runtime.options import Address, ServeOptions
from gainsight_destination.workspace.data_directory import make_data_directory

if TYPE_CHECKING:
    from gainsight_destination.ingest.tls import Tls
    from gainsight_destination.runtime.ingest_process import Started

CONSOLE_BACKLOG = 128


def run_serve(
    options: ServeOptions,
    *,
    clock: Clock,
    announce: "Callable[[Started], None]",
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
        ingest = held.enter_context(closing(opened(options.ingest, "--ingest")))
        console = held.enter_context(closing(opened(options.console, "--console")))
        console.listen(CONSOLE_BACKLOG)
        command = (engine_command or command_of_engine)(options, console.fileno())
        signal.signal(signal.SIGTERM, end_early)  # until the event loop has its own
        engine = start_child(command, [console.fileno()])
        held.callback(end_child, engine)
        from gainsight_destination.runtime.ingest_main import Ports, run_ingest

        ports = Ports(ingest, console)
        return run_ingest(options, ports, clock=clock, announce=announce, command=command, engine=engine, tls=tls)


def end_early(_signal: int, _frame: object) -> None:
    """TERM while nothing is served yet: what is held is let go, the engine too."""
    raise SystemExit(0)


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


def command_of_engine(options: ServeOptions, console_fd: int) -> list[str]:
    """How the engine is started."""
    return [
        *(sys.executable, "-m", "gainsight_destination.runtime.start_engine"),
        *(str(options.data_dir), str(console_fd)),
        *(str(options.retention.days), str(options.retention.gigabytes)),
    ]
