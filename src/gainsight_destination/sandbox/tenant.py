"""The simulated tenant inside one transaction: what every endpoint works on."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from gainsight_destination.sandbox.switches import Switches

DEMO_ACCESS_KEY: Final = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
DEMO_OAUTH_KEY: Final = "5a4dbc0e-0a07-4b0c-8e5a-4dbc0e5a4dbc"
DEMO_OAUTH_SECRET: Final = "sandbox-oauth-secret"  # noqa: S105 - a documented demo value of a loopback tool
DEMO_SHARED_SECRET: Final = "sandbox-shared-secret"  # noqa: S105 - likewise
DEMO_TENANT_ID: Final = "sandbox-tenant"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers prove themselves with. Demo values unless given."""

    access_key: str = DEMO_ACCESS_KEY
    oauth_key: str = DEMO_OAUTH_KEY
    oauth_secret: str = DEMO_OAUTH_SECRET
    shared_secret: str = DEMO_SHARED_SECRET
    tenant_id: str = DEMO_TENANT_ID

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be stored."""
        return (self.access_key, self.oauth_secret, self.shared_secret)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A transaction on the tenant's file, at one moment."""

    connection: sqlite3.Connection
    now_ms: int
    switches: Switches
    credentials: Credentials
