"""What the console asks for is what a destination can be told."""

import pytest

from gainsight_destination.destinations.catalog import CATALOG, CatalogEntry
from gainsight_destination.destinations.form import Kind, changed, shown
from gainsight_destination.destinations.gainsight.settings import DEFAULTS, READERS
from gainsight_destination.destinations.read_settings import MISSING
from gainsight_destination.errors import InvalidSettingsError

GAINSIGHT = CATALOG["gainsight"].form


def test_every_setting_is_asked_for_with_its_default() -> None:
    """A setting that is added to the Gainsight destination is in the console too."""
    assert {field.name for field in GAINSIGHT} == set(READERS)
    for field in GAINSIGHT:
        default = DEFAULTS[field.name]
        if not field.required and default is not MISSING:
            expected = list(default) if isinstance(default, tuple) else default
            assert field.default == expected, field.name


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_secrets_are_secrets_in_the_form(entry: CatalogEntry) -> None:
    """What is encrypted at rest is never put into a field."""
    assert {field.name for field in entry.form if field.kind is Kind.SECRET} == entry.secret_settings
    for field in entry.form:
        if field.kind is Kind.SECRET:
            assert shown(field, {field.name: "key"}) == ""


def test_what_is_typed_is_what_is_shown() -> None:
    """Settings survive being shown and saved without a change; an emptied field goes back to its default."""
    settings = {
        "accessKey": "secret",
        "events": ["Signed Up", {"key": "k", "value": "Paid"}],
        "companyFields": {"plan": "Plan__gc"},
        "usageObject": None,
        "createCompanies": True,
        "callsPerMinute": 30,
        "flushSeconds": 2.5,
        "triggers": [{"event": "a", "topicName": "t", "eventName": "e", "eventVersion": "1"}],
    }
    typed = {field.name: shown(field, settings) for field in GAINSIGHT}
    assert changed(GAINSIGHT, settings, typed) == settings | {"events": ["Signed Up", "Paid"]}
    emptied = changed(GAINSIGHT, settings, dict.fromkeys(typed, ""))
    assert emptied == {"accessKey": "secret"}


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("callsPerMinute", "many", "must be a number"),
        ("companyFields", "plan", "name = field"),
        ("triggers", "{", "is not JSON"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, typed: str, words: str) -> None:
    """The setting is named, and nothing is changed."""
    with pytest.raises(InvalidSettingsError, match=words) as caught:
        changed(GAINSIGHT, {}, {name: typed})
    assert name in str(caught.value)
