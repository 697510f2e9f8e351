"""Who is let in: set-up, signing in, sessions, roles, tokens; and what other sites cannot do."""

import asyncio
import re
from functools import partial

import pytest
from starlette.types import Message
from tests.support.console import PASSWORD, SAME_ORIGIN, Caller, Place
from typer.testing import CliRunner

from gainsight_destination.access.people import change_person, everybody
from gainsight_destination.access.roles import Role
from gainsight_destination.access.sessions import IDLE_MS, LONGEST_MS
from gainsight_destination.cli.people import app as people_commands
from gainsight_destination.console.app import PAGES
from gainsight_destination.console.routing import Page
from gainsight_destination.console.views.live import CHECK_MS
from gainsight_destination.errors import UserError

FIRST = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
PLACEHOLDERS = {
    "{source:int}": "1",
    "{destination:int}": "1",
    "{letter:int}": "1",
    "{person:int}": "1",
    "{replay:int}": "1",
}


def path_of(page: Page) -> str:
    path = page.path
    for name, value in PLACEHOLDERS.items():
        path = path.replace(name, value)
    return re.sub(r"\{[^}]*\}", "1", path)


async def test_the_first_person_sets_the_console_up(place: Place, stranger: Caller) -> None:
    """The link of `serve` makes the first admin, once; then it is over."""
    word = place.setup_word()
    assert "Set up the console" in (await stranger.get(f"/setup/{word}")).text
    made = await stranger.post(f"/setup/{word}", FIRST)
    assert (made.status_code, made.headers["location"]) == (303, "/overview")
    assert (await stranger.get("/overview")).status_code == 200
    async with place.caller() as other:
        again = await other.post(f"/setup/{word}", {**FIRST, "email": "eve@example.com"})
        assert again.headers["location"] == "/sign-in"
    assert [person.email for person in place.write(everybody)] == ["ada@example.com"]


@pytest.mark.parametrize(("changed", "words"), [({"password": "short"}, "10 to 200"), ({"email": "ada"}, "e-mail")])
async def test_setup_says_what_is_wrong(place: Place, stranger: Caller, changed: dict[str, str], words: str) -> None:
    """What was typed stays, without the password, and the link is still good."""
    word = place.setup_word()
    refused = await stranger.post(f"/setup/{word}", FIRST | changed)
    assert refused.status_code == 400
    assert words in refused.text
    assert PASSWORD not in refused.text
    assert (await stranger.post(f"/setup/{word}", FIRST)).status_code == 303


async def test_a_setup_link_ends_after_a_day_and_with_a_newer_one(place: Place, stranger: Caller) -> None:
    """What `serve` printed long ago, or before the newest start, opens nothing."""
    old, newer = place.setup_word(), place.setup_word()
    assert (await stranger.get(f"/setup/{old}")).status_code == 404
    place.clock.advance(24 * 3_600)
    assert (await stranger.get(f"/setup/{newer}")).status_code == 404


async def test_no_page_without_a_session(stranger: Caller) -> None:
    """Every page leads to the sign-in, every operation answers 401, and neither says anything else."""
    for page in (page for page in PAGES if page.role is not None):
        for method in page.methods:
            answer = await stranger.client.request(method, path_of(page), headers={"sec-fetch-site": "same-origin"})
            if page.path.startswith("/api/"):
                assert answer.status_code == 401, page.path
                assert answer.json()["error"]["title"] == "A token is needed"
            else:
                assert answer.status_code == 303, page.path
                assert answer.headers["location"].startswith("/sign-in")


RANKS = [(role, page) for role in (Role.VIEWER, Role.EDITOR) for page in PAGES if page.role and not role.may(page.role)]


async def test_roles_end_where_they_end(place: Place) -> None:
    """A viewer changes nothing, an editor lets nobody in: on every page and in every operation."""
    for role in (Role.VIEWER, Role.EDITOR):
        token = place.token(role)
        async with place.caller(authorization=f"Bearer {token}") as caller:
            refused = [page for each, page in RANKS if each is role]
            assert refused
            for page in refused:
                for method in page.methods:
                    answer = await caller.client.request(method, path_of(page))
                    assert answer.status_code == 403, (method, page.path)
            assert {page.path for page in refused} >= (
                {"/people", "/tokens"} if role is Role.EDITOR else {"/sources/new"}
            )


