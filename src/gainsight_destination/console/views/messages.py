"""A message: what came, what was decided and by which evidence, and what became of it."""

import sqlite3
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.console.house import house_of
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import masked, masked_email
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.registry import build
from gainsight_destination.observe.trace import trace
from gainsight_destination.observe.words import RECORD_STATES, reason_words
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import load

PERSONAL: Final = ("userId", "anonymousId", "previousId")


def connected(connection: sqlite3.Connection, secrets: Secrets) -> list[Connected]:
    """The enabled destinations as the resolver sees them."""
    return [
        Connected(d.id, d.name, d.source_ids, build(d.type, d.settings), frozenset(d.consent_categories))
        for d in load(connection, secrets).destinations
        if d.enabled
    ]


async def find(request: Request) -> Response:
    """The form, and with `?id=` the message."""
    message_id = request.query_params.get("id", "").strip()
    if not message_id:
        return page(request, "find.html", message_id="", missing=False)
    story = await story_of(request, message_id)
    if story is None:
        return page(request, "find.html", status=404, message_id=message_id, missing=True)
    return page(request, "message.html", story=story, reason_words=reason_words, record_states=RECORD_STATES)


async def story_of(request: Request, message_id: str) -> dict[str, Any] | None:
    """What `trace` tells, as far as the visitor may know it; None when the id is not remembered."""
    house = house_of(request)
    secrets = house.secrets()
    story = await house.read(
        lambda connection: trace(connection, house.log, connected(connection, secrets), message_id)
    )
    return story if story is None or visitor_of(request).sees_personal_data else hidden(story)


def hidden(story: dict[str, Any]) -> dict[str, Any]:
    """The story without personal data."""
    told = dict(story)
    if told["message"] is not None:
        message = told["message"] = {**told["message"], "body": masked(told["message"]["body"])}
        message |= {name: masked_email(message[name]) for name in PERSONAL if message.get(name)}
    told["destinations"] = {name: without_people(each) for name, each in told["destinations"].items()}
    return told


def without_people(told: dict[str, Any]) -> dict[str, Any]:
    """A destination's part of the story, with its user and e-mail address masked."""
    found = dict(told)
    for part, names in (("user", ("id", "from")), ("email", ("address",))):
        if isinstance(found.get(part), dict):
            masks = {name: masked_email(found[part][name]) for name in names if found[part].get(name)}
            found[part] = {**found[part], **masks}
    return found


PAGES = (Page("/messages", find),)
