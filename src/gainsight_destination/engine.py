"""The engine: reads the log, resolves, delivers, and answers on the private port. The one place that wires its parts.

One version of the workspace is served at a time. When the configuration changes, the parts that depend on it are
stopped between two transactions and built anew.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import structlog
import uvicorn
import uvloop

from gainsight_destination.clock import Clock, SystemClock
from gainsight_destination.console.front import create_front
from gainsight_destination.console.house import House
from gainsight_destination.deliver.worker import DeliveryWorker
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.registry import build
from gainsight_destination.errors import StoppedError, UnavailableError
from gainsight_destination.eventlog.contract import LoggedEntry
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.observe import metrics
from gainsight_destination.observe.status import status
from gainsight_destination.records import history, replays
from gainsight_destination.records.past_rules import forget_before
from gainsight_destination.records.upkeep import (
    crowded_records,
    drop_kept_messages,
    fold_statements,
    keep_open_messages,
    part_to_remove,
    settle,
)
from gainsight_destination.resolve import coverage, event_days, replay
from gainsight_destination.resolve.duplicates import forget_seen
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.runtime.options import EngineOptions
from gainsight_destination.store.database import Database
from gainsight_destination.workspace.model import Trust, Workspace
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import load

BATCH_MESSAGES: Final = 20_000
BATCH_BYTES: Final = 16 * 1024 * 1024
"""One transaction resolves so much of a backlog at once: the more, the less each message costs (docs/adr/0012)."""
POLL_SECONDS: Final = 0.05
WORKSPACE_CHECK_SECONDS: Final = 0.5
UPKEEP_SECONDS: Final = 60.0
DUPLICATE_WINDOW_MS: Final = 7 * 86_400_000
RETRY_SECONDS: Final = 1.0
REPLAY_CHECK_SECONDS: Final = 1.0
FOLD_EVERY_MS: Final = 3_600_000
CALL_GRACE_SECONDS: Final = 1.0
CHANGE_GRACE_SECONDS: Final = 10.0
"""How long a call under way is waited for when the process stops, and when only the configuration changes: what is
dropped has to be looked up, and an event of the Events Framework, which cannot be, is fired twice."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass
class Crew:
    """The parts that serve one version of the workspace."""

    workspace: Workspace
    destinations: list[Connected]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    deliveries: list[asyncio.Task[None]] = field(default_factory=list)

    async def end(self, grace_seconds: float = CALL_GRACE_SECONDS) -> None:
        """Let every part finish what it is doing; a call that takes long is dropped, as a crash would drop it."""
        self.stop.set()
        self.wake.set()
        if self.deliveries:
            _, slow = await asyncio.wait(self.deliveries, timeout=grace_seconds)
            for delivery in slow:
                delivery.cancel()
        await asyncio.gather(*self.tasks)
        await asyncio.gather(*self.deliveries, return_exceptions=True)


