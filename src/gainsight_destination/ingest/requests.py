"""A request as its handler sees it, before its body has come."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gainsight_destination.ingest.answers import Answer
from gainsight_destination.ingest.body import Receive


@dataclass(slots=True)
class Request:
    """Header names are lower case; of a repeated header the last counts. `path` is decoded, `query` is not."""

    method: str
    scheme: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    receive: Receive


Handler = Callable[[Request], Awaitable[Answer]]
"""Answers a request. What it raises becomes an answer by `answers.trouble`."""
