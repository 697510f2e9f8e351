"""The whole product in one process and in virtual time: requests in, the sandbox as Gainsight, restarts, upkeep.

Its parts are those of `serve`: the ingest application, the log, the engine. They run one after the other instead of
side by side, so that a run can be repeated exactly and stopped anywhere. A run plays a script, and begins where an
earlier one, which died, ended: what the senders and the operator know is kept outside of the data directory, and so
are the time and the tenant.
"""

import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
import yaml

from gainsight_destination.deliver.worker import DeliveryWorker
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.engine import RETRY_SECONDS, UPKEEP_SECONDS, Crew, Engine
from gainsight_destination.errors import UnavailableError
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.observe.status import balanced, status
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.runtime.ingest_main import read_sources
from gainsight_destination.runtime.link import ParentLink
from gainsight_destination.runtime.options import EngineOptions, Retention
from gainsight_destination.sandbox.app import create_app
from gainsight_destination.store.database import connect
from gainsight_destination.store.migrate import migrate
from gainsight_destination.testing import ManualClock
from gainsight_destination.workspace import service
from tests.support.pipeline import ACCESS_KEY, DAY_MS, NOW_MS, at, group, identify, track

EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"
OBJECTS: Final = ("company", "person", "company_person", EVENTS, USAGE)
OF_THE_SYSTEM: Final = frozenset({"Gsid", "CreatedDate", "ModifiedDate", "CreatedBy", "ModifiedBy"})
TENANT: Final = "http://127.0.0.1:8090"
WRITE_KEY: Final = "website-key"
RESTART_SECONDS: Final = 1.0
MIGRATIONS: Final = "gainsight_destination.store.migrations"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that people or senders do, done when it is acknowledged."""

    does: str
    content: Any = None
    days: float = 0


class StoredClock(ManualClock):
    """Virtual time that goes on where an earlier process left it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        stored = os.pread(self._file, 8, 0)
        super().__init__(struct.unpack("q", stored)[0] if stored else NOW_MS + 10_000)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        os.pwrite(self._file, struct.pack("q", self.now_ms()), 0)


class SteppedEngine(Engine):
    """The engine, its parts run one after the other instead of side by side; waiting moves the time on."""

    def __init__(self, data: Path, clock: ManualClock, *, retention_days: float) -> None:
        self.time = clock
        options = EngineOptions(data, socket.socket(), ParentLink(), Retention(retention_days))
        super().__init__(options, clock)
        self.workers: list[DeliveryWorker] = []

    async def open(self) -> None:
        """As `run` does before it begins to serve."""
        await self._check_log()
        self.crew = await self._start_crew()
        await self.crew.end()

    async def follow_the_workspace(self) -> None:
        """Build the parts anew when the configuration changed."""
        if await self._workspace_version() != self.crew.workspace.version:
            for worker in self.workers:
                await worker.close()
            self.workers.clear()
            await self.open()

    async def _resolve(self, crew: Crew, resolver: Resolver) -> None:
        self.resolver = resolver

    async def _keep_up(self, crew: Crew, resolver: Resolver) -> None:
        """Nothing: `keep_up` does it when it is time."""

    async def _deliver_and_close(self, worker: DeliveryWorker, connected: Connected, crew: Crew) -> None:
        worker._jitter = lambda: 1.0
        self.workers.append(worker)

    async def _wait(self, event: Any, seconds: float) -> None:
        """A part has nothing to do for now: its turn ends."""
        self.time.advance(min(seconds, RETRY_SECONDS))
        event.set()

    async def resolve(self) -> None:
        """Resolve until nothing is left to, or something fails."""
        await super()._resolve(Crew(self.crew.workspace, self.crew.destinations), self.resolver)

    async def keep_up(self) -> bool:
        """One round of upkeep; whether it came to its end."""
        self._fold_at_ms = 0
        self.retained = False
        await super()._keep_up(Crew(self.crew.workspace, self.crew.destinations), self.resolver)
        return self.retained

    async def _retain(self) -> None:
        await super()._retain()
        self.retained = True

    async def deliver(self) -> int:
        """One step of every deliverer; milliseconds until there may be another."""
        waits = [60_000]
        for worker in self.workers:
            try:
                waits.append(await worker.step())
            except UnavailableError:
                waits.append(round(RETRY_SECONDS * 1000))
            except Exception:
                _log.exception("delivery stumbles")
                waits.append(round(RETRY_SECONDS * 1000))
        return min(waits)

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
        self._event_log.close()
        self._database.close()
        self._options.console_listener.close()

    async def status(self) -> dict[str, Any]:
        return await self._database.read(lambda connection: status(connection, self._event_log, self.time.now_ms()))

    async def ledger(self) -> Counter[int]:
        """Our own account of the calls of each clock minute."""
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT minute, calls FROM quota_minutes").fetchall()
        )
        return Counter(dict(rows))


