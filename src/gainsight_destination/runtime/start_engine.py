"""The program of the engine process: `python -m gainsight_destination.runtime.start_engine DATA CONSOLE_FD DAYS GB`.

`serve` starts it; there is no reason to do so by hand. It is no command of the command line, whose parser of options
would cost the engine 10 MB and a tenth of a second. The arguments are the data directory, the file descriptor of the
private port, and for how many days and gigabytes the log is kept.
"""

import os
import select
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from gainsight_destination.runtime.lean import without_rich

FAILED = 3
"""Exit code when the disk or the database refused; the engine is started again."""

STDIN = 0


def end_with_parent(begun: threading.Event) -> None:
    """End at once when the parent dies before this process has begun its work: it holds the private port open.

    The pipe is not read, only looked at for its end; what is in it is for runtime/link.py.
    """

    def watch() -> None:
        pipe = select.poll()
        pipe.register(STDIN, 0)
        pipe.poll()
        if not begun.is_set():
            os._exit(FAILED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(arguments: Sequence[str]) -> int:
    """Run the engine until TERM, or until the parent is gone; return the exit code."""
    os.umask(0o077)  # what it writes holds personal data: for its own user only
    begun = threading.Event()
    end_with_parent(begun)
    data, console_fd, days, gigabytes = arguments
    with without_rich():
        import structlog

        from gainsight_destination.errors import ProductError
        from gainsight_destination.observe.logs import configure_logs
        from gainsight_destination.runtime.engine_process import run_engine_process
        from gainsight_destination.runtime.options import Retention
    configure_logs(part="engine")
    try:
        return run_engine_process(Path(data), int(console_fd), Retention(float(days), float(gigabytes)), begun)
    except (ProductError, OSError, sqlite3.Error) as error:
        structlog.get_logger(__name__).error("engine failed", reason=str(error))
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
