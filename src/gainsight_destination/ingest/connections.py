"""The open connections of the public port: how many there may be, and which of them are closed.

Beyond the cap a few more are heard, for a moment: /health is answered, other requests are told to come later. Whoever
comes after those is dropped unheard. Idle connections make room before it comes to that.
"""

import asyncio
from typing import Any, Protocol

import structlog
from uvicorn.server import ServerState

from gainsight_destination.clock import Clock
from gainsight_destination.ingest import answers, limits
from gainsight_destination.ingest.app import Scope, Send, give
from gainsight_destination.ingest.body import Receive
from gainsight_destination.observe import metrics

CLOSE = (b"connection", b"close")
CROWDED = answers.later(503, "unavailable", "Too many connections are open", limits.SPARE_SECONDS, CLOSE)

logger = structlog.get_logger(__name__)


class Connection(Protocol):
    """What is known of one; see server.py."""

    app: Any
    transport: asyncio.Transport
    spare: bool

    def awaited(self) -> object | None: ...

    def is_idle(self) -> bool: ...


class Connections(ServerState):
    """uvicorn's own set of connections, with a bound."""

    def __init__(self, max_connections: int, clock: Clock) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.crowded_since_ms: int | None = None
        self._clock = clock
        self._waits: dict[Connection, tuple[object, int]] = {}

    def opened(self, connection: Connection) -> None:
        """Decide what becomes of a new one."""
        excess = len(self.connections) - self.max_connections
        if excess <= 0:
            return
        metrics.ingest_refused_connections.inc()
        if self.crowded_since_ms is None:
            self.crowded_since_ms = self._clock.now_ms()
            logger.warning("too many connections, new ones are refused", open=len(self.connections))
        if excess > limits.SPARE_CONNECTIONS:
            connection.transport.abort()
        else:
            connection.spare = True
            connection.app = OnlyHealth(connection.app)

    def look(self) -> None:
        """Close who keeps us waiting too long, and make room. Called once a second."""
        now_ms = self._clock.now_ms()
        waits: dict[Connection, tuple[object, int]] = {}
        idle: list[tuple[int, Connection]] = []
        for each in list(self.connections):
            connection: Connection = each  # type: ignore[assignment] # IngestProtocol, the only kind there is
            awaited = connection.awaited()
            if awaited is None:
                continue
            known, since_ms = self._waits.get(connection, (awaited, now_ms))
            if known is not awaited:
                since_ms = now_ms
            if connection.is_idle():
                idle.append((since_ms, connection))
            elif now_ms - since_ms > patience_ms(connection):
                metrics.ingest_stalled_connections.inc()
                connection.transport.abort()
                continue
            waits[connection] = (awaited, since_ms)
        self._waits = waits
        self._make_room(idle)
        metrics.ingest_connections.set(len(self.connections))

    def _make_room(self, idle: list[tuple[int, Connection]]) -> None:
        excess = len(self.connections) - round(self.max_connections * (1 - limits.FREE_SHARE))
        if excess > 0:
            for _, connection in sorted(idle, key=lambda row: row[0])[:excess]:
                connection.transport.close()
        elif self.crowded_since_ms is not None:
            logger.info("connections are taken again", open=len(self.connections))
            self.crowded_since_ms = None


def patience_ms(connection: Connection) -> int:
    return 1_000 * (limits.SPARE_SECONDS if connection.spare else limits.REQUEST_SECONDS)


class OnlyHealth:
    """The application for connections beyond the cap: one answer, and the connection is closed."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], CLOSE]
            await send(message)

        if scope["path"] == "/health":
            await self._app(scope, receive, send_last)
        else:
            await give(CROWDED, dict(scope["headers"]).get(b"origin"), send)