class Network(httpx.ASGITransport):
    """The way from the engine to the tenant."""


class VirtualProduct:
    """One life of the product, from its start to its end or death."""

    def __init__(self, directory: Path, *, retention_days: float = 1) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir(exist_ok=True)
        self.clock = StoredClock(directory / "clock")
        self.tenant = create_app(database_path=directory / "sandbox.db", access_key=ACCESS_KEY, clock=self.clock)
        self.network: httpx.AsyncBaseTransport = Network(self.tenant)
        self.retention_days = retention_days
        self.refusals = 0
        random.seed(1)

    async def start(self) -> None:
        """As `serve` starts: the schema, the log, the public port, the engine."""
        self.clock.advance(RESTART_SECONDS)
        with_state = connect(self.data / "state.db")
        try:
            migrate(with_state, MIGRATIONS)
        finally:
            with_state.close()
        self.log = SqliteEventLog(self.data / "log.db")
        self.commits = GroupCommit(self.log, clock=self.clock)
        read = partial(read_sources, self.data)
        self.sources = StoredSources(self.data / "state.db", clock=self.clock, read_sources=read)
        self.sources.refresh()
        app = IngestApp(log=self.commits, sources=self.sources, clock=self.clock)
        self.senders = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest")
        self.engine = SteppedEngine(self.data, self.clock, retention_days=self.retention_days)
        await self.engine.open()
        self._connect()

    def _connect(self) -> None:
        for worker in self.engine.workers:
            worker._calls._client._transport = self.network

    async def stop(self) -> None:
        await self.senders.aclose()
        await self.commits.close()
        self.log.close()
        await self.engine.close()
        self.tenant.state.sandbox.close()

    # -- what happens

    async def play(self, script: Sequence[Step]) -> None:
        """Do the steps that were not done yet."""
        while (number := self.steps_done()) < len(script):
            step = script[number]
            await getattr(self, f"_{step.does}")(step)
            assert balanced(await self.engine.status())
            (self.directory / "done").write_text(str(number + 1))

    def steps_done(self) -> int:
        with suppress(FileNotFoundError):
            return int((self.directory / "done").read_text())
        return 0

    async def _post(self, step: Step) -> None:
        """Send a request, as often as it takes to get it acknowledged."""
        kind = step.content.get("type", "batch")
        for _ in range(1_000):
            answer = await self.senders.post(f"/v1/{kind}", json=step.content, auth=(WRITE_KEY, ""))
            if answer.status_code == 200:
                return
            assert answer.status_code == 503, answer.text
            self.refusals += 1
            self.clock.advance(float(answer.headers["retry-after"]))
        raise AssertionError(f"refused for ever: {answer.text}")

    async def _apply(self, step: Step) -> None:
        """The operator applies a workspace file, again if that fails."""
        for _ in range(100):
            try:
                service.apply_content(
                    self.data, yaml.safe_dump(step.content), clock=self.clock, actor="operator", environ={}
                )
            except (UnavailableError, service.SecretKeyError):
                self.clock.advance(1)
            else:
                self.sources.refresh()
                await self.engine.follow_the_workspace()
                self._connect()
                return
        raise AssertionError("the workspace cannot be applied")

    async def _settle(self, step: Step) -> None:
        """Resolve and deliver until nothing is left to do."""
        for _ in range(3_000):
            await self.engine.resolve()
            wait_ms = await self.engine.deliver()
            if wait_ms and await self._is_at_rest():
                return
            self.clock.advance(wait_ms / 1000)
        raise AssertionError(f"never at rest: {await self.engine.status()}")

    async def _is_at_rest(self) -> bool:
        document = await self.engine.status()
        return not document["log"]["unread"] and not any(
            destination["pending"] or any(states.get("dirty") for states in destination["records"].values())
            for destination in document["destinations"].values()
        )

    async def _wait_days(self, step: Step) -> None:
        """Days go by, to a time of the script's; then upkeep has its turn."""
        self.clock.advance(max(0, NOW_MS + step.days * DAY_MS - self.clock.now_ms()) / 1000)
        while not await self.engine.keep_up():
            self.clock.advance(UPKEEP_SECONDS)
        await self._settle(step)

    async def _look_again(self, step: Step) -> None:
        """Half an hour passes, after which what was absent in Gainsight is looked for once more."""
        end_ms = self.clock.now_ms() + 45 * 60_000
        while self.clock.now_ms() < end_ms:
            await self.engine.resolve()
            self.clock.advance(await self.engine.deliver() / 1000)
        await self._settle(step)

    async def accounts(self) -> tuple[str, str]:
        """Two accounts that Gainsight has Companies of."""
        companies = (await self.control("state?object=company"))["objects"]["company"]
        one, two = [row["SfdcAccountId"] for row in companies if len(row["SfdcAccountId"]) == 18][:2]
        return one, two

    # -- what came of it

    async def outcome(self) -> dict[str, Any]:
        """What Gainsight holds and the books say, apart from what repeats and restarts may change."""
        document = await self.engine.status()
        quota = await self.control("quota")
        books = {name: self._books(destination) for name, destination in document["destinations"].items()}
        return {
            "held": await self.held(),
            "books": books,
            "calls": [destination["calls"]["total"] for destination in document["destinations"].values()],
            "accepted": quota["accepted"],
            "refused": quota["refused"],
            "most_in_a_minute": max((minute["accepted"] for minute in quota["minutes"]), default=0),
        }

    @staticmethod
    def _books(destination: Mapping[str, Any]) -> dict[str, Any]:
        kept = ("discarded", "filtered", "parked", "pending", "delivered", "dead", "pauses", "records")
        return {name: destination[name] for name in kept} | {
            "distinct": destination["received"] - destination["duplicates"]
        }

    async def held(self) -> dict[str, list[str]]:
        """Everything Gainsight holds without what it makes up itself; ids replaced by what they point at."""
        state = {name.lower(): rows for name, rows in (await self.control("state"))["objects"].items()}
        names = {row["Gsid"]: f"company {row['Name']}" for row in state["company"]}
        names |= {row["Gsid"]: f"person {row['Email']}" for row in state["person"]}
        return {
            name: sorted(
                str(sorted((k, names.get(v, v)) for k, v in row.items() if k not in OF_THE_SYSTEM and v is not None))
                for row in state[name.lower()]
            )
            for name in OBJECTS
        }

    async def control(self, path: str, *, method: str = "GET", body: Any = None) -> Any:
        """Call the sandbox's control API."""
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.tenant), base_url=TENANT, verify=False
        ) as client:
            return (await client.request(method, f"/_sandbox/{path}", json=body)).raise_for_status().json()


