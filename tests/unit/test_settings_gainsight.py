"""The settings of the Gainsight destination: what is accepted, what is refused, and in which words."""

import re
from typing import Any

import pytest

from gainsight_destination.destinations.catalog import CATALOG, entry_of
from gainsight_destination.destinations.gainsight.settings import parse_settings, warnings
from gainsight_destination.errors import InvalidSettingsError, UserError

KEY = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
GOOD = {"accessKey": KEY, "domain": "https://acme.gainsightcloud.com"}


def problems(**settings: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettingsError) as caught:
        parse_settings({**GOOD, **settings})
    return caught.value.problems


def test_defaults_are_the_documented_ones() -> None:
    """Access key and domain are enough; everything else has its documented default."""
    settings = parse_settings(GOOD)
    assert settings.events == ()
    assert settings.account_id_names == ("accountId", "account_id")
    assert settings.account_field == "SfdcAccountId"
    assert settings.create_companies is False
    assert (settings.event_object, settings.usage_object) == ("Segment_Event__gc", "Segment_Usage_Daily__gc")
    assert (settings.usage_grain, settings.parked_then) == ("user", "drop")
    assert (settings.park_days, settings.correction_days, settings.flush_seconds) == (30, 7, 15)
    assert (settings.calls_per_minute, settings.calls_per_day) == (60, 30_000)
    assert settings.people_path == "/v1/peoplemgmt/v1.0/people"
    assert warnings(settings) == []


def test_every_problem_is_told_at_once() -> None:
    """A person mends the file once, not once per mistake."""
    with pytest.raises(InvalidSettingsError) as caught:
        parse_settings({"domain": "ftp://x", "usageGrain": "day", "callsPerMinute": 0, "parkDays": "soon"})
    assert len(caught.value.problems) == 5
    assert "accessKey is required; or clientId and clientSecret, for OAuth" in caught.value.problems


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (KEY.replace("-", ""), "this one has 32 characters"),
        ("x", "this one has 1 character"),
        ("z" + KEY[1:], "formed otherwise"),
        (KEY[:8] + KEY[9:] + "0", "formed otherwise"),
        (12345, "this is a number"),
        (None, "it is empty"),
        ("", "this one has 0 characters"),
    ],
)
def test_access_key_has_its_form(key: object, words: str) -> None:
    """36 characters, UUID-shaped; the refusal says what is wrong and never repeats the key."""
    (problem,) = problems(accessKey=key)
    assert problem.startswith("accessKey must be 36 characters in the form 8-4-4-4-12")
    assert words in problem
    assert not (isinstance(key, str) and len(key) > 8 and key in problem)


def test_access_key_is_trimmed() -> None:
    """A key pasted with white space around it is the same key."""
    assert parse_settings({**GOOD, "accessKey": f" {KEY}\n"}).access_key == KEY


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://acme.gainsightcloud.com", "https://acme.gainsightcloud.com"),
        ("https://Acme.GainsightCloud.com/", "https://acme.gainsightcloud.com"),
        ("acme.gainsightcloud.com", "https://acme.gainsightcloud.com"),
        ("https://cs.acme.example:443", "https://cs.acme.example"),
        ("https://cs.acme.example:8443", "https://cs.acme.example:8443"),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("http://localhost:8090/", "http://localhost:8090"),
        ("http://[::1]:8090", "http://[::1]:8090"),
    ],
)
def test_domain_becomes_an_origin(written: str, origin: str) -> None:
    """However the tenant's address is written, it is stored as scheme, host and port."""
    assert parse_settings({**GOOD, "domain": written}).domain == origin


@pytest.mark.parametrize(
    "written",
    [
        "http://acme.gainsightcloud.com",
        "http://127.0.0.1.example.com",
        "https://acme.gainsightcloud.com/v1/data",
        "https://acme.gainsightcloud.com?x=1",
        "https://ada:pw@acme.gainsightcloud.com",
        "ftp://acme.gainsightcloud.com",
        "https://",
        "https://acme",
        "https://a b.example",
        "https://acme.example:99999",
        "https://acme..example",
        f"https://{KEY}",
        7,
    ],
)
def test_domain_is_refused(written: object) -> None:
    """Nothing but an https origin, and plain http on this machine; the refusal quotes nothing of it."""
    (problem,) = problems(domain=written)
    assert problem.startswith("domain ")
    assert "pw" not in problem
    assert KEY not in problem


def test_events_are_names_or_original_rows() -> None:
    """Plain names and the original integration's {key, value} rows name the same event."""
    settings = parse_settings({**GOOD, "events": ["Signed Up", {"key": "Order Completed", "value": {"a": 1}}]})
    assert settings.events == ("Signed Up", "Order Completed")


