"""What the product promises first, through the real SDK, the real processes and the sandbox."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.pipeline import ACCESS_KEY
from tests.support.system import System, wait_until

EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"


def accounts(system: System) -> list[dict[str, Any]]:
    """Companies of the sandbox whose Salesforce id has 18 characters."""
    return [row for row in system.rows("company") if len(row["SfdcAccountId"]) == 18]


def event_rows(system: System) -> dict[str, dict[str, Any]]:
    return {row["Message_Id__gc"]: row for row in system.rows(EVENTS)}


def test_every_way_to_an_account(make_system: Callable[..., System]) -> None:
    """identify with accountId, track with accountId, track after identify, track after group, group by account id."""
    system = make_system()
    one, two, three = accounts(system)[:3]
    traits = {"email": "U1@Example.com", "firstName": "Mo", "lastName": "Ito", "title": "CTO"}
    with_account = {"accountId": two["SfdcAccountId"], "rows": 3}
    short_id = three["SfdcAccountId"][:15]
    system.send(
        ("identify", {"user_id": "u1", "traits": {"accountId": one["SfdcAccountId"], **traits}}),
        ("track", {"user_id": "u1", "event": "After Identify", "message_id": "after-identify"}),
        ("track", {"user_id": "u2", "event": "With Account", "message_id": "with-account", "properties": with_account}),
        ("group", {"user_id": "u3", "group_id": short_id, "traits": {"industry": "Energy", "employees": "120"}}),
        ("track", {"user_id": "u3", "event": "After Group", "message_id": "after-group"}),
    )
    books = system.settled(5)
    assert books["delivered"] == 5
    rows = event_rows(system)
    found = {name: (rows[name]["Account_Id__gc"], rows[name]["Company_Id__gc"]) for name in rows}
    assert found == {
        "after-identify": (one["SfdcAccountId"], one["Gsid"]),
        "with-account": (two["SfdcAccountId"], two["Gsid"]),
        "after-group": (three["SfdcAccountId"], three["Gsid"]),
    }
    (person,) = system.rows("person")
    assert (person["Email"], person["Name"]) == ("u1@example.com", "Mo Ito")
    assert rows["after-identify"]["Person_Id__gc"] == person["Gsid"]
    (link,) = system.rows("company_person")
    assert (link["Person_ID"], link["Company_ID"], link["Title"]) == (person["Gsid"], one["Gsid"], "CTO")
    company = next(row for row in system.rows("company") if row["Gsid"] == three["Gsid"])
    assert (company["Industry"], company["Employees"], company["Name"]) == ("Energy", 120, three["Name"])
    usage = {row["Event_Name__gc"]: (row["User_Id__gc"], row["Event_Count__gc"]) for row in system.rows(USAGE)}
    assert usage == {"After Identify": ("u1", 1), "With Account": ("u2", 1), "After Group": ("u3", 1)}


def test_the_allowlist(make_system: Callable[..., System]) -> None:
    """Only listed events are sent, in any spelling; identify and group always pass."""
    system = make_system(events=["Order Completed"])
    account = accounts(system)[0]["SfdcAccountId"]
    system.send(
        ("group", {"user_id": "u1", "group_id": account}),
        ("track", {"user_id": "u1", "event": "order_completed", "message_id": "listed"}),
        ("track", {"user_id": "u1", "event": "Order Refunded"}),
        ("page", {"user_id": "u1", "name": "Home"}),
    )
    books = system.settled(4)
    assert set(event_rows(system)) == {"listed"}
    assert books["filtered"] == {"event_not_listed": 1, "unsupported_type": 1}


def test_an_anonymous_visit_and_a_parked_event(make_system: Callable[..., System]) -> None:
    """Events before sign-in wait, and are released with their user and account when he is known."""
    system = make_system()
    account = accounts(system)[0]
    before = datetime.now(UTC) - timedelta(minutes=5)
    system.send(
        ("track", {"anonymous_id": "anon", "event": "Visited", "message_id": "visit", "timestamp": before}),
        ("track", {"user_id": "u1", "event": "Clicked", "message_id": "click", "timestamp": before}),
    )
    assert system.settled(2)["parked"] == {"no_account": 2}
    system.send(
        ("identify", {"user_id": "u1", "anonymous_id": "anon", "traits": {"accountId": account["SfdcAccountId"]}})
    )
    books = system.settled(3)
    assert (books["parked"], books["delivered"], books["filtered"]) == ({}, 2, {"no_email": 1})
    rows = event_rows(system)
    assert {(row["User_Id__gc"], row["Company_Id__gc"]) for row in rows.values()} == {("u1", account["Gsid"])}


def test_an_unknown_company_appears_later(make_system: Callable[..., System]) -> None:
    """A group call for an account that Gainsight does not have waits; its events go with empty lookups."""
    system = make_system()
    account = "0019X00000Zz9ZzQAJ"
    system.send(
        ("group", {"user_id": "u1", "group_id": account, "traits": {"industry": "Energy"}}),
        ("track", {"user_id": "u1", "event": "Clicked", "message_id": "click"}),
    )
    books = system.settled(2)
    assert (books["parked"], books["delivered"]) == ({"unknown_company": 1}, 1)
    row = event_rows(system)["click"]
    assert (row["Account_Id__gc"], row["Company_Id__gc"]) == (account, None)


def test_create_companies(make_system: Callable[..., System]) -> None:
    """With createCompanies an unknown account becomes a Company, once."""
    system = make_system(createCompanies=True)
    account = "0019X00000Zz9ZzQAJ"
    system.send(
        ("group", {"user_id": "u1", "group_id": account, "traits": {"name": "Newcomer", "employees": 3}}),
        ("group", {"user_id": "u2", "group_id": account, "traits": {"industry": "Energy"}}),
        ("track", {"user_id": "u1", "event": "Clicked", "message_id": "click"}),
    )
    assert system.settled(3)["delivered"] == 3
    (company,) = [row for row in system.rows("company") if row["SfdcAccountId"] == account]
    assert (company["Name"], company["Employees"], company["Industry"]) == ("Newcomer", 3, "Energy")
    system.send(("track", {"user_id": "u1", "event": "Clicked", "message_id": "click-2"}))
    system.settled(4)
    assert event_rows(system)["click-2"]["Company_Id__gc"] == company["Gsid"]


def test_a_wrong_access_key_pauses_and_a_good_one_resumes(make_system: Callable[..., System]) -> None:
    """Nothing is lost to a wrong key; the reason is shown; a new key in the workspace resumes at once."""
    system = make_system(accessKey="00000000-0000-4000-8000-000000000000")
    account = accounts(system)[0]["SfdcAccountId"]
    system.send(("track", {"user_id": "u1", "event": "Clicked", "properties": {"accountId": account}}))
    paused = wait_until(lambda: system.books()["pauses"], "the pause")
    assert "refuses the Access Key" in paused[0]["reason"]
    assert system.books()["state"] == "paused"
    calls = system.books()["calls"]["total"]
    assert calls == 1
    assert "refuses" in system.cli("check", "--data", str(system.data), code=1)
    system.settings["accessKey"] = ACCESS_KEY
    system.write_workspace()
    system.cli("workspace", "apply", "-f", str(system.directory / "workspace.yaml"), "--data", str(system.data))
    assert system.settled(1)["delivered"] == 1
    assert system.books()["state"] == "running"


def test_a_short_access_key_is_refused(make_system: Callable[..., System]) -> None:
    """A key that cannot be one is refused when it is set, with what is wrong with it."""
    system = make_system()
    system.settings["accessKey"] = "1234"
    system.write_workspace()
    ran = system.cli(
        "workspace", "apply", "-f", str(system.directory / "workspace.yaml"), "--data", str(system.data), code=2
    )
    assert "1234" not in ran


def test_check_tells_what_is_missing(make_system: Callable[..., System]) -> None:
    """check passes on a prepared tenant, by words and by JSON."""
    system = make_system()
    assert "connected" in system.cli("check", "--data", str(system.data))
    assert '"ok": true' in system.cli("check", "--data", str(system.data), "--json")


def test_trace_explains(make_system: Callable[..., System]) -> None:
    """trace names the rule, the evidence and the records."""
    system = make_system()
    account = accounts(system)[0]["SfdcAccountId"]
    system.send(
        ("group", {"user_id": "u1", "group_id": account, "message_id": "the-group"}),
        ("track", {"user_id": "u1", "event": "Clicked", "message_id": "the-track"}),
    )
    system.settled(2)
    story = system.cli("trace", "the-track", "--data", str(system.data))
    assert "said by a group call, message the-group" in story
    assert "record event: up to date" in story
