"""Setting up, signing in and out, choosing a password."""

import asyncio
import sqlite3
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gainsight_destination.access import links, passwords, people, sessions
from gainsight_destination.access.acts import record_act
from gainsight_destination.console.forms import form_of
from gainsight_destination.console.guard import COOKIE, is_secure
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import ProblemError
from gainsight_destination.console.render import page
from gainsight_destination.console.routing import Page, see_other
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.console.words import duration
from gainsight_destination.errors import UserError

COMPARED_AT_ONCE: Final = asyncio.Semaphore(2)
"""Passwords: each takes 19 MiB and a processor."""
WRONG: Final = "E-mail address and password do not belong together."


async def front(request: Request) -> Response:
    """`/` leads to where the visitor can go on."""
    return RedirectResponse("/overview" if request.state.visitor else "/sign-in", 303)


async def setup(request: Request) -> Response:
    """The first person makes their account, with the link that `serve` printed."""
    house, word = house_of(request), request.path_params["word"]
    now_ms = house.now_ms()
    if not await house.read(lambda connection: links.is_good_for_setup(connection, word, now_ms)):
        if await house.read(people.is_anybody):
            return see_other("/sign-in", "This console is set up already. Sign in.")
        raise ProblemError(
            404, "This set-up link is over", "Run `gainsight-destination people setup-link` to have a new one printed."
        )
    if request.method == "GET":
        return page(request, "setup.html", fields={}, problem="", shortest=passwords.SHORTEST)
    form = await form_of(request)
    fields = {"email": form.text("email"), "name": form.text("name")}

    def make(connection: sqlite3.Connection) -> str:
        person = links.set_up(connection, word, **fields, password=form.raw("password"), now_ms=now_ms)
        record_act(connection, actor=person.email, what="set up the console and became its first admin", now_ms=now_ms)
        return sessions.open_session(connection, person.id, now_ms)

    try:
        session = await house.write(make)
    except UserError as error:
        return page(request, "setup.html", status=400, fields=fields, problem=str(error), shortest=passwords.SHORTEST)
    return signed_in(request, session, "/overview")


async def password(request: Request) -> Response:
    """A person chooses a password with the link that an admin gave them."""
    house, word, now_ms = house_of(request), request.path_params["word"], house_of(request).now_ms()
    person = await house.read(lambda connection: links.person_of(connection, word, now_ms))
    if person is None:
        raise ProblemError(
            404, "This link is over", "It was used already, or is older than a day. Ask an admin for a new one."
        )
    if request.method == "GET":
        return page(request, "password.html", person=person, problem="", shortest=passwords.SHORTEST)
    form = await form_of(request)

    def choose(connection: sqlite3.Connection) -> str:
        chosen = links.choose_password(connection, word, form.raw("password"), now_ms)
        record_act(connection, actor=chosen.email, what="chose a password", now_ms=now_ms)
        return sessions.open_session(connection, chosen.id, now_ms)

    try:
        session = await house.write(choose)
    except UserError as error:
        return page(
            request, "password.html", status=400, person=person, problem=str(error), shortest=passwords.SHORTEST
        )
    return signed_in(request, session, "/overview")


async def sign_in(request: Request) -> Response:
    """E-mail and password. Which of them is wrong is not told."""
    house = house_of(request)
    onward = request.query_params.get("next", "")
    if request.method == "GET":
        empty = not await house.read(people.is_anybody)
        return page(request, "sign_in.html", email="", problem="", onward=onward, empty=empty)
    form = await form_of(request)
    email, address = form.text("email"), request.client.host if request.client else ""

    outcome = await try_password(house, email, form.raw("password"), address)
    if isinstance(outcome, str):
        return signed_in(request, outcome, form.text("next"))
    problem = held(outcome) if isinstance(outcome, sessions.Held) else WRONG
    status = 429 if isinstance(outcome, sessions.Held) else 401
    return page(request, "sign_in.html", status=status, email=email, problem=problem, onward=onward, empty=False)