class Engine:
    """Everything between the log and the destinations."""

    def __init__(self, options: EngineOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._database = Database(options.state_path)
        self._event_log = SqliteEventLog(options.log_path)
        self._secrets = Secrets.of(options.data_dir)
        self._stop = asyncio.Event()
        self._fold_at_ms = 0
        self._sweep = clock.now_ms() // round(UPKEEP_SECONDS * 1000)  # another part first after each start
        self._trouble: dict[str, str] = {}

    async def run(self) -> None:
        """Serve until asked to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = self._private_server()
        serving = asyncio.create_task(server.serve(sockets=[self._options.console_listener]))
        try:
            self._database.take_charge()
            await self._check_log()
            crew = await self._start_crew()
            try:
                while not self._stop.is_set():
                    await self._wait(self._stop, WORKSPACE_CHECK_SECONDS)
                    if await self._workspace_version() != crew.workspace.version:
                        await crew.end(CHANGE_GRACE_SECONDS)
                        crew = await self._start_crew()
                    for task in (*crew.tasks, *crew.deliveries):
                        if task.done():
                            task.result()
            finally:
                await crew.end()
        finally:
            server.should_exit = True
            await serving
            self._event_log.close()
            self._database.close()

    async def _check_log(self) -> None:
        """A log that ends before what was already read is not the log this state came from."""
        read_until, end = await self._next_offset(), self._event_log.end()
        if read_until > end:
            raise StoppedError(
                f"log.db ends at message {end}, but state.db has already read up to {read_until}: "
                "one of them was restored from an older backup; restore both from the same one"
            )

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    async def _workspace_version(self) -> int:
        return await self._database.read(
            lambda connection: int(connection.execute("SELECT version FROM workspace").fetchone()[0])
        )

    async def _start_crew(self) -> Crew:
        workspace = await self._database.read(lambda connection: load(connection, self._secrets))
        destinations = [
            Connected(d.id, d.name, d.source_ids, build(d.type, d.settings), frozenset(d.consent_categories))
            for d in workspace.destinations
            if d.enabled
        ]
        crew = Crew(workspace, destinations)
        limited = frozenset(source.id for source in workspace.sources if source.trust is Trust.LIMITED)
        resolver = await self._database.write(
            lambda connection: Resolver(
                connection, self._event_log, destinations, duplicate_window_ms=DUPLICATE_WINDOW_MS, limited=limited
            )
        )
        crew.tasks.append(asyncio.create_task(self._resolve(crew, resolver)))
        crew.tasks.append(asyncio.create_task(self._keep_up(crew, resolver)))
        crew.tasks.append(asyncio.create_task(self._replay(crew, resolver)))
        for connected in destinations:
            worker = DeliveryWorker(
                self._database, self._event_log, self._clock, connected, settings_version=workspace.version
            )
            crew.deliveries.append(asyncio.create_task(self._deliver_and_close(worker, connected, crew)))
        _log.info("workspace in force", version=workspace.version, destinations=[c.name for c in destinations])
        return crew

    # -- resolve

    async def _resolve_parked(self, crew: Crew, resolver: Resolver) -> None:
        """A new configuration may read accounts that the old one did not: look at what waits once more."""
        for connected in crew.destinations:
            after_offset: int | None = -1
            while after_offset is not None and not crew.stop.is_set():
                work = partial(resolver.resolve_parked, connected, after_offset, self._clock.now_ms())
                after_offset = await self._transact(resolver, work)

    async def _review(self, crew: Crew, resolver: Resolver) -> None:
        """After a change of trust, look at what may still move once more."""
        for connected in crew.destinations:
            review, seen = partial(resolver.review, connected, await self._resolved_until_ms()), False
            while not crew.stop.is_set() and await self._transact(resolver, review):
                seen = True
                crew.wake.set()
            if seen and not crew.stop.is_set():
                _log.info("resolved again what may still move, since trust changed", destination=connected.name)

    async def _replay(self, crew: Crew, resolver: Resolver) -> None:
        """Advance the replays, a chunk of each destination's at a time; what comes live goes between two chunks."""
        while not crew.stop.is_set():
            busy = False
            for connected in crew.destinations:
                key = f"replay:{connected.id}"
                try:
                    busy |= await self._replay_chunk(connected, resolver)
                    self._trouble.pop(key, None)
                except UnavailableError as error:
                    self._trouble[key] = f"{connected.name}: replay waits: {error}"
                    _log.error("replay failed, trying again", destination=connected.name, reason=str(error))
                except StoppedError:
                    raise
                except Exception as error:
                    self._trouble[key] = f"{connected.name}: replay stumbles: {type(error).__name__}"
                    _log.exception("replay failed unexpectedly, trying again", destination=connected.name)
            if busy:
                crew.wake.set()
            else:
                await self._wait(crew.stop, REPLAY_CHECK_SECONDS)

    async def _replay_chunk(self, connected: Connected, resolver: Resolver) -> bool:
        """Whether a replay of a destination went on; it waits while much that came live is unread."""
        unfinished = await self._database.read(partial(replays.unfinished, destination_id=connected.id))
        if not unfinished or self._event_log.end() - await self._next_offset() > BATCH_MESSAGES:
            return False
        advance = partial(replay.advance, resolver, connected, self._clock.now_ms())
        try:
            return await self._transact(resolver, advance)
        except (UnavailableError, StoppedError):
            raise
        except Exception:
            _log.exception("a part of the log cannot be replayed; entry by entry", destination=connected.name)
        try:
            return await self._transact(resolver, partial(advance, 1))
        except (UnavailableError, StoppedError):
            raise
        except Exception:
            _log.exception("an entry of the log cannot be replayed; it is skipped", destination=connected.name)
            await self._transact(resolver, partial(replay.set_aside, resolver, connected, self._clock.now_ms()))
            return True

    async def _resolve(self, crew: Crew, resolver: Resolver) -> None:
        while not crew.stop.is_set():
            try:
                busy = await self._resolve_batch(resolver)
                self._trouble.pop("resolve", None)
            except UnavailableError as error:
                self._trouble["resolve"] = f"messages are not resolved: {error}"
                _log.error("resolving failed, trying again", reason=str(error))
                await self._wait(crew.stop, RETRY_SECONDS)
                continue
            if busy:
                crew.wake.set()
            else:
                await self._wait(crew.stop, POLL_SECONDS)

    async def _resolve_batch(self, resolver: Resolver) -> bool:
        offset = await self._next_offset()
        entries = await asyncio.to_thread(
            self._event_log.read, offset, max_messages=BATCH_MESSAGES, max_bytes=BATCH_BYTES
        )
        metrics.resolve_lag_messages.set(self._event_log.end() - offset)
        if not entries:
            return False
        with metrics.resolve_seconds.time():
            await self._take_in(resolver, entries)
        metrics.resolve_messages.inc(sum(logged.entry.count for logged in entries))
        return True

    async def _take_in(self, resolver: Resolver, entries: list[LoggedEntry]) -> None:
        """Resolve entries together; if that fails for no outside reason, in halves, setting aside what cannot be."""
        try:
            await self._transact(resolver, lambda: resolver.resolve(entries, self._clock.now_ms()))
        except (UnavailableError, StoppedError):
            raise
        except Exception:
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._take_in(resolver, entries[:middle])
                await self._take_in(resolver, entries[middle:])
                return
            _log.exception("an entry of the log cannot be resolved; it is set aside", offset=entries[0].offset)
            await self._transact(resolver, lambda: resolver.set_aside(entries[0]))

    async def _transact(self, resolver: Resolver, work: Callable[[], T]) -> T:
        """Run the resolver's work in one transaction; what it remembers goes with a transaction that fails."""
        return await self._database.write(lambda _: work(), undone=resolver.forget)

    # -- deliver and upkeep

    async def _deliver(self, worker: DeliveryWorker, connected: Connected, crew: Crew) -> None:
        key = f"deliver:{connected.id}"
        while not crew.stop.is_set():
            try:
                await worker.step()
                self._trouble.pop(key, None)
                await worker.run(crew.stop, crew.wake)
            except UnavailableError as error:
                self._trouble[key] = f"{connected.name}: delivery waits: {error}"
                _log.error("delivery failed, trying again", destination=connected.name, reason=str(error))
            except StoppedError:
                raise
            except Exception as error:
                self._trouble[key] = f"{connected.name}: delivery stumbles: {type(error).__name__}"
                _log.exception("delivery failed unexpectedly, trying again", destination=connected.name)
            await self._wait(crew.stop, RETRY_SECONDS)

    async def _deliver_and_close(self, worker: DeliveryWorker, connected: Connected, crew: Crew) -> None:
        try:
            await self._deliver(worker, connected, crew)
        finally:
            await worker.close()

    async def _keep_up(self, crew: Crew, resolver: Resolver) -> None:
        parked_seen = False
        while not crew.stop.is_set():
            try:
                await self._review(crew, resolver)
                if not parked_seen:
                    await self._resolve_parked(crew, resolver)
                    parked_seen = True
                now_ms = await self._resolved_until_ms()
                await self._transact(resolver, partial(resolver.expire_parked, now_ms))
                await self._let_go(crew, now_ms)
                await self._fold(crew)
                await self._retain()
            except UnavailableError as error:
                _log.warning("upkeep waits", reason=str(error))
            await self._wait(crew.stop, UPKEEP_SECONDS)

    async def _fold(self, crew: Crew) -> None:
        """Forget statements that were said anew since, now and then, a record per transaction."""
        now_ms = self._clock.now_ms()
        if now_ms < self._fold_at_ms:
            return
        self._fold_at_ms = now_ms + FOLD_EVERY_MS
        for record_id in await self._database.read(crowded_records):
            if crew.stop.is_set():
                return
            await self._database.write(partial(fold_statements, record_id=record_id))

    async def _resolved_until_ms(self) -> int:
        """Now, or the receipt of the oldest message not resolved yet: after a pause its facts still have their say."""
        unread = await asyncio.to_thread(self._event_log.read, await self._next_offset(), max_messages=1)
        now_ms = self._clock.now_ms()
        return min(now_ms, unread[0].entry.received_at_ms) if unread else now_ms

    async def _let_go(self, crew: Crew, now_ms: int) -> None:
        """Forget what no longer can matter, a chunk per transaction, so that nothing waits long."""
        self._sweep = await self._database.write(
            partial(forget_seen, received_before_ms=now_ms - DUPLICATE_WINDOW_MS, sweep=self._sweep)
        )
        for kept in (history, coverage, event_days):
            await self._database.write(partial(kept.forget, now_ms=self._clock.now_ms()))
        for connected in crew.destinations:
            after_offset: int | None = -1
            while after_offset is not None and not crew.stop.is_set():
                after_offset = await self._database.write(
                    partial(
                        settle,
                        destination_id=connected.id,
                        destination=connected.destination,
                        now_ms=now_ms,
                        after_offset=after_offset,
                    )
                )

    async def _retain(self) -> None:
        """Shorten the log by age and size, keeping what is unread and what is still on its way."""
        retention, log = self._options.retention, self._event_log
        older_than_ms = retention.older_than_ms(self._clock.now_ms())
        read_until = await self._next_offset()
        until = await asyncio.to_thread(part_to_remove, log, read_until, older_than_ms, retention.max_bytes())
        if until > log.start():
            kept = await self._database.write(partial(keep_open_messages, log=log, until_offset=until))
            removed = await asyncio.to_thread(
                log.retain, keep_from_offset=until, older_than_ms=older_than_ms, max_bytes=retention.max_bytes()
            )
            _log.info("log shortened", messages_removed=removed, messages_kept_in_store=kept)
            await self._database.write(partial(forget_before, offset=log.start()))
        await self._database.write(drop_kept_messages)

    async def _next_offset(self) -> int:
        return await self._database.read(
            lambda connection: int(connection.execute("SELECT next_offset FROM reader").fetchone()[0])
        )

    # -- the private port

    def _private_server(self) -> uvicorn.Server:
        options = self._options
        app = create_front(
            House(
                database=self._database,
                log=self._event_log,
                clock=self._clock,
                data_dir=options.data_dir,
                reasons=lambda: [*options.link.report.reasons, *self._trouble.values()],
                notes=lambda: options.link.report.notes,
                ingest_metrics=lambda: options.link.report.metrics,
                refresh_metrics=self._refresh_metrics,
                ingest_url=lambda: options.link.report.ingest_url,
                stopping=self._stop.is_set,
                hosts=lambda: options.link.report.console_hosts,
            )
        )
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,  # anybody on this machine could say who they are
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        return server

    def _refresh_metrics(self) -> None:
        connection = self._database.reader()
        connection.execute("BEGIN")
        now_ms = self._clock.now_ms()
        try:
            document = status(connection, self._event_log, now_ms)
        finally:
            connection.execute("COMMIT")
        metrics.books_messages.clear()
        for name, destination in document["destinations"].items():
            for state in ("received", "duplicates", "pending", "delivered", "dead"):
                metrics.books_messages.labels(name, state, "").set(destination[state])
            for state in ("discarded", "filtered", "parked"):
                for reason, messages in destination[state].items():
                    metrics.books_messages.labels(name, state, reason).set(messages)
            for window in ("minute", "day"):
                metrics.deliver_quota_calls.labels(name, window).set(destination["calls"][window])
                metrics.deliver_quota_share_calls.labels(name, window).set(destination["calls"][f"{window}Share"] or 0)
            waiting = destination["forecast"] or {"calls": 0, "drainedAt": None}
            metrics.deliver_waiting_calls.labels(name).set(waiting["calls"])
            metrics.deliver_drain_seconds.labels(name).set(((waiting["drainedAt"] or now_ms) - now_ms) / 1000)
            left = sum(r["log"]["messages"] - r["log"]["lookedAt"] for r in destination["replays"])
            metrics.replay_left_messages.labels(name).set(left)
            due = sum(r["records"]["waiting"] for r in destination["replays"])
            metrics.replay_waiting_records.labels(name).set(due)
            for object_name, rows in destination["rows"].items():
                metrics.deliver_held_rows.labels(name, object_name).set(rows["held"])
                metrics.deliver_max_rows.labels(name, object_name).set(rows["max"])
            metrics.destination_paused.labels(name).set(bool(destination["pauses"]))


def run_engine(options: EngineOptions) -> None:
    """Run the engine until TERM or INT. Raises StoppedError when it cannot go on."""

    async def main() -> None:
        await Engine(options, SystemClock()).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
