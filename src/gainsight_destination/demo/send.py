"""Sends the sample through the real Segment SDK for Python."""

from collections.abc import Mapping, Sequence
from typing import Final

import segment.analytics as segment

from gainsight_destination.demo.sample import SdkCall

MESSAGES_PER_REQUEST: Final = 100


def send(calls: Sequence[SdkCall], host: str, write_keys: Mapping[str, str]) -> list[str]:
    """Make the SDK's calls, one client per source, and wait until all are sent; what went wrong, if anything."""
    problems: list[str] = []
    clients = {
        source: segment.Client(
            write_key,
            host=host,
            upload_size=MESSAGES_PER_REQUEST,
            max_queue_size=len(calls) + 1,
            gzip=True,
            on_error=lambda error, _: problems.append(str(error)),
        )
        for source, write_key in write_keys.items()
    }
    for call in calls:
        getattr(clients[call.source], call.method)(**call.arguments)
    for client in clients.values():
        client.flush()
        client.shutdown()
    return problems
