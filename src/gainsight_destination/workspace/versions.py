"""Earlier versions of the workspace: each is kept without its secrets, and can be made the present one again.

Write keys and secrets are left as they are now: a version is about what is connected to what, and how.
"""

import json
import sqlite3
from typing import Any

from gainsight_destination.errors import UserError
from gainsight_destination.workspace.export import export_document
from gainsight_destination.workspace.file import read_spec
from gainsight_destination.workspace.spec import WorkspaceSpec


def keep_version(connection: sqlite3.Connection, version: int) -> None:
    """Keep the present configuration as this version; part of the transaction that made it."""
    document = export_document(connection)
    for source in document["sources"]:
        del source["writeKey"]
        if "webhook" in source:
            del source["webhook"]["secrets"]
    secrets = connection.execute("SELECT secrets FROM destinations ORDER BY id")
    for destination, (sealed,) in zip(document["destinations"], secrets, strict=True):
        for name in json.loads(sealed):
            destination["settings"].pop(name, None)
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
    """This version as a wish for now. Raises UserError."""
    return read_spec(json.dumps(version_document(connection, version)), environ={})