def workspace(**settings: Any) -> dict[str, Any]:
    """A workspace file with one source and one destination."""
    return {
        "sources": [{"name": "website", "writeKey": WRITE_KEY}],
        "destinations": [
            {
                "name": "gainsight",
                "type": "gainsight",
                "sources": ["website"],
                "settings": {
                    "accessKey": ACCESS_KEY,
                    "domain": TENANT,
                    "flushSeconds": 1,
                    "parkDays": 10,
                    "correctionDays": 1,
                    **settings,
                },
            }
        ],
    }


def script(one: str, two: str, new: str) -> list[Step]:
    """Everything the product does, once: each object inserted and changed, corrections, parking, upkeep, new settings.

    `one` and `two` are accounts of Companies that Gainsight has, `new` is one that it has not.
    """

    def batch(*messages: Mapping[str, Any]) -> Step:
        numbered = [{"messageId": f"{m['type']}-{m.get('userId')}-{m.get('timestamp')}", **m} for m in messages]
        return Step("post", {"batch": numbered})

    def tracks(user: str, minutes: float, names: str, **more: Any) -> list[dict[str, Any]]:
        return [
            track(user, f"Event {name}", messageId=f"{user}-{minutes}-{n}", timestamp=at(minutes), **more)
            for n, name in enumerate(names)
        ]

    return [
        Step("apply", workspace()),
        batch(
            identify("u1", {"email": "u1@x.test", "firstName": "Mo", "accountId": one}, timestamp=at(-60)),
            identify("u2", {"email": "u2@x.test", "name": "Jo"}, timestamp=at(-60)),
            identify("u3", {"email": "u3@x.test"}, timestamp=at(-60)),
        ),
        batch(
            group("u2", two, {"industry": "Energy", "employees": "12"}, timestamp=at(-59)), *tracks("u1", -58, "AAB")
        ),
        batch(*tracks("u2", -57, "AB"), *tracks("u9", -56, "C")),
        Step("settle"),
        Step("post", {**identify("u1", {"lastName": "Ito"}, timestamp=at(-30)), "messageId": "i-1"}),
        batch(group("u4", new, {"name": "Newcomer"}, timestamp=at(-29)), *tracks("u4", -28, "A")),
        Step("settle"),
        Step("apply", workspace(createCompanies=True)),
        batch(group("u9", one, {"employees": 13}, timestamp=at(-90)), *tracks("u1", -20, "A")),
        batch(*tracks("u1", -58, "AAB"), identify("u1", {"accountId": two}, timestamp=at(-58.5), messageId="late")),
        batch(*tracks("u5", -10, "AB", properties={"rows": 7})),
        Step("look_again"),
        Step("wait_days", days=4),  # the log lets go of what it holds, but not of those who wait for an account
        batch(group("u5", two, timestamp=at(4 * 1440 + 1)), *tracks("u1", 4 * 1440 + 1, "A")),
        Step("settle"),
        Step("wait_days", days=16),  # the state lets go of what no late fact can move
        batch(*tracks("u1", 16 * 1440 + 1, "A"), *tracks("u3", 16 * 1440 + 2, "A")),
        Step("settle"),
    ]
