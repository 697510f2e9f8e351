"""The tenant's file and clock: opens, seeds and migrates the file, and runs work on it one transaction at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gainsight_destination.clock import Clock
from gainsight_destination.sandbox.exchange import WORKS
from gainsight_destination.sandbox.jobs import finish_due_jobs
from gainsight_destination.sandbox.seed import is_fresh, reset
from gainsight_destination.sandbox.switches import DEFAULTS, load_switches
from gainsight_destination.sandbox.tenant import Credentials, Tenant
from gainsight_destination.store.database import Database, connect
from gainsight_destination.store.migrate import migrate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How a tenant is set up. `companies` replaces the Companies of the seed."""

    credentials: Credentials = field(default_factory=Credentials)
    random_seed: str = "sandbox"
    companies: Sequence[Mapping[str, Any]] | None = None


class Sandbox:
    """One simulated tenant in one SQLite file."""

    def __init__(self, database_path: Path, *, clock: Clock, options: SandboxOptions) -> None:
        connection = connect(database_path)
        try:
            migrate(connection, "gainsight_destination.sandbox.migrations")
        finally:
            connection.close()
        self.clock = clock
        self.options = options
        self._database = Database(database_path)
        try:
            self._database.submit(lambda found: self._seed(self._tenant(found))).result()
        except BaseException:
            self._database.close()
            raise

    async def run(self, work: Callable[[Tenant], T]) -> T:
        """Run `work` in one transaction, after the jobs whose time has come. What it raises undoes it."""

        def settled(tenant: Tenant) -> T:
            finish_due_jobs(tenant, WORKS)
            return work(tenant)

        return await self._database.write(lambda connection: settled(self._tenant(connection)))

    async def reset(self) -> None:
        """Make the tenant as new."""
        await self._database.write(lambda connection: self._reset(self._tenant(connection)))

    def close(self) -> None:
        self._database.close()

    def _tenant(self, connection: Any) -> Tenant:
        switches = DEFAULTS if is_fresh(connection) else load_switches(connection)
        return Tenant(connection, self.clock.now_ms(), switches, self.options.credentials)

    def _seed(self, tenant: Tenant) -> None:
        if is_fresh(tenant.connection):
            self._reset(tenant)

    def _reset(self, tenant: Tenant) -> None:
        fresh = Tenant(tenant.connection, tenant.now_ms, DEFAULTS, tenant.credentials)
        reset(fresh, random_seed=self.options.random_seed, companies=self.options.companies)
