"""The engine process: resolves, delivers, and owns the private port. Started by the ingest process, never by a person.

Its exit code tells the parent what to do: 78 means that starting it again will not help.
"""

import socket
import threading
from pathlib import Path

import structlog

from gainsight_destination.engine import run_engine
from gainsight_destination.errors import StoppedError
from gainsight_destination.runtime.garbage import collect_rarely
from gainsight_destination.runtime.link import ParentLink
from gainsight_destination.runtime.lock import LockedError, RoleLock
from gainsight_destination.runtime.options import EngineOptions, Retention
from gainsight_destination.runtime.supervisor import CANNOT_GO_ON

TRY_AGAIN = 75
"""Exit code while the engine of an earlier parent is still stopping (EX_TEMPFAIL of sysexits.h)."""

STDIN = 0

logger = structlog.get_logger(__name__)


def run_engine_process(data_dir: Path, console_fd: int, retention: Retention, begun: threading.Event) -> int:
    """Run the engine until TERM, or until the parent is gone; return the exit code. Sets `begun` when told to begin."""
    link = ParentLink()
    link.follow(STDIN)
    link.told.wait()
    begun.set()
    listener = socket.socket(fileno=console_fd)
    try:
        with RoleLock(data_dir, "engine"):
            collect_rarely()
            run_engine(EngineOptions(data_dir, listener, link, retention))
    except LockedError as error:
        logger.warning("another engine is still stopping", reason=str(error))
        return TRY_AGAIN
    except StoppedError as error:
        logger.error("engine cannot go on", reason=str(error))
        return CANNOT_GO_ON
    return 0
