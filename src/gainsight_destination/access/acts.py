"""What people did: changes of the workspace, and acts that change nothing of it, newest first."""

import json
import sqlite3
from typing import NamedTuple


class Act(NamedTuple):
    """Something done. `version` is the workspace's after it, if it changed that."""

    at_ms: int
    actor: str
    sentences: tuple[str, ...]
    version: int | None


def record_act(connection: sqlite3.Connection, *, actor: str, what: str, now_ms: int) -> None:
    """Remember a sentence; no secret may be in it."""
    connection.execute("INSERT INTO acts (at_ms, actor, what) VALUES (?,?,?)", (now_ms, actor, what))


def acts(connection: sqlite3.Connection, *, limit: int, before_ms: int | None = None) -> list[Act]:
    """What was done, newest first, before a time."""
    rows = connection.execute(
        "SELECT at_ms, actor, json_array(what), NULL, id FROM acts WHERE at_ms < :before"
        " UNION ALL SELECT changed_at, actor, changes, version, version FROM workspace_audit WHERE changed_at < :before"
        " ORDER BY 1 DESC, 5 DESC LIMIT :limit",
        {"before": 2**62 if before_ms is None else before_ms, "limit": limit},
    )
    return [Act(at_ms, actor, tuple(json.loads(what)), version) for at_ms, actor, what, version, _ in rows]
