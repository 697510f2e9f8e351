"""Logs of every process: JSON lines on stderr for machines, coloured lines on a terminal for people.

Secrets and personal data do not reach them: what is logged under a name that holds such a value is redacted here,
whoever forgot it.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
SECRET_NAME = re.compile(
    r"access_?key|write_?key|secret|password|token|authorization|api_?key|cookie"  # what opens doors
    r"|e_?mail|traits|properties|^body$|_body$|^settings$",  # who people are and what they do
    re.IGNORECASE,
)
CREDENTIALS = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]+")


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that hides secrets and personal data, at any depth."""
    return {name: safe(name, value) for name, value in event.items()}


def safe(name: str, value: Any) -> Any:
    """`value` as it may be logged under `name`."""
    if SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, Mapping):
        return {key: safe(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [safe(name, inner) for inner in value]
    if isinstance(value, str):
        return CREDENTIALS.sub(rf"\1 {REDACTED}", value)
    return value


def configure_logs(*, part: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the logs of this process, and of its libraries, to `stream` (stderr when not given).

    `part` names the process in every line: "ingest" or "engine".
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        lambda _logger, _method, event: {"part": part, **event},
        redact,
    ]
    rendered: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)]  # no locals
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for chatty in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
