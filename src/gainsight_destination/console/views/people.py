"""People and tokens: who is let in, and as what."""

import sqlite3
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gainsight_destination.access import admission, people, tokens
from gainsight_destination.access.roles import MEANING, Role
from gainsight_destination.console.forms import Form, form_of
from gainsight_destination.console.guard import is_secure
from gainsight_destination.console.house import house_of
from gainsight_destination.console.problems import not_found
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.errors import UserError

DAY_MS: Final = 86_400_000
LIFETIMES: Final = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}


def role_of(form: Form) -> Role:
    """Raises UserError."""
    try:
        return Role(form.text("role"))
    except ValueError:
        raise UserError(f"a role is one of {', '.join(Role)}") from None


async def index(request: Request) -> Response:
    """Everybody who may sign in, and a form to let somebody in."""
    everybody = await house_of(request).read(people.everybody)
    return page(request, "people.html", people=everybody, roles=MEANING, link="", problem="", fields={})


async def invite(request: Request) -> Response:
    """A new person, and the link by which they choose a password. The link is shown on this one page."""
    house, visitor, form = house_of(request), visitor_of(request), await form_of(request)
    now_ms = house.now_ms()

    def add(connection: sqlite3.Connection) -> tuple[people.Person, str]:
        return admission.let_in(
            connection,
            actor=visitor.name,
            email=form.text("email"),
            name=form.text("name"),
            role=role_of(form),
            now_ms=now_ms,
        )

    try:
        person, word = await house.write(add)
    except UserError as error:
        everybody = await house.read(people.everybody)
        fields = {name: form.text(name) for name in ("email", "name", "role")}
        return page(
            request,
            "people.html",
            status=400,
            people=everybody,
            roles=MEANING,
            link="",
            problem=str(error),
            fields=fields,
        )
    return await with_link(request, person, word)


async def new_link(request: Request) -> Response:
    """Another link, for somebody who lost theirs or forgot the password."""
    house, visitor, person_id = house_of(request), visitor_of(request), request.path_params["person"]
    person, word = await house.write(
        lambda connection: admission.new_link(connection, person_id, actor=visitor.name, now_ms=house.now_ms())
    )
    return await with_link(request, person, word)


async def with_link(request: Request, person: people.Person, word: str) -> Response:
    everybody = await house_of(request).read(people.everybody)
    scheme = "https" if is_secure(request) else "http"
    link = f"{scheme}://{request.headers['host']}/password/{word}"
    return page(
        request, "people.html", people=everybody, roles=MEANING, link=link, link_for=person, problem="", fields={}
    )


async def change(request: Request) -> Response:
    """Another role, or out."""
    house, visitor, form = house_of(request), visitor_of(request), await form_of(request)
    person_id, enabled = request.path_params["person"], form.text("enabled") != "no"

    def write(connection: sqlite3.Connection) -> people.Person:
        return admission.change(
            connection, person_id, actor=visitor.name, role=role_of(form), enabled=enabled, now_ms=house.now_ms()
        )

    try:
        person = await house.write(write)
    except UserError as error:
        return see_other("/people", f"{error}.", "bad")
    return see_other("/people", f"{person.name} is {person.role}." if enabled else f"{person.name} is shut out.")


async def token_list(request: Request) -> Response:
    found = await house_of(request).read(tokens.all_tokens)
    return page(
        request, "tokens.html", tokens=found, roles=MEANING, lifetimes=LIFETIMES, text="", problem="", made=None
    )


async def make_token(request: Request) -> Response:
    """A new token, whose text is shown on this one page."""
    house, visitor, form = house_of(request), visitor_of(request), await form_of(request)
    now_ms, days = house.now_ms(), form.text("days")

    def make(connection: sqlite3.Connection) -> tuple[tokens.Token, str]:
        if days not in LIFETIMES:
            raise UserError("choose how long the token is good")
        return admission.make_token(
            connection,
            actor=visitor.name,
            name=form.text("name"),
            role=role_of(form),
            expires_at_ms=now_ms + int(days) * DAY_MS if days else None,
            now_ms=now_ms,
        )

    made, text, problem = None, "", ""
    try:
        made, text = await house.write(make)
    except UserError as error:
        problem = str(error)
    found = await house.read(tokens.all_tokens)
    return page(
        request,
        "tokens.html",
        status=400 if problem else 200,
        tokens=found,
        roles=MEANING,
        lifetimes=LIFETIMES,
        text=text,
        problem=problem,
        made=made,
    )


async def revoke_token(request: Request) -> Response:
    house, visitor, token_id = house_of(request), visitor_of(request), request.path_params["token"]

    name = await house.write(
        lambda connection: admission.revoke_token(connection, token_id, actor=visitor.name, now_ms=house.now_ms())
    )
    if name is None:
        raise not_found("There is no such token any more")
    return see_other("/tokens", f'Token "{name}" is revoked.')


PAGES = (
    Page("/people", index, Role.ADMIN),
    Page("/people", invite, Role.ADMIN, ("POST",)),
    Page("/people/{person:int}", change, Role.ADMIN, ("POST",)),
    Page("/people/{person:int}/link", new_link, Role.ADMIN, ("POST",)),
    Page("/tokens", token_list, Role.ADMIN),
    Page("/tokens", make_token, Role.ADMIN, ("POST",)),
    Page("/tokens/{token:int}/revoke", revoke_token, Role.ADMIN, ("POST",)),
)
