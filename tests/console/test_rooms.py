"""What can be done in the rooms: sources, destinations, failures, the control API; and hostile data is text."""

import json
import re
from typing import Any

import pytest
from tests.support.console import Caller, Place
from tests.support.pipeline import ACCESS_KEY

from gainsight_destination.access.roles import Role
from gainsight_destination.clock import Clock
from gainsight_destination.console.control.api import OPERATIONS
from gainsight_destination.console.words import masked
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.runtime.ingest_main import read_sources
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import load

SETTINGS = {"accessKey": ACCESS_KEY, "domain": "http://127.0.0.1:1"}


def workspace(place: Place) -> Any:
    return place.write(lambda connection: load(connection, Secrets.of(place.directory)))


def directory(place: Place) -> StoredSources:
    """The sources as the public port knows them."""
    clock: Clock = place.clock
    found = StoredSources(
        place.directory / "state.db", clock=clock, read_sources=lambda c: read_sources(place.directory, c)
    )
    found.refresh()
    return found


async def source(caller: Caller, name: str = "web", **fields: str) -> str:
    """Add a source; the path of its page."""
    made = await caller.post("/sources/new", {"name": name, "kind": "server", **fields})
    assert made.status_code == 303, made.text
    return str(made.headers["location"])


async def destination(caller: Caller, name: str = "gainsight", **fields: Any) -> str:
    """Connect Gainsight; the path of the destination."""
    form = {"name": name, **SETTINGS, **fields}
    made = await caller.post("/catalog/gainsight/connect", form)
    assert made.status_code == 303, made.text
    return str(made.headers["location"]).removesuffix("/check")


async def test_a_source_is_added_renamed_and_disabled(place: Place, editor: Caller) -> None:
    """It keeps its write key and its id, and each step is in the history with who did it."""
    path = await source(editor)
    (before,) = workspace(place).sources
    assert before.write_key in (await editor.get(path)).text
    version = str(workspace(place).version)
    await editor.post(path, {"do": "rename", "name": "website", "version": version})
    await editor.post(path, {"do": "disable"})
    (after,) = workspace(place).sources
    assert (after.id, after.name, after.write_key, after.enabled) == (before.id, "website", before.write_key, False)
    history = (await editor.get("/history")).text
    for sentence in ("add source", "rename source", "disable source", "editor@example.com"):
        assert sentence in history


async def test_write_keys_change_over(place: Place, editor: Caller) -> None:
    """The key before the new one is good until its time is over; then the public port does not know it."""
    path = await source(editor)
    (old,) = workspace(place).sources
    await editor.post(path, {"do": "rotate", "overlap": "0"})
    assert directory(place).source_of(old.write_key) is None
    (old,) = workspace(place).sources
    await editor.post(path, {"do": "rotate", "overlap": "24"})
    (new,) = workspace(place).sources
    sources = directory(place)
    assert old.write_key != new.write_key
    for key in (old.write_key, new.write_key):
        found = sources.source_of(key)
        assert found is not None
        assert found.id == new.id
    place.clock.advance(24 * 3_600 + 1)
    sources.refresh()
    assert sources.source_of(old.write_key) is None
    assert sources.source_of(new.write_key) is not None


async def test_what_somebody_else_changed_is_not_undone(place: Place, editor: Caller) -> None:
    """A form that was made from an older version changes nothing and says so."""
    path = await source(editor)
    version = str(workspace(place).version)
    await source(editor, "other")
    await editor.post(path, {"do": "disable", "version": version})
    assert workspace(place).sources[0].enabled
    assert "somebody else changed the configuration" in (await editor.get(path)).text


async def test_viewers_see_no_write_key(place: Place, editor: Caller, viewer: Caller) -> None:
    """Neither on the page nor in the API."""
    path = await source(editor)
    key = workspace(place).sources[0].write_key
    for seen in (path, "/sources", "/api/v1/workspace", "/api/v1/status"):
        assert key not in (await viewer.get(seen)).text, seen


