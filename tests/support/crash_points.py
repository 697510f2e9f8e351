"""Named points at which a process dies, as by kill -9, when it reaches them: set around the product's own parts."""

import inspect
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import httpx

from gainsight_destination.deliver.worker import DeliveryWorker
from gainsight_destination.destinations.contract import Draft
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.engine import Engine
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.store import database, migrate
from gainsight_destination.workspace import secrets, service
from tests.support.virtual import Network

Reached = Callable[..., None]
reached: dict[str, list[str]] = {}
"""What this process was about at each point, each time that it came by."""


def about_anything(*_: Any) -> str:
    return ""


def about_a_call(_: Network, request: httpx.Request) -> str:
    return f"{request.method} {request.url.path}"


def about_an_outcome(_: DeliveryWorker, drafts: Sequence[Draft], *__: Any) -> str:
    return f"{drafts[0].record.object} {drafts[0].record.presence}"


def before(owner: Any, name: str, about: Callable[..., str] = about_anything) -> Callable[[Reached], None]:
    """The point at which something is about to be done."""

    def place(come_by: Reached) -> None:
        done = getattr(owner, name)

        def do(*arguments: Any, **named: Any) -> Any:
            come_by(about(*arguments))
            return done(*arguments, **named)

        setattr(owner, name, do)

    return place


def after(owner: Any, name: str, about: Callable[..., str] = about_anything) -> Callable[[Reached], None]:
    """The point at which something was just done, and nobody was told."""

    def place(come_by: Reached) -> None:
        done = getattr(owner, name)

        def do(*arguments: Any, **named: Any) -> Any:
            result = done(*arguments, **named)
            come_by(about(*arguments))
            return result

        async def do_awaited(*arguments: Any, **named: Any) -> Any:
            result = await done(*arguments, **named)
            come_by(about(*arguments))
            return result

        setattr(owner, name, do_awaited if inspect.iscoroutinefunction(done) else do)

    return place


def inside_of_a_transaction(come_by: Reached) -> None:
    """Before a transaction of the state is committed."""

    def around(done: Any) -> Any:
        with done:
            yield done
            come_by()

    _around_transactions(around)


def behind_a_transaction(come_by: Reached) -> None:
    """After a transaction of the state was committed."""

    def around(done: Any) -> Any:
        with done:
            yield done
        come_by()

    _around_transactions(around)


def _around_transactions(around: Callable[[Any], Iterator[Any]]) -> None:
    transaction = database.transaction

    @contextmanager
    def watched(connection: Any) -> Iterator[Any]:
        within = transaction(connection)
        for _ in around(within):
            yield connection

    database.transaction = watched


def resolved_not_committed(come_by: Reached) -> None:
    """The work of the resolver is done inside its transaction."""
    transact = Engine._transact

    async def watched(self: Any, resolver: Any, work: Callable[[], Any]) -> Any:
        def work_and_come_by() -> Any:
            result = work()
            come_by()
            return result

        return await transact(self, resolver, work_and_come_by)

    Engine._transact = watched  # type: ignore[method-assign,assignment]


POINTS: Final[dict[str, Callable[[Reached], None]]] = {
    "the schema is being made": after(migrate, "statements"),
    "the key of the secrets is made": after(secrets, "create_key_file"),
    "a workspace is written and not committed": after(service, "record_change"),
    "a workspace is applied and nobody was told": after(service, "apply_content"),
    "a request is not in the log yet": before(SqliteEventLog, "append"),
    "a request is in the log and not answered": after(SqliteEventLog, "append"),
    "a request was answered and the answer is lost": after(IngestApp, "__call__"),
    "a batch is resolved and not committed": resolved_not_committed,
    "a batch is resolved and committed": after(Engine, "_transact"),
    "a call is in the ledger and not sent": before(Network, "handle_async_request", about_a_call),
    "a call was answered and the answer not read": after(Network, "handle_async_request", about_a_call),
    "an outcome is known and not written": before(DeliveryWorker, "_write", about_an_outcome),
    "an outcome is written": after(DeliveryWorker, "_write", about_an_outcome),
    "people were submitted and not asked for": before(DeliveryWorker, "_poll"),
    "what became of people is known and not written": after(GainsightDestination, "poll"),
    "open messages are kept and the log not shortened": before(SqliteEventLog, "retain"),
    "a part of the log is removed": after(SqliteEventLog, "_remove_oldest"),
    "the log is shortened": after(SqliteEventLog, "retain"),
    "a transaction of the state is not committed": inside_of_a_transaction,
    "a transaction of the state is committed": behind_a_transaction,
}


def watch(name: str, nth: int) -> None:
    """Die when a point is reached for the nth time; with 0 only count how often every point is."""

    def come_by(point: str, about: str = "") -> None:
        reached[point].append(about)
        if len(reached[point]) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    for point, place in POINTS.items():
        if point == name or not nth:
            reached[point] = []
            place(partial(come_by, point))