async def test_every_change_needs_more_than_a_viewer() -> None:
    """No route that writes is open to viewers, but those about oneself."""
    own = {"/sign-out", "/you/password", "/you/sign-out-everywhere"}
    writing = [page for page in PAGES if set(page.methods) - {"GET"} and page.role is not None]
    assert {page.path for page in writing if page.role is Role.VIEWER} <= own


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {},
    ],
)
async def test_another_site_changes_nothing(place: Place, editor: Caller, headers: dict[str, str]) -> None:
    """A form of another site, with the cookie of somebody signed in here, is refused."""
    answer = await editor.client.post("/sources/new", data={"name": "evil", "kind": "server"}, headers=headers)
    assert answer.status_code == 403
    assert (await editor.get("/sources")).text.count("evil") == 0


async def test_a_browser_without_fetch_metadata_may_go_on(editor: Caller) -> None:
    """An older browser says by Origin that it is a page of ours."""
    answer = await editor.client.post(
        "/sources/new", data={"name": "web", "kind": "server"}, headers={"origin": "http://127.0.0.1:8081"}
    )
    assert answer.status_code == 303


async def test_another_host_is_refused(place: Place, editor: Caller) -> None:
    """DNS rebinding: a name that leads here is not one of ours, unless --console-url says so."""
    asked = {"host": "evil.example:8081"}
    assert (await editor.get("/overview", headers=asked)).status_code == 421
    place.hosts.add("evil.example")
    assert (await editor.get("/overview", headers=asked)).status_code == 200