async def test_gainsight_is_connected_and_its_key_never_shown(place: Place, editor: Caller) -> None:
    """Step by step; the Access Key is stored encrypted, and is on no page and in no export afterwards."""
    await source(editor)
    path = await destination(editor, source="web", accessKey=f"  {ACCESS_KEY} ")
    (made,) = workspace(place).destinations
    assert (made.enabled, made.settings["accessKey"].strip()) == (False, ACCESS_KEY)
    saved = await editor.post(
        f"{path}/events", {"events": "Signed Up\n\n Paid ", "events_ticked": "Seen", "onward": "yes"}
    )
    assert saved.headers["location"] == f"{path}/mapping"
    await editor.post(f"{path}/mapping", {"companyFields": "plan = Plan__gc", "usageObject": "off", "eventObject": ""})
    await editor.post(path, {"do": "enable"})
    (made,) = workspace(place).destinations
    assert made.enabled
    assert made.settings["events"] == ["Signed Up", "Paid", "Seen"]
    assert made.settings["companyFields"] == {"plan": "Plan__gc"}
    assert made.settings["usageObject"] is None
    assert made.settings["accessKey"].strip() == ACCESS_KEY
    pages = [path, *(f"{path}/{step}" for step in ("connection", "check", "events", "mapping", "advanced", "review"))]
    for page in [*pages, "/history", "/api/v1/workspace", "/overview"]:
        answer = await editor.get(page)
        assert answer.status_code == 200, page
        assert ACCESS_KEY not in answer.text, page
    files = b"".join(file.read_bytes() for file in place.directory.glob("state.db*"))
    assert ACCESS_KEY.encode() not in files


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accessKey": "short"}, "accessKey must be 36 characters"),
        ({"accessKey": "x" * 36}, "digits and the letters a to f"),
        ({"domain": "acme"}, "domain"),
        ({"name": ""}, "a name has 1 to 100 characters"),
    ],
)
async def test_connecting_says_what_is_wrong(place: Place, editor: Caller, changed: dict[str, str], words: str) -> None:
    """In words, on the same page, with what was typed but for the secret; nothing is made."""
    refused = await editor.post("/catalog/gainsight/connect", {"name": "gs", **SETTINGS, **changed})
    assert refused.status_code == 400
    assert words in refused.text
    assert ACCESS_KEY not in refused.text
    assert workspace(place).destinations == ()


async def test_the_check_names_the_problem(place: Place, editor: Caller) -> None:
    """A tenant that is not there is told as what it is."""
    path = await destination(editor)
    place.clock.advance(10)  # clear of the turn of the minute
    answer = await editor.post(f"{path}/check")
    assert "Not connected" in answer.text
    assert "no connection to 127.0.0.1" in answer.text


async def test_an_earlier_version_comes_back(place: Place, editor: Caller) -> None:
    """What it would change is shown first; names, settings and connections come back, keys and secrets stay."""
    await source(editor)
    path = await destination(editor, source="web")
    good = workspace(place).version
    await editor.post(f"{path}/events", {"events": "Signed Up"})
    await editor.post(path, {"do": "connect"})
    shown = await editor.get(f"/history/{good}")
    assert "connect source" in shown.text
    assert "remove events" in shown.text
    assert ACCESS_KEY not in shown.text
    assert workspace(place).sources[0].write_key not in shown.text
    before = workspace(place)
    await editor.post(f"/history/{good}", {"version": str(before.version)})
    after = workspace(place)
    assert "events" not in after.destinations[0].settings
    assert after.destinations[0].source_ids == {1}
    assert after.destinations[0].settings["accessKey"].strip() == ACCESS_KEY
    assert after.sources == before.sources
    assert (await editor.get("/history/999")).status_code == 400


async def test_a_secret_does_not_go_elsewhere(place: Place, editor: Caller) -> None:
    """Who changes where calls go has to give the key again: an editor cannot have it sent to a server of their own."""
    path = await destination(editor)
    moved = await editor.post(f"{path}/connection", {"domain": "https://evil.example", "accessKey": ""})
    assert moved.status_code == 400
    assert "domain changes, so accessKey must be given again" in moved.text
    assert workspace(place).destinations[0].settings["domain"] == SETTINGS["domain"]
    both = await editor.post(f"{path}/connection", {"domain": "https://acme.example", "accessKey": ACCESS_KEY})
    assert both.status_code == 303


async def test_versions_follow_renames_and_any_text(place: Place, editor: Caller) -> None:
    """A version from before a rename comes back under today's names; emoji and ${ in settings are what they were."""
    web = await source(editor)
    path = await destination(editor, source="web")
    await editor.post(f"{path}/events", {"events": "Hi 😀\n${PRICE}"})
    good = workspace(place).version
    await editor.post(web, {"do": "rename", "name": "website"})
    await editor.post(path, {"do": "rename", "name": "gs"})
    await editor.post(f"{path}/events", {"events": ""})
    assert (await editor.get(f"/history/{good}")).status_code == 200
    back = await editor.post(f"/history/{good}", {"version": str(workspace(place).version)})
    assert back.status_code == 303, back.text
    (one,) = workspace(place).destinations
    assert (one.name, one.enabled, one.source_ids) == ("gs", False, {1})
    assert one.settings["events"] == ["Hi 😀", "${PRICE}"]
    assert [each.name for each in workspace(place).sources] == ["website"]


