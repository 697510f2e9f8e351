"""The engine's end of the pipe from its parent, the ingest process.

The pipe says two things. Its lines are JSON reports of what the other process measures and suffers, so that the
private port can show them; the first one lets the engine begin. Its end means that the parent is gone, by whatever
death: then this process stops too, since nobody would start, stop or watch it.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

STOP_SECONDS = 15.0
"""How long the engine may take to stop once asked, before it is ended."""

READ_BYTES = 65_536


class IngestReport(msgspec.Struct, frozen=True):
    """What the ingest process says about itself.

    Its metrics in the Prometheus text format, its troubles, what else is worth knowing, and where both ports are.
    """

    metrics: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ingest_url: str = ""
    """Where SDKs send to."""
    console_hosts: tuple[str, ...] = ()
    """Under which names the private port is reached, beside those of loopback."""


def stop_this_process() -> None:
    """Ask this process to stop, as TERM does; end it if that takes longer than STOP_SECONDS."""
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(STOP_SECONDS)
    os._exit(1)


@dataclass
class ParentLink:
    """Reads the pipe in a thread of its own; `report` is the newest that came."""

    report: IngestReport = field(default_factory=IngestReport)
    told: threading.Event = field(default_factory=threading.Event)
    """Set by the first report: the parent has prepared everything, and the engine may begin."""

    def follow(self, pipe_fd: int, *, gone: Callable[[], None] = stop_this_process) -> threading.Thread:
        """Read until the pipe ends, then call `gone`.

        The file descriptor is read as it is: a thread that waits inside `sys.stdin` would break the interpreter's end.
        """

        def read() -> None:
            unread = b""
            while piece := os.read(pipe_fd, READ_BYTES):
                *lines, unread = (unread + piece).split(b"\n")
                if lines:
                    self.report = msgspec.json.decode(lines[-1], type=IngestReport)
                    self.told.set()
            gone()

        thread = threading.Thread(target=read, name="parent-link", daemon=True)
        thread.start()
        return thread
