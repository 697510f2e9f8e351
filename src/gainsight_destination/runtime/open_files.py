"""How many files and connections this process may have open: as many as asked for, if the operating system lets it."""

import resource
from typing import Final

import structlog

from gainsight_destination.errors import UserError

SPARE_FILES: Final = 256
"""Open files that are not connections of senders: databases, pipes, those beyond the cap."""

logger = structlog.get_logger(__name__)


def allow_connections(wanted: int) -> int:
    """Raise the limit on open files for so many connections; return how many there may be.

    Raises UserError when the operating system leaves no room for any.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - SPARE_FILES)
    if allowed < 1:
        raise UserError(f"this process may open {soft} files, and needs {SPARE_FILES} besides connections: ulimit -n")
    if allowed < wanted:
        logger.warning("fewer connections than asked for: open files are limited", wanted=wanted, allowed=allowed)
    return allowed