async def try_password(house: House, email: str, password: str, address: str) -> str | sessions.Held | None:
    """The word for the cookie; None when e-mail and password do not belong together, whichever is wrong."""
    now_ms = house.now_ms()
    attempt = await house.write(
        lambda connection: sessions.begin_sign_in(connection, email=email, address=address, now_ms=now_ms)
    )
    if isinstance(attempt, sessions.Held):
        return attempt
    async with COMPARED_AT_ONCE:
        right = await asyncio.to_thread(passwords.is_right, attempt.password, password)
    if not right:
        return None
    return await house.write(
        lambda connection: sessions.end_sign_in(connection, attempt, email=email, address=address, now_ms=now_ms)
    )


def held(outcome: sessions.Held) -> str:
    return f"Too many attempts failed. Try again in {duration(outcome.seconds * 1000)}."


def signed_in(request: Request, word: str, onward: str, flash: str = "") -> Response:
    """With the cookie, and on to a page of ours."""
    own = onward.startswith("/") and not onward.startswith(("//", "/\\"))
    answer = see_other(onward if own else "/overview", flash)
    answer.set_cookie(
        COOKIE,
        word,
        max_age=sessions.LONGEST_MS // 1000,
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
    return answer


async def sign_out(request: Request) -> Response:
    word = request.cookies.get(COOKIE, "")
    await house_of(request).write(lambda connection: sessions.sign_out(connection, word))
    answer = see_other("/sign-in", "You are signed out.")
    answer.delete_cookie(COOKIE, path="/")
    return answer


async def you(request: Request) -> Response:
    """One's own account."""
    visitor = visitor_of(request)
    return page(request, "you.html", visitor_role=visitor.role, problem="", shortest=passwords.SHORTEST)


async def change_password(request: Request) -> Response:
    """Another password, for who knows the present one; every other session of theirs ends."""
    house, visitor, form = house_of(request), visitor_of(request), await form_of(request)
    person, chosen = visitor.person, form.raw("password")
    if person is None:
        raise ProblemError(400, "A token has no password")
    now_ms, address = house.now_ms(), request.client.host if request.client else ""

    def change(connection: sqlite3.Connection) -> str:
        people.set_password(connection, person.id, chosen)
        record_act(connection, actor=person.email, what="changed their password", now_ms=now_ms)
        return sessions.open_session(connection, person.id, now_ms)

    outcome = await try_password(house, person.email, form.raw("present"), address)
    if isinstance(outcome, str):
        try:
            session = await house.write(change)
        except UserError as error:
            await house.write(lambda connection: sessions.sign_out(connection, outcome))
            problem = f"{error}."
        else:
            return signed_in(request, session, "/you", "Your password is changed, and every other session has ended.")
    else:
        problem = held(outcome) if isinstance(outcome, sessions.Held) else "That is not your present password."
    return page(
        request, "you.html", status=400, visitor_role=visitor.role, problem=problem, shortest=passwords.SHORTEST
    )


async def leave_everywhere(request: Request) -> Response:
    """End every session of one's own."""
    visitor = visitor_of(request)
    if visitor.person is not None:
        person_id = visitor.person.id
        await house_of(request).write(lambda connection: sessions.sign_out_everywhere(connection, person_id))
    return see_other("/sign-in", "You are signed out everywhere.")


PAGES = (
    Page("/", front, None),
    Page("/setup/{word}", setup, None, ("GET", "POST")),
    Page("/password/{word}", password, None, ("GET", "POST")),
    Page("/sign-in", sign_in, None, ("GET", "POST")),
    Page("/sign-out", sign_out, methods=("POST",)),
    Page("/you", you),
    Page("/you/password", change_password, methods=("POST",)),
    Page("/you/sign-out-everywhere", leave_everywhere, methods=("POST",)),
)
