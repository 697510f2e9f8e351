"""Settings of destinations that get messages: what is refused, in which words, and what is never shown."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.pipeline import ACCESS_KEY

from gainsight_destination.destinations.catalog import CATALOG
from gainsight_destination.errors import InvalidSettingsError

DOCS = Path(__file__).parents[2] / "docs" / "messages.md"
GOOD: dict[str, dict[str, Any]] = {
    "gainsight-classic": {"accessKey": ACCESS_KEY},
    "webhook": {"url": "https://hooks.example.com/a?b=c", "secret": "0123456789abcdef"},
}


@pytest.mark.parametrize(
    ("slug", "settings", "problem"),
    [
        ("gainsight-classic", {"accessKey": "1234"}, "accessKey must be 36 characters"),
        ("gainsight-classic", {"endpoint": "http://event.gainsight.com/x"}, "endpoint must begin with https://"),
        ("webhook", {"url": "hooks"}, "url needs the full name of the host"),
        ("webhook", {"url": "https://u:p@hooks.example.com"}, "url must not hold a user name or password"),
        ("webhook", {"url": "https://hooks.example.com/#x"}, "url must not hold a #fragment"),
        ("webhook", {"secret": "short"}, "secret must have at least 16 characters"),
        ("webhook", {"secret": "whsec_not base64"}, "secret begins with whsec_, so the rest must be base64"),
        ("webhook", {"types": ["delete"]}, "types has wrong rows: row 1 must be identify or track"),
        ("webhook", {"retryHours": -1}, "retryHours must be from 0"),
        ("webhook", {"retries": 3}, "unknown setting 'retries'"),
    ],
)
def test_what_is_wrong_is_said(slug: str, settings: dict[str, Any], problem: str) -> None:
    """Each mistake has its sentence, which names the setting and never the value of a secret."""
    with pytest.raises(InvalidSettingsError) as raised:
        CATALOG[slug].parse_settings(GOOD[slug] | settings)
    (said,) = raised.value.problems
    assert said.startswith(problem)
    assert not any(str(value) in said for name, value in settings.items() if name in CATALOG[slug].secret_settings)


@pytest.mark.parametrize("slug", GOOD)
def test_secrets_are_not_in_the_representation(slug: str) -> None:
    """`repr` goes to logs and tracebacks."""
    shown = repr(CATALOG[slug].parse_settings(GOOD[slug]))
    assert ACCESS_KEY not in shown
    assert "0123456789abcdef" not in shown


def test_a_webhook_without_a_secret_is_warned_about() -> None:
    """It is allowed, and probably not meant."""
    entry = CATALOG["webhook"]
    assert entry.warnings(entry.parse_settings({"url": "https://hooks.example.com"}))
    assert not entry.warnings(entry.parse_settings(GOOD["webhook"]))


@pytest.mark.parametrize("slug", GOOD)
def test_every_setting_is_documented(slug: str) -> None:
    """docs/messages.md names what there is."""
    with pytest.raises(InvalidSettingsError) as raised:
        CATALOG[slug].parse_settings({**GOOD[slug], "zzzzzzzzz": 1})
    names = raised.value.problems[0].partition("there is ")[2].split(", ")
    assert len(names) >= 6
    for name in names:
        assert f"`{name}`" in DOCS.read_text()
