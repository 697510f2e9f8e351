"""History: who did what, and the versions of the workspace to go back to."""

import sqlite3
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access.acts import acts
from gainsight_destination.access.roles import Role
from gainsight_destination.console.forms import form_of
from gainsight_destination.console.house import house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.workspace.edit import Editor
from gainsight_destination.workspace.service import ApplyResult, apply_within, plan
from gainsight_destination.workspace.versions import version_document, version_spec

SHOWN: Final = 100


async def index(request: Request) -> Response:
    """Newest first; `?before=MS` goes on."""
    text = request.query_params.get("before", "")
    before_ms = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    found = await house_of(request).read(lambda connection: acts(connection, limit=SHOWN + 1, before_ms=before_ms))
    return page(
        request, "history.html", acts=found[:SHOWN], more=found[SHOWN - 1].at_ms if len(found) > SHOWN else None
    )


async def version(request: Request) -> Response:
    """What a version was, and what going back to it would change."""
    house, number = house_of(request), request.path_params["version"]
    secrets = house.secrets()

    def read(connection: sqlite3.Connection) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...], int]:
        (present,) = connection.execute("SELECT version FROM workspace").fetchone()
        document = version_document(connection, number)
        try:
            return document, plan(connection, secrets, version_spec(connection, number)).sentences, (), present
        except InvalidSettingsError as error:
            return document, (), error.problems, present

    document, sentences, problems, present = await house.read(read)
    return page(
        request,
        "version.html",
        number=number,
        document={name: part for name, part in document.items() if name != "ids"},
        sentences=sentences,
        problems=problems,
        version_seen=present,
    )


async def go_back(request: Request) -> Response:
    """Make a version the present one again; write keys and secrets stay."""
    house, visitor, number = house_of(request), visitor_of(request), request.path_params["version"]
    form = await form_of(request)

    def work(editor: Editor) -> ApplyResult:
        editor.present()
        spec = version_spec(editor.connection, number)
        return apply_within(editor.connection, editor.secrets, spec, now_ms=editor.now_ms, actor=editor.actor)

    done = await house.edit(visitor.name, form.version, work)
    told = f"The workspace is as in version {number}, with the keys and secrets of now; it is version {done.version}."
    return see_other("/history", told)


PAGES = (
    Page("/history", index),
    Page("/history/{version:int}", version),
    Page("/history/{version:int}", go_back, Role.EDITOR, ("POST",)),
)
