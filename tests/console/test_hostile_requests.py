"""Requests that no page of ours sends, and a store that takes nothing: each gets an answer that says what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.console import SAME_ORIGIN, Caller, Place

from gainsight_destination.console.app import PAGES
from gainsight_destination.store.database import connect

MULTIPART = {**SAME_ORIGIN, "content-type": "multipart/form-data"}
BOUNDED = {**SAME_ORIGIN, "content-type": "multipart/form-data; boundary=a"}
HOSTILE: list[tuple[int, str, str, dict[str, Any]]] = [
    (400, "POST", "/sources/new", {"content": b"x", "headers": MULTIPART}),
    (400, "POST", "/sources/new", {"content": b"x", "headers": BOUNDED}),
    (400, "POST", "/sources/new", {"files": {"name": b"x"}, "headers": SAME_ORIGIN}),
    (400, "POST", "/sources/new", {"data": {f"f{n}": "x" for n in range(2_001)}, "headers": SAME_ORIGIN}),
    (413, "POST", "/sources/new", {"content": b"x" * 2_000_001, "headers": SAME_ORIGIN}),
    (421, "GET", "/overview", {"headers": {"host": "[::1"}}),
    (421, "GET", "/overview", {"headers": {"host": "a]b"}}),
    (421, "GET", "/overview", {"headers": {"host": ""}}),
    (403, "POST", "/sign-out", {"headers": {"origin": "http://[::1"}}),
    (405, "OPTIONS", "/overview", {}),
    (404, "GET", "/static/x/..%2f..%2fapp.py", {}),
    (404, "GET", "/users/%00", {}),
    (200, "GET", "/search?q=%ff%00", {}),
    (400, "PUT", "/api/v1/workspace", {"content": b'{"workspace": "\xff"}', "headers": SAME_ORIGIN}),
    (400, "PUT", "/api/v1/workspace", {"content": b'{"workspace":' + b"[" * 5_000, "headers": SAME_ORIGIN}),
    (400, "POST", "/api/v1/sources/web/write-key", {"json": {"overlapHours": 1e308}, "headers": SAME_ORIGIN}),
    (400, "POST", "/api/v1/tokens", {"json": {"name": "t", "role": "viewer", "days": 10**20}, "headers": SAME_ORIGIN}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "method", "path", "more"), HOSTILE)
async def test_a_broken_request_is_told_so(
    admin: Caller, status: int, method: str, path: str, more: dict[str, Any]
) -> None:
    """It is the sender's mistake, never ours: no answer is a 500, and none is left out."""
    answer = await admin.client.request(method, path, **more)
    assert answer.status_code == status
    if status != 200:
        is_json = "application/json" in answer.headers["content-type"]
        assert answer.json()["error"]["title"] if is_json else "<h1>" in answer.text


async def test_ids_beyond_all_numbers_do_not_exist(admin: Caller) -> None:
    """On no page: an id that the store cannot hold is nobody's."""
    numbered = [page for page in PAGES if ":int}" in page.path]
    assert numbered
    for page in numbered:
        path = "/".join("9" * 30 if part.endswith(":int}") else part for part in page.path.split("/"))
        for method in page.methods:
            answer = await admin.client.request(method, path, headers=SAME_ORIGIN)
            assert answer.status_code == 404, f"{method} {page.path}"


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Another process holds the store, and nobody waits for it."""
    place.database.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 0")).result()
    with connect(place.directory / "state.db") as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_pages_are_seen_while_nothing_can_be_written(place: Place, editor: Caller) -> None:
    """A full disk or a held store is when people look: they read every page, and a change says that it was none."""
    place.clock.advance(120)  # the use of the session is to be written down
    with locked(place):
        assert (await editor.get("/overview")).status_code == 200
        refused = await editor.post("/sources/new", {"name": "web", "kind": "server"})
        assert refused.status_code == 503
        assert "Nothing was changed" in refused.text
    assert (await editor.post("/sources/new", {"name": "web", "kind": "server"})).status_code == 303
