"""Sends the sample through the real Segment SDK for Python."""

import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import segment.analytics as segment

from gainsight_destination.demo.sample import SdkCall

MESSAGES_PER_REQUEST: Final = 100
REPEATS: Final = 2
"""Of a request that fails. The server is next door, so many repeats would only delay the demo's end."""


class Sender:
    """One SDK client per source. `send` blocks; `give_up`, from another thread, makes it return soon."""

    def __init__(self, host: str, write_keys: Mapping[str, str]) -> None:
        self._problems: list[str] = []
        self._given_up = threading.Event()
        self._clients = {
            source: segment.Client(
                write_key,
                host=host,
                upload_size=MESSAGES_PER_REQUEST,
                max_queue_size=0,  # without bound
                max_retries=REPEATS,
                gzip=True,
                on_error=lambda error, _: self._problems.append(str(error)),
            )
            for source, write_key in write_keys.items()
        }

    def send(self, calls: Sequence[SdkCall]) -> list[str]:
        """Make the SDK's calls and wait until all are sent; what went wrong, if anything."""
        for call in calls:
            if not self._given_up.is_set():
                getattr(self._clients[call.source], call.method)(**call.arguments)
        for client in self._clients.values():
            client.flush()
            client.shutdown()
        return self._problems

    def give_up(self) -> None:
        """Leave unsent what waits in the SDK's queues."""
        self._given_up.set()
        for client in self._clients.values():
            with suppress(queue.Empty):
                while True:
                    client.queue.get_nowait()
                    client.queue.task_done()
