"""The configuration as rows of `state.db`: reading a snapshot, and the single writes a change is made of."""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from gainsight_destination.workspace.model import Destination, Source, Webhook, Workspace
from gainsight_destination.workspace.secrets import SecretPlace, Secrets
from gainsight_destination.workspace.source_settings import source_of

Decrypt = Callable[[SecretPlace, str], Any]
"""(place, stored text) -> value."""


def read_workspace(connection: sqlite3.Connection, decrypt: Decrypt) -> Workspace:
    """The stored configuration. Run it inside a transaction, so that everything is of one version."""
    (version,) = connection.execute("SELECT version FROM workspace").fetchone()
    connected: dict[int, set[int]] = {}
    for source_id, destination_id in connection.execute("SELECT source_id, destination_id FROM connections"):
        connected.setdefault(destination_id, set()).add(source_id)
    destinations = connection.execute(
        "SELECT id, name, type, enabled, settings, secrets, consent_categories FROM destinations ORDER BY id"
    ).fetchall()
    return Workspace(
        version,
        read_sources(connection, decrypt),
        tuple(
            Destination(
                id_,
                name,
                type_,
                bool(enabled),
                frozenset(connected.get(id_, ())),
                json.loads(settings)
                | {
                    setting: decrypt(SecretPlace("destination", name, setting), stored)
                    for setting, stored in json.loads(secrets).items()
                },
                tuple(json.loads(consent_categories)),
            )
            for id_, name, type_, enabled, settings, secrets, consent_categories in destinations
        ),
    )


def read_sources(connection: sqlite3.Connection, decrypt: Decrypt) -> tuple[Source, ...]:
    """The stored sources. What `decrypt` makes of a webhook's secrets is what they are."""
    rows = connection.execute(
        "SELECT id, name, write_key, enabled, settings, secrets, retired_key, retired_key_until_ms"
        " FROM sources ORDER BY id"
    )
    return tuple(
        replace(
            source_of(
                id_,
                name,
                write_key,
                bool(enabled),
                json.loads(settings),
                [
                    decrypt(SecretPlace("source", name, setting), stored)
                    for setting, stored in json.loads(secrets).items()
                ],
            ),
            retired_key=retired_key,
            retired_key_until_ms=until_ms,
        )
        for id_, name, write_key, enabled, settings, secrets, retired_key, until_ms in rows
    )


def add_source(connection: sqlite3.Connection, name: str, write_key: str, enabled: bool) -> None:
    connection.execute(
        "INSERT INTO sources (name, write_key, enabled) VALUES (?, ?, ?)", (name, write_key, int(enabled))
    )


def set_write_keys(connection: sqlite3.Connection, write_keys: Mapping[str, str]) -> None:
    """Give sources new write keys, which may be those that others of them had."""
    connection.executemany(
        "UPDATE sources SET write_key = char(0) || id WHERE name = ?", [(name,) for name in write_keys]
    )
    connection.executemany(
        "UPDATE sources SET write_key = ? WHERE name = ?", [(key, name) for name, key in write_keys.items()]
    )


def rotate_write_key(connection: sqlite3.Connection, name: str, write_key: str, until_ms: int) -> None:
    """Give a source a new write key; the one that it had stays good for a while."""
    connection.execute(
        "UPDATE sources SET retired_key = write_key, retired_key_until_ms = ?, write_key = ? WHERE name = ?",
        (until_ms, write_key, name),
    )


def retire_now(connection: sqlite3.Connection, name: str) -> None:
    """The former write key of a source is good no more."""
    connection.execute("UPDATE sources SET retired_key = NULL, retired_key_until_ms = NULL WHERE name = ?", (name,))


def rename_source(connection: sqlite3.Connection, name: str, new_name: str) -> None:
    connection.execute("UPDATE sources SET name = ? WHERE name = ?", (new_name, name))


def rename_destination(connection: sqlite3.Connection, name: str, new_name: str) -> None:
    connection.execute("UPDATE destinations SET name = ? WHERE name = ?", (new_name, name))


def enable_source(connection: sqlite3.Connection, name: str, enabled: bool) -> None:
    connection.execute("UPDATE sources SET enabled = ? WHERE name = ?", (int(enabled), name))


def set_source_settings(
    connection: sqlite3.Connection, secrets: Secrets, name: str, document: Mapping[str, Any], webhook: Webhook | None
) -> None:
    """Store the settings of a source, the secrets of its webhook encrypted."""
    places = {f"webhook.secrets[{place}]": secret for place, secret in enumerate(webhook.secrets if webhook else ())}
    sealed = {
        setting: secrets.encrypt(SecretPlace("source", name, setting), secret) for setting, secret in places.items()
    }
    connection.execute(
        "UPDATE sources SET settings = ?, secrets = ? WHERE name = ?", (json.dumps(document), json.dumps(sealed), name)
    )


def add_destination(connection: sqlite3.Connection, name: str, type_: str, enabled: bool) -> None:
    connection.execute(
        "INSERT INTO destinations (name, type, enabled, settings) VALUES (?, ?, ?, '{}')", (name, type_, int(enabled))
    )


def enable_destination(connection: sqlite3.Connection, name: str, enabled: bool) -> None:
    connection.execute("UPDATE destinations SET enabled = ? WHERE name = ?", (int(enabled), name))


def set_settings(
    connection: sqlite3.Connection,
    secrets: Secrets,
    name: str,
    settings: Mapping[str, Any],
    secret_settings: Collection[str],
) -> None:
    """Store the settings of a destination, the secret ones encrypted."""
    plain = {setting: value for setting, value in settings.items() if setting not in secret_settings}
    sealed = {
        setting: secrets.encrypt(SecretPlace("destination", name, setting), value)
        for setting, value in settings.items()
        if setting in secret_settings
    }
    connection.execute(
        "UPDATE destinations SET settings = ?, secrets = ? WHERE name = ?",
        (json.dumps(plain, ensure_ascii=False), json.dumps(sealed), name),
    )


def set_consent_categories(connection: sqlite3.Connection, name: str, categories: Collection[str]) -> None:
    connection.execute(
        "UPDATE destinations SET consent_categories = ? WHERE name = ?",
        (json.dumps(list(categories), ensure_ascii=False), name),
    )


def connect_source(connection: sqlite3.Connection, source: str, destination: str) -> None:
    connection.execute(
        "INSERT INTO connections (source_id, destination_id)"
        " SELECT sources.id, destinations.id FROM sources, destinations"
        " WHERE sources.name = ? AND destinations.name = ?",
        (source, destination),
    )


def disconnect_source(connection: sqlite3.Connection, source: str, destination: str) -> None:
    connection.execute(
        "DELETE FROM connections WHERE source_id = (SELECT id FROM sources WHERE name = ?)"
        " AND destination_id = (SELECT id FROM destinations WHERE name = ?)",
        (source, destination),
    )


def record_change(
    connection: sqlite3.Connection, *, version: int, changed_at_ms: int, actor: str, changes: Collection[str]
) -> None:
    """Make this version the present one, and remember who changed what."""
    connection.execute("UPDATE workspace SET version = ?", (version,))
    connection.execute(
        "INSERT INTO workspace_audit (version, changed_at, actor, changes) VALUES (?, ?, ?, ?)",
        (version, changed_at_ms, actor, json.dumps(list(changes), ensure_ascii=False)),
    )