async def test_sessions_end(place: Place, viewer: Caller) -> None:
    """After half a day without use, and after a week in any case."""
    place.clock.advance(IDLE_MS / 1000 - 1)
    assert (await viewer.get("/overview")).status_code == 200
    for _ in range(LONGEST_MS // IDLE_MS):
        place.clock.advance(IDLE_MS / 1000 - 60)
        last = await viewer.get("/overview")
    assert last.status_code == 303
    async with place.caller() as other:
        place.person(Role.EDITOR)
        await other.post("/sign-in", {"email": "editor@example.com", "password": PASSWORD})
        place.clock.advance(IDLE_MS / 1000 + 1)
        assert (await other.get("/overview")).status_code == 303


async def test_signing_in_and_out(place: Place, stranger: Caller) -> None:
    """The cookie is for this host and its pages only; signing out ends it on the server."""
    place.person(Role.VIEWER)
    answer = await stranger.post(
        "/sign-in", {"email": " Viewer@example.com ", "password": PASSWORD, "next": "/sources"}
    )
    assert answer.headers["location"] == "/sources"
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/"))
    word = stranger.client.cookies["gainsight_destination_session"]
    await stranger.post("/sign-out")
    stranger.client.cookies.set("gainsight_destination_session", word)
    assert (await stranger.get("/overview")).status_code == 303


@pytest.mark.parametrize("onward", ["https://evil.example", "//evil.example", "/\\evil.example", "evil"])
async def test_signing_in_leads_to_no_other_site(place: Place, stranger: Caller, onward: str) -> None:
    """`next` is a path of ours or nothing."""
    place.person(Role.VIEWER)
    answer = await stranger.post("/sign-in", {"email": "viewer@example.com", "password": PASSWORD, "next": onward})
    assert answer.headers["location"] == "/overview"


async def test_a_wrong_password_tells_nothing(place: Place, stranger: Caller) -> None:
    """Known and unknown addresses are answered alike; after some failures none is looked at until a wait is over."""
    place.person(Role.VIEWER)
    texts = set()
    for email in ("viewer@example.com", "nobody@example.com"):
        answers = [await stranger.post("/sign-in", {"email": email, "password": "wrong wrong"}) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        texts |= {re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}
    assert len(texts) == 2
    right = {"email": "viewer@example.com", "password": PASSWORD}
    assert (await stranger.post("/sign-in", right)).status_code == 429
    async with place.caller(address="10.0.0.7") as elsewhere:
        assert (await elsewhere.post("/sign-in", right)).status_code == 303  # a stranger keeps nobody out
    place.clock.advance(31)
    assert (await stranger.post("/sign-in", right)).status_code == 303


async def test_who_leaves_takes_their_tokens_along(place: Place, admin: Caller) -> None:
    """Tokens that somebody made end with them, and those that may do more than they now may."""
    other = place.person(Role.ADMIN, email="eve@example.com")
    async with place.signed_in(Role.EDITOR):
        pass
    token = place.token(Role.ADMIN, made_by="eve@example.com")
    async with place.caller(authorization=f"Bearer {token}") as program:
        assert (await program.get("/api/v1/people")).status_code == 200
        await admin.post(f"/people/{other.id}", {"role": "viewer"})
        assert (await program.get("/api/v1/people")).status_code == 401


@pytest.mark.parametrize("host", ["[::1", "[", "a b", ""])
async def test_a_broken_host_is_refused(stranger: Caller, host: str) -> None:
    """It is nobody's, and no failure of ours."""
    assert (await stranger.get("/sign-in", headers={"host": host})).status_code == 421


async def test_an_invited_person_chooses_a_password(place: Place, admin: Caller) -> None:
    """The link is shown once, opens once, and what happened is in the history."""
    made = await admin.post("/people", {"name": "Grace", "email": "grace@example.com", "role": "editor"})
    match = re.search(r"/password/[\w-]+", made.text)
    assert match is not None
    path = match.group()
    assert path not in (await admin.get("/people")).text
    async with place.caller() as grace:
        assert (await grace.post(path, {"password": "a long password"})).status_code == 303
        assert (await grace.get("/sources/new")).status_code == 200
        assert (await grace.get("/people")).status_code == 403
    async with place.caller() as other:
        assert (await other.get(path)).status_code == 404
    history = (await admin.get("/history")).text
    assert "let grace@example.com in as editor" in history
    assert "chose a password" in history


async def test_who_is_shut_out_is_out_at_once(place: Place, admin: Caller) -> None:
    """Open sessions end too; the only admin cannot be lost."""
    async with place.signed_in(Role.VIEWER) as viewer:
        person = next(p for p in place.write(everybody) if p.role is Role.VIEWER)
        await admin.post(f"/people/{person.id}", {"role": "viewer", "enabled": "no"})
        assert (await viewer.get("/overview")).status_code == 303
    own = next(p for p in place.write(everybody) if p.role is Role.ADMIN)
    await admin.post(f"/people/{own.id}", {"role": "viewer", "enabled": "yes"})
    assert "is the only admin" in (await admin.get("/people")).text


async def test_tokens(place: Place, admin: Caller) -> None:
    """A token is shown once, stored as a digest, and ends with its time or when it is revoked."""
    made = await admin.post("/tokens", {"name": "ci", "role": "viewer", "days": "30"})
    match = re.search(r"gd_[\w-]+", made.text)
    assert match is not None
    text = match.group()
    assert text not in (await admin.get("/tokens")).text
    assert text.encode() not in (place.directory / "state.db").read_bytes()
    async with place.caller(authorization=f"Bearer {text}") as program:
        assert (await program.get("/api/v1/whoami")).json() == {"name": "token ci", "role": "viewer"}
        place.clock.advance(31 * 86_400)
        assert (await program.get("/api/v1/whoami")).status_code == 401
    forever = place.token(Role.VIEWER)
    async with place.caller(authorization=f"Bearer {forever}") as program, place.signed_in(Role.EDITOR):
        assert (await program.get("/api/v1/status")).status_code == 200


async def test_pages_are_kept_from_scripts_and_frames(stranger: Caller) -> None:
    """No inline script or style, no other host, no frame, nothing kept by caches."""
    answer = await stranger.get("/sign-in")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert re.search(r"<script(?![^>]*src=)|style=|\son\w+=|https?://(?!127)", answer.text) is None
    sheet = re.search(r'href="(/static/[^"]+css)"', answer.text)
    assert sheet is not None
    assert "immutable" in (await stranger.get(sheet[1])).headers["cache-control"]
    assert (await stranger.get("/static/0/../../app.py")).status_code in (303, 404)


async def test_a_person_changes_their_password(place: Place, viewer: Caller) -> None:
    """Who knows the present one; every other session of theirs ends, this one goes on."""
    new = "another long password"
    async with place.caller() as other:
        await other.post("/sign-in", {"email": "viewer@example.com", "password": PASSWORD})
        for present, chosen, words in (("wrong wrong", new, "not your present"), (PASSWORD, "short", "10 to 200")):
            refused = await viewer.post("/you/password", {"present": present, "password": chosen})
            assert refused.status_code == 400
            assert words in refused.text
        assert (await viewer.post("/you/password", {"present": PASSWORD, "password": new})).status_code == 303
        assert "Your password is changed" in (await viewer.get("/you")).text
        assert (await other.get("/overview")).status_code == 303
        assert (await other.post("/sign-in", {"email": "viewer@example.com", "password": PASSWORD})).status_code == 401
        assert (await other.post("/sign-in", {"email": "viewer@example.com", "password": new})).status_code == 303


async def test_a_live_page_ends_with_its_session(place: Place, viewer: Caller) -> None:
    """Who is shut out sees nothing more of what comes, without asking for anything."""
    request = viewer.client.build_request("GET", "/live/stream")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/live/stream",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }
    started = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            started.set()

    watching = asyncio.create_task(place.app(scope, asyncio.Event().wait, send))
    await asyncio.wait_for(started.wait(), 30)
    assert not watching.done()
    place.person(Role.ADMIN)
    place.write(lambda c: change_person(c, everybody(c)[1].id, role=Role.VIEWER, enabled=False))
    place.clock.advance(CHECK_MS / 1000)
    await asyncio.wait_for(watching, 30)


async def test_a_script_lets_people_in_and_out(place: Place) -> None:
    """As the page does, with the same sentences in the history."""
    async with place.caller(authorization=f"Bearer {place.token(Role.ADMIN)}") as api:
        wish = {"email": "g@x.test", "name": "G", "role": "viewer"}
        made = (await api.client.post("/api/v1/people", json=wish)).json()
        path = f"/api/v1/people/{made['id']}"
        raised = (await api.client.put(path, json={"role": "editor"})).json()
        assert (raised["role"], raised["enabled"]) == ("editor", True)
        link = (await api.client.post(f"{path}/password-link")).json()["passwordPath"]
        assert (await api.get(made["passwordPath"])).status_code == 404
        assert (await api.get(link)).status_code == 200
        assert not (await api.client.put(path, json={"role": "editor", "enabled": False})).json()["enabled"]
        refused = await api.client.post(f"{path}/password-link")
        assert (refused.status_code, "is shut out" in refused.json()["error"]["title"]) == (400, True)
        assert (await api.client.put("/api/v1/people/999", json={"role": "viewer"})).status_code == 400
        told = [act["sentences"][0] for act in (await api.client.get("/api/v1/history")).json()["acts"]]
    assert told[::-1] == [
        "let g@x.test in as viewer",
        "made g@x.test editor",
        "made a password link for g@x.test",
        "shut g@x.test out",
    ]


async def test_the_link_that_an_admin_gives_goes_where_people_are(place: Place, admin: Caller) -> None:
    """Behind a proxy with TLS it begins with https and the name that people use."""
    place.hosts.add("gainsight.acme.internal")
    made = await admin.client.post(
        "/people",
        data={"name": "Grace", "email": "grace@example.com", "role": "viewer"},
        headers={**SAME_ORIGIN, "host": "gainsight.acme.internal", "x-forwarded-proto": "https"},
    )
    assert "https://gainsight.acme.internal/password/" in made.text


def test_people_from_the_command_line(place: Place) -> None:
    """Somebody is let in and shut out on the server, while the console runs."""
    run = partial(CliRunner().invoke, people_commands)
    data = ["--data", str(place.directory)]
    added = run(["add", "g@x.test", "--name", "G", "--role", "editor", *data])
    assert re.search(r"/password/[\w-]{43}$", added.output.strip())
    assert "G  editor, has no password yet" in run(["list", *data]).output
    assert run(["disable", "G@x.test ", *data]).output == "g@x.test is shut out.\n"
    for wrong in (["disable", "h@x.test", *data], ["reset-link", "g@x.test", *data], ["add", "g@x.test", *data]):
        assert isinstance(run(wrong).exception, UserError), wrong
