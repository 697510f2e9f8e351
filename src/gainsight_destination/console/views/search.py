"""Accounts and users: who they are by which facts, what they did, and where their records stand."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.console.house import house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page
from gainsight_destination.console.views.messages import connected
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import masked_email
from gainsight_destination.observe.people import Account, User, account, search, user
from gainsight_destination.observe.words import RECORD_STATES, reason_words


async def find(request: Request) -> Response:
    """Accounts and users that begin with what is searched for."""
    house, text = house_of(request), request.query_params.get("q", "").strip()
    found = await house.read(lambda connection: search(connection, text)) if text else []
    whole = visitor_of(request).sees_personal_data
    rows = []
    for each in found if whole else (each for each in found if each.kind == "account"):  # a prefix is an oracle
        open_to_all = whole or each.kind == "account"
        rows.append((each.kind, each.value if open_to_all else "", hide(each.value, open_to_all)))
    return page(request, "search.html", query=text, found=rows)


def hide(text: str, whole: bool) -> str:
    return text if whole else masked_email(text)


async def one_account(request: Request) -> Response:
    house = house_of(request)
    found = await house.read(lambda connection: account(connection, request.path_params["account"]))
    if found is None:
        raise not_found("No message ever named this account")
    return page(request, "account.html", account=found, **shared(request, found))


async def one_user(request: Request) -> Response:
    house, secrets = house_of(request), house_of(request).secrets()
    found = await house.read(
        lambda connection: user(connection, connected(connection, secrets), request.path_params["user"], house.now_ms())
    )
    if found is None:
        raise not_found("Nothing is known of this user")
    return page(request, "user.html", user=found, **shared(request, found))


def shared(request: Request, found: Account | User) -> dict[str, Any]:
    """What both pages show: masks for who may not see, and words for states."""
    whole = visitor_of(request).sees_personal_data
    return {
        "whole": whole,
        "name": lambda text: hide(str(text), whole),
        "record_states": RECORD_STATES,
        "reason_words": reason_words,
        "messages": found.messages,
    }


PAGES = (
    Page("/search", find),
    Page("/accounts/{account:path}", one_account),
    Page("/users/{user:path}", one_user),
)
