"""The one layer that changes the configuration: validates, writes in one transaction, versions and audits.

A running `serve` looks at the version twice a second, so what is committed here takes effect by itself.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gainsight_destination.clock import Clock
from gainsight_destination.destinations.catalog import CATALOG, CatalogEntry
from gainsight_destination.errors import UserError
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate
from gainsight_destination.workspace.data_directory import make_data_directory
from gainsight_destination.workspace.export import export_document
from gainsight_destination.workspace.file import read_spec
from gainsight_destination.workspace.model import Destination, Source, Workspace
from gainsight_destination.workspace.plan import UNREADABLE, Plan, make_plan
from gainsight_destination.workspace.secrets import SecretKeyError, SecretPlace, Secrets
from gainsight_destination.workspace.spec import WorkspaceSpec
from gainsight_destination.workspace.stored import read_sources, read_workspace, record_change
from gainsight_destination.workspace.versions import keep_version

MIGRATIONS = "gainsight_destination.store.migrations"


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What was changed, in sentences; nothing when the configuration was as wanted already."""

    version: int
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def load(connection: sqlite3.Connection, secrets: Secrets) -> Workspace:
    """The stored configuration with its secrets, all of one version.

    Raises SecretKeyError (a StoppedError) when the key does not open a secret of an enabled destination; those of a
    disabled one are left out then, and those of a source always: the public port refuses its webhook and says why.
    """
    if connection.in_transaction:
        return read_opened(connection, secrets)
    connection.execute("BEGIN")
    try:
        return read_opened(connection, secrets)
    finally:
        connection.execute("COMMIT")


def read_opened(connection: sqlite3.Connection, secrets: Secrets) -> Workspace:
    failures: dict[str, SecretKeyError] = {}

    def decrypt(place: SecretPlace, stored: str) -> Any:
        try:
            return secrets.decrypt(place, stored)
        except SecretKeyError as error:
            if place.kind == "destination":
                failures[place.name] = error
            return UNREADABLE

    workspace = read_workspace(connection, decrypt)
    for destination in workspace.destinations:
        if destination.enabled and destination.name in failures:
            raise failures[destination.name]
    return replace(
        workspace,
        sources=tuple(map(without_unreadable_webhook, workspace.sources)),
        destinations=tuple(map(without_unreadable, workspace.destinations)),
    )


def load_sources(connection: sqlite3.Connection, secrets: Secrets) -> tuple[Source, ...]:
    """The stored sources for the public port. A webhook's secrets that the key does not open are left out."""
    sources = read_sources(connection, partial(decrypt_if_possible, secrets))
    return tuple(map(without_unreadable_webhook, sources))


def decrypt_if_possible(secrets: Secrets, place: SecretPlace, stored: str) -> Any:
    try:
        return secrets.decrypt(place, stored)
    except SecretKeyError:
        return UNREADABLE


def without_unreadable_webhook(source: Source) -> Source:
    if source.webhook is None or UNREADABLE not in source.webhook.secrets:
        return source
    readable = tuple(secret for secret in source.webhook.secrets if secret is not UNREADABLE)
    return replace(source, webhook=replace(source.webhook, secrets=readable))


def without_unreadable(destination: Destination) -> Destination:
    readable = {name: value for name, value in destination.settings.items() if value is not UNREADABLE}
    return replace(destination, settings=readable)


def plan(
    connection: sqlite3.Connection,
    secrets: Secrets,
    wanted: WorkspaceSpec,
    *,
    catalog: Mapping[str, CatalogEntry] = CATALOG,
) -> Plan:
    """What `apply` would change. Raises InvalidSettingsError with every problem; changes nothing."""
    return make_plan(read_workspace(connection, partial(decrypt_if_possible, secrets)), wanted, catalog)


def apply(
    connection: sqlite3.Connection,
    secrets: Secrets,
    wanted: WorkspaceSpec,
    *,
    clock: Clock,
    actor: str,
    catalog: Mapping[str, CatalogEntry] = CATALOG,
) -> ApplyResult:
    """Make the configuration equal to the wanted one, wholly or not at all.

    `actor` is who did it, for the audit. Raises InvalidSettingsError with every problem.
    """
    with transaction(connection):
        return apply_within(connection, secrets, wanted, now_ms=clock.now_ms(), actor=actor, catalog=catalog)


def apply_within(
    connection: sqlite3.Connection,
    secrets: Secrets,
    wanted: WorkspaceSpec,
    *,
    now_ms: int,
    actor: str,
    catalog: Mapping[str, CatalogEntry] = CATALOG,
) -> ApplyResult:
    """`apply` as part of the caller's transaction."""
    planned = plan(connection, secrets, wanted, catalog=catalog)
    for change in planned.changes:
        change.write(connection, secrets)
    version = record(connection, planned.sentences, now_ms=now_ms, actor=actor)
    return ApplyResult(version, planned.sentences, planned.warnings)


def record(connection: sqlite3.Connection, sentences: Sequence[str], *, now_ms: int, actor: str) -> int:
    """Make what was changed the next version, if anything was, in the caller's transaction; the version then."""
    (version,) = connection.execute("SELECT version FROM workspace").fetchone()
    if sentences:
        version += 1
        record_change(connection, version=version, changed_at_ms=now_ms, actor=actor, changes=sentences)
        keep_version(connection, version)
    return int(version)


def apply_file(data_dir: Path, file: Path, *, clock: Clock, actor: str, environ: Mapping[str, str]) -> ApplyResult:
    """Apply a workspace file to a data directory, which is made if it is not there. Raises UserError."""
    return apply_content(data_dir, read_content(file), clock=clock, actor=actor, environ=environ)


def apply_content(data_dir: Path, content: str, *, clock: Clock, actor: str, environ: Mapping[str, str]) -> ApplyResult:
    """Apply the text of a workspace file."""
    wanted = read_spec(content, environ=environ)
    make_data_directory(data_dir)
    with closing(connect(data_dir / "state.db")) as connection:
        migrate(connection, MIGRATIONS)
        return apply(connection, Secrets.of(data_dir, environ), wanted, clock=clock, actor=actor)


def check_content(data_dir: Path, content: str, *, environ: Mapping[str, str]) -> Plan:
    """What applying this text would change. Writes nothing, not even a data directory that is not there."""
    wanted = read_spec(content, environ=environ)
    with closing(open_to_look(data_dir)) as connection:
        return plan(connection, Secrets.of(data_dir, environ), wanted)


def export(data_dir: Path) -> dict[str, Any]:
    """The configuration in the shape of a workspace file, with references in place of write keys and secrets."""
    with closing(open_to_look(data_dir)) as connection:
        return export_document(connection)


def sources(data_dir: Path) -> tuple[Source, ...]:
    """The sources of a data directory; none when nothing is stored yet. Needs no key."""
    with closing(open_to_look(data_dir)) as connection:
        return read_sources(connection, lambda _place, _stored: None)


def open_to_look(data_dir: Path) -> sqlite3.Connection:
    """The stored configuration to read only; an empty one when nothing is stored yet."""
    state = data_dir / "state.db"
    if state.exists():
        connection = connect(state, read_only=True)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'workspace'").fetchone():
            connection.execute("BEGIN")
            return connection
        connection.close()
    connection = connect(Path(":memory:"))
    migrate(connection, MIGRATIONS)
    return connection


def read_content(file: Path) -> str:
    """The text of a workspace file. Raises UserError."""
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"the workspace file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"the workspace file {file} is not UTF-8 text") from None
