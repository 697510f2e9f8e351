"""Earlier versions of the workspace: each is kept without its secrets, and can be made the present one again.

Write keys and secrets are left as they are now: a version is about what is connected to what, and how.
"""

import json
import sqlite3
from typing import Any, Final

from gainsight_destination.errors import UserError
from gainsight_destination.workspace.export import export_document
from gainsight_destination.workspace.file import read_document
from gainsight_destination.workspace.spec import WorkspaceSpec

KINDS: Final = ("sources", "destinations")


def plain_document(connection: sqlite3.Connection) -> dict[str, Any]:
    """The configuration in the shape of a workspace file, without write keys and secrets, and without references."""
    document: dict[str, Any] = unescaped(export_document(connection))
    for source in document["sources"]:
        del source["writeKey"]
        if "webhook" in source:
            del source["webhook"]["secrets"]
    secrets = connection.execute("SELECT secrets FROM destinations ORDER BY id")
    for destination, (sealed,) in zip(document["destinations"], secrets, strict=True):
        for name in json.loads(sealed):
            destination["settings"].pop(name, None)
    return document


def unescaped(value: Any) -> Any:
    """What an export escapes for the reader of files, as it is."""
    if isinstance(value, str):
        return value.replace("$${", "${")
    if isinstance(value, list):
        return [unescaped(inner) for inner in value]
    return {name: unescaped(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def keep_version(connection: sqlite3.Connection, version: int) -> None:
    """Keep the present configuration as this version; part of the transaction that made it."""
    document = plain_document(connection)
    document["ids"] = {
        kind: [id_ for (id_,) in connection.execute(f"SELECT id FROM {kind} ORDER BY id")] for kind in KINDS
    }
    connection.execute(
        "INSERT OR REPLACE INTO workspace_versions VALUES (?, ?)", (version, json.dumps(document, ensure_ascii=False))
    )


def version_document(connection: sqlite3.Connection, version: int) -> dict[str, Any]:
    """What this version was. Raises UserError when it is not kept: it is older than the keeping."""
    row = connection.execute("SELECT document FROM workspace_versions WHERE version = ?", (version,)).fetchone()
    if row is None:
        raise UserError(f"version {version} is not kept; versions are kept since an upgrade")
    document: dict[str, Any] = json.loads(row[0])
    return document


def version_spec(connection: sqlite3.Connection, version: int) -> WorkspaceSpec:
    """This version as a wish for now, by the names that its sources and destinations have now. Raises UserError."""
    document = version_document(connection, version)
    ids = document.pop("ids")
    names = {
        kind: {
            row["name"]: name
            for row, id_ in zip(document[kind], ids[kind], strict=True)
            for (name,) in connection.execute(f"SELECT name FROM {kind} WHERE id = ?", (id_,))
        }
        for kind in KINDS
    }
    for kind in KINDS:
        for row in document[kind]:
            row["name"] = names[kind].get(row["name"], row["name"])
    for row in document["destinations"]:
        row["sources"] = [names["sources"].get(name, name) for name in row["sources"]]
    return read_document(document)