def test_wrong_event_rows_are_each_named() -> None:
    """Every wrong row of the allowlist is told by its place."""
    (problem,) = problems(events=["ok", "", {"value": 1}, 4])
    assert re.findall(r"row \d", problem) == ["row 2", "row 3", "row 4"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("callsPerMinute", 0),
        ("callsPerMinute", 1.5),
        ("callsPerDay", -1),
        ("parkDays", -0.1),
        ("correctionDays", float("nan")),
        ("flushSeconds", 3_601),
        ("flushSeconds", True),
        ("createCompanies", "perhaps"),
        ("usageGrain", "day"),
        ("parkedThen", None),
        ("peoplePath", "/v2/people"),
        ("accountField", "Sfdc Account"),
        ("eventObject", "../company"),
        ("companyFields", ["plan"]),
        ("personFields", {"plan": "no spaces allowed"}),
        ("accountIdNames", []),
        ("bulkJobs", {"Person": "4711"}),
        ("triggers", [{"event": "Signed Up"}]),
        ("sharedSecret", ""),
    ],
)
def test_values_out_of_bounds_are_refused(name: str, value: object) -> None:
    """Each setting has bounds, and the problem begins with its name."""
    found = problems(**{name: value})
    assert found[0].startswith(f"{name} ")


def test_numbers_and_switches_may_be_text() -> None:
    """An environment variable is always text, and still can set a number or a switch."""
    settings = parse_settings({**GOOD, "callsPerMinute": "80", "parkDays": "1.5", "createCompanies": "true"})
    assert (settings.calls_per_minute, settings.park_days, settings.create_companies) == (80, 1.5, True)


@pytest.mark.parametrize(("typed", "meant"), [("acesKey", "accessKey"), ("calls_per_minute", "callsPerMinute")])
def test_unknown_setting_gets_a_suggestion(typed: str, meant: str) -> None:
    """A typing mistake is refused, with the name that was probably meant."""
    (problem,) = problems(**{typed: 5})
    assert problem == f"unknown setting {typed!r}; did you mean {meant}?"


def test_objects_may_be_switched_off() -> None:
    """null switches event rows or usage off; both off is allowed and warned about."""
    settings = parse_settings({**GOOD, "eventObject": None, "usageObject": None})
    assert settings.event_object is None
    assert "not delivered" in warnings(settings)[0]


def test_triggers_need_their_credentials() -> None:
    """The Events Framework wants a shared secret and a tenant id."""
    row = {"event": "Signed Up", "topicName": "T", "eventName": "E", "eventVersion": "v01"}
    assert problems(triggers=[row]) == (
        "sharedSecret is required when there are triggers",
        "tenantId is required when there are triggers",
    )
    settings = parse_settings({**GOOD, "triggers": [row], "sharedSecret": "s", "tenantId": "t"})
    assert settings.triggers[0].topic_name == "T"


def test_more_than_the_tenant_has_is_warned_about() -> None:
    """A share above Gainsight's own limits is legal and told."""
    found = warnings(parse_settings({**GOOD, "callsPerMinute": 101, "callsPerDay": 50_001}))
    assert [warning.split(" ")[0] for warning in found] == ["callsPerMinute", "callsPerDay"]


def test_secrets_are_not_in_the_representation() -> None:
    """Settings in a log line or a traceback show no secret."""
    row = {"event": "Signed Up", "topicName": "T", "eventName": "E", "eventVersion": "v01"}
    settings = parse_settings({**GOOD, "triggers": [row], "sharedSecret": "hush-hush-hush", "tenantId": "t"})
    assert KEY not in repr(settings)
    assert "hush-hush-hush" not in repr(settings)
    assert KEY not in repr(list(settings.__rich_repr__()))


def test_catalog_names_what_there_is() -> None:
    """An unknown type is refused with the types that exist; gainsight takes identify, track and group."""
    with pytest.raises(UserError, match="there is gainsight"):
        entry_of("salesforce")
    assert {name for name, taken in CATALOG["gainsight"].methods.items() if taken} == {"identify", "track", "group"}
    assert CATALOG["gainsight"].secret_settings == {"accessKey", "clientSecret", "sharedSecret"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"accessKey": KEY, "clientId": "a", "clientSecret": "b"}, "accessKey and clientId are both given"),
        ({"clientId": "a"}, "clientSecret is required with clientId"),
        ({"clientSecret": "a"}, "clientId is required with clientSecret"),
        ({}, "accessKey is required; or clientId and clientSecret, for OAuth"),
    ],
)
def test_exactly_one_credential(settings: dict[str, str], says: str) -> None:
    """Access Key or OAuth, and what is wrong is one sentence."""
    with pytest.raises(InvalidSettingsError) as caught:
        parse_settings({"domain": "https://acme.gainsightcloud.com", **settings})
    (problem,) = caught.value.problems
    assert problem.startswith(says)


def test_oauth_settings_are_taken_and_masked() -> None:
    """The key pair alone will do, and its secret does not show."""
    settings = parse_settings({"domain": "https://acme.gainsightcloud.com", "clientId": "a", "clientSecret": "hush"})
    assert (settings.access_key, settings.client_id, settings.client_secret) == (None, "a", "hush")
    assert "hush" not in repr(settings)