async def test_viewers_cannot_guess_people(place: Place, viewer: Caller, editor: Caller) -> None:
    """A search by the beginning of an address would give it away letter by letter; masks leave nothing of free text."""
    place.write(lambda c: c.execute("INSERT INTO emails (value) VALUES ('joe.secret@corp.example')"))
    assert "joe.secret" in (await editor.get("/search?q=joe")).text
    assert "Nothing begins with this" in (await viewer.get("/search?q=joe")).text
    told = masked({"bio": "mail joe@corp.example, 12 High St", "phone": 15551234567, "email": "joe@corp.example"})
    assert told == {"bio": "***", "phone": "***", "email": "j***@corp.example"}


@pytest.mark.parametrize(
    "path", ["/history/99999999999999999999999", "/failures/99999999999999999999999", "/users/%00"]
)
async def test_odd_addresses_are_not_found(admin: Caller, path: str) -> None:
    """Numbers that no id can be, and ids that nobody has."""
    assert (await admin.get(path)).status_code in (400, 404)


HOSTILE = ['<script>alert("x")</script>', "رشته عربی", "😀" * 30, "x" * 90, '"><img src=x onerror=alert(1)>', "{{7*7}}"]


async def test_hostile_names_are_text(place: Place, admin: Caller) -> None:
    """Whatever somebody calls something, every page shows it as text."""
    for name in HOSTILE:
        await source(admin, name)
    await destination(admin, HOSTILE[0], source=HOSTILE)
    await admin.post("/people", {"name": HOSTILE[0], "email": "eve@example.com", "role": "viewer"})
    await admin.post("/tokens", {"name": HOSTILE[4], "role": "viewer", "days": "30"})
    pages = ["/overview", "/sources", "/sources/1", "/destinations", "/destinations/1", "/destinations/1/review"]
    for page in [*pages, "/history", "/people", "/tokens", "/catalog/gainsight/connect", "/messages?id=" + HOSTILE[4]]:
        text = (await admin.get(page)).text
        assert "<script>alert" not in text, page
        assert "<img" not in text, page


async def test_a_script_does_what_the_console_does(place: Place) -> None:
    """The control API: apply, check, export, keys, people, tokens; errors have one shape."""
    token = place.token(Role.ADMIN)
    async with place.caller(authorization=f"Bearer {token}") as api:
        wanted = {
            "sources": [{"name": "web", "writeKey": "web-write-key"}],
            "destinations": [{"name": "gs", "type": "gainsight", "sources": ["web"], "settings": SETTINGS}],
        }
        checked = await api.client.post("/api/v1/workspace/check", json={"workspace": wanted})
        assert checked.status_code == 200, checked.text
        assert workspace(place).sources == ()
        applied = await api.client.put("/api/v1/workspace", json={"workspace": wanted, "version": 0})
        assert applied.json()["changes"] == checked.json()["changes"]
        stale = await api.client.put("/api/v1/workspace", json={"workspace": {}, "version": 0})
        assert (stale.status_code, "somebody else" in stale.json()["error"]["title"]) == (400, True)
        wrong = await api.client.put("/api/v1/workspace", json={"workspace": {"sources": [{"name": "x"}]}})
        assert "needs a writeKey" in json.dumps(wrong.json()["error"]["problems"])
        assert (await api.client.put("/api/v1/workspace", content=b"{")).json()["error"][
            "title"
        ] == "The body is not JSON"
        rotated = await api.client.post("/api/v1/sources/web/write-key", json={"overlapHours": 1})
        assert rotated.json()["writeKey"] != "web-write-key"
        assert (await api.client.post("/api/v1/destinations/gs/disable")).json()["changes"] == [
            'disable destination "gs"'
        ]
        assert (await api.client.get("/api/v1/status")).json()["destinations"]["gs"]["state"] == "disabled"
        person = await api.client.post("/api/v1/people", json={"email": "g@x.test", "name": "G", "role": "viewer"})
        assert (person.status_code, person.json()["passwordPath"].startswith("/password/")) == (201, True)
        made = (await api.client.post("/api/v1/tokens", json={"name": "t", "role": "viewer"})).json()
        assert (await api.client.delete(f"/api/v1/tokens/{made['id']}")).status_code == 204
        assert (await api.client.delete(f"/api/v1/tokens/{made['id']}")).json()["error"]["status"] == 404
        assert (await api.client.get("/api/v1/messages/nothing")).status_code == 404
        assert ACCESS_KEY not in (await api.client.get("/api/v1/workspace")).text


async def test_the_openapi_document_is_whole(place: Place) -> None:
    """It names every operation, and every reference in it leads somewhere."""
    async with place.caller(authorization=f"Bearer {place.token(Role.VIEWER)}") as api:
        document = (await api.client.get("/api/v1/openapi.json")).json()
    text = json.dumps(document)
    for name in set(re.findall(r"#/components/schemas/([\w.\[\]]+)", text)):
        assert name in document["components"]["schemas"], name
    described = {op["operationId"] for path in document["paths"].values() for op in path.values()}
    assert described == {operation.name for operation in OPERATIONS}
