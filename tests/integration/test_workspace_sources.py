"""The settings of sources, and the consent that destinations ask for: from a file to what is loaded, and back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.test_workspace_apply import Apply, apply, audit, data, loaded, problems

from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.runtime.ingest_main import read_sources
from gainsight_destination.testing import ManualClock
from gainsight_destination.workspace import service
from gainsight_destination.workspace.export import export_yaml
from gainsight_destination.workspace.model import Sender, SourceKind, SourceLimits, Trust, UnsignedTail, Webhook

__all__ = ["apply", "data"]

NEW, OLD = "new-secret-0123456789", "old-secret-0123456789"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"NEW": NEW, "OLD": OLD, "STANDARD": STANDARD}
FILE = """sources:
  - name: website
    writeKey: wk-website
    kind: website
    trust: limited
    limits: {messagesPerSecond: 500, megabytesPerDay: 2000}
  - name: from segment
    writeKey: wk-segment
    kind: webhook
    webhook:
      sender: segment
      secrets: ["${NEW}", "${OLD}"]
      unsignedTail: accept
  - name: from elsewhere
    writeKey: wk-elsewhere
    kind: webhook
    webhook: {sender: standard, secrets: ["${STANDARD}"], toleranceSeconds: 60}
  - name: plain
    writeKey: wk-plain
destinations:
  - name: gainsight
    type: gainsight
    sources: [website]
    consentCategories: [analytics, "customer success"]
    settings: {accessKey: 5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc, domain: acme.gainsightcloud.com}
"""


def webhook_file(webhook: str, kind: str = "webhook") -> str:
    return f"sources:\n- name: hook\n  writeKey: wk-of-the-hook\n  kind: {kind}\n  webhook: {webhook}\n"


def test_settings_of_sources_become_the_configuration(apply: Apply, data: Path) -> None:
    """What the file says of a source is loaded, secrets decrypted; what it leaves out has its default."""
    apply(FILE, ENVIRON)
    website, segment, elsewhere, plain = loaded(data).sources
    assert (website.kind, website.trust) == (SourceKind.WEBSITE, Trust.LIMITED)
    assert website.limits == SourceLimits(messages_per_second=500, megabytes_per_day=2000)
    assert segment.webhook == Webhook(Sender.SEGMENT, (NEW, OLD), UnsignedTail.ACCEPT)
    assert elsewhere.webhook == Webhook(Sender.STANDARD, (STANDARD,), UnsignedTail.REFUSE, 60)
    assert (plain.kind, plain.trust, plain.limits, plain.webhook) == (
        SourceKind.SERVER,
        Trust.FULL,
        SourceLimits(None, None),
        None,
    )
    assert loaded(data).destinations[0].consent_categories == ("analytics", "customer success")
    assert apply(FILE, ENVIRON).changes == ()


def test_an_export_says_the_same(apply: Apply, data: Path, tmp_path: Path) -> None:
    """An export holds every setting and, for each secret, a reference; applied elsewhere it makes the same sources."""
    apply(FILE, ENVIRON)
    exported = export_yaml(service.export(data))
    assert not any(secret in exported for secret in ENVIRON.values())
    environ = {
        "WEBSITE_WRITE_KEY": "wk-website",
        "FROM_SEGMENT_WRITE_KEY": "wk-segment",
        "FROM_SEGMENT_WEBHOOK_SECRET": NEW,
        "FROM_SEGMENT_WEBHOOK_SECRET_2": OLD,
        "FROM_ELSEWHERE_WRITE_KEY": "wk-elsewhere",
        "FROM_ELSEWHERE_WEBHOOK_SECRET": STANDARD,
        "PLAIN_WRITE_KEY": "wk-plain",
        "GAINSIGHT_ACCESS_KEY": "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc",
    }
    elsewhere = tmp_path / "elsewhere"
    service.apply_content(elsewhere, exported, clock=ManualClock(), actor="ada", environ=environ)
    assert loaded(elsewhere) == loaded(data)


def test_each_difference_is_a_sentence_without_secrets(apply: Apply, data: Path) -> None:
    """The plan and the audit tell what changes, by its path, and never a secret."""
    apply(FILE, ENVIRON)
    changed = (
        FILE.replace("messagesPerSecond: 500, ", "")
        .replace("kind: website", "kind: mobile")
        .replace('"${NEW}", "${OLD}"', '"${NEW}"')
        .replace("      unsignedTail: accept\n", "")
        .replace("    trust: limited\n", "")
        .replace('    consentCategories: [analytics, "customer success"]\n', "    consentCategories: [ads]\n")
    )
    changes = apply(changed, ENVIRON).changes
    assert changes == (
        'source "website": change kind from "website" to "mobile"',
        'source "website": remove limits.messagesPerSecond, which was 500',
        'source "website": remove trust, which was "limited"',
        'source "from segment": change webhook.secrets',
        'source "from segment": remove webhook.unsignedTail, which was "accept"',
        'destination "gainsight": ask for consent to "ads"',
    )
    assert audit(data)[-1][3] == list(changes)
    assert loaded(data).sources[1].webhook == Webhook(Sender.SEGMENT, (NEW,))


def test_left_out_secrets_stay(apply: Apply, data: Path) -> None:
    """Secrets that a file does not mention are kept, as those of destinations are."""
    apply(FILE, ENVIRON)
    without = FILE.replace('      secrets: ["${NEW}", "${OLD}"]\n', "")
    assert apply(without, ENVIRON).changes == ()
    assert loaded(data).sources[1].webhook == Webhook(Sender.SEGMENT, (NEW, OLD), UnsignedTail.ACCEPT)


def test_no_secret_in_any_stored_byte(apply: Apply, data: Path) -> None:
    """Webhook secrets are in no file of the data directory and in no representation of what is loaded."""
    apply(FILE, ENVIRON)
    for file in data.iterdir():
        assert not any(secret.encode() in file.read_bytes() for secret in ENVIRON.values())
    assert not any(secret in repr(loaded(data)) for secret in ENVIRON.values())
    plan = service.check_content(data, FILE.replace("${OLD}", "another-secret-0000"), environ=ENVIRON)
    assert "another-secret-0000" not in repr(plan)


def test_stored_secret_works_in_its_place_only(apply: Apply, data: Path) -> None:
    """A secret that is moved to another source inside the database does not open there."""
    apply(FILE, ENVIRON)
    with closing(sqlite3.connect(data / "state.db")) as connection, connection:
        connection.execute("UPDATE sources SET name = 'moved' WHERE name = 'from segment'")
    assert {source.name: source.webhook and len(source.webhook.secrets) for source in loaded(data).sources} == {
        "website": None,
        "moved": 0,
        "from elsewhere": 1,
        "plain": None,
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (webhook_file("{sender: segment}"), "sources[0] (line 2): webhook.secrets is required"),
        (webhook_file("{secrets: [0123456789abcdef]}"), "sources[0].webhook (line 5): sender is required"),
        (
            webhook_file("{sender: svix, secrets: [abcdefghijklmnop]}"),
            "sources[0].webhook (line 5): sender must be segment or rudderstack or jitsu or standard",
        ),
        (webhook_file("{sender: segment, secrets: []}"), "secrets must be a list of 1 secret, or of 2"),
        (webhook_file("{sender: segment, secrets: [aa, bb, cc]}"), "secrets must be a list of 1 secret, or of 2"),
        (webhook_file("{sender: segment, secrets: ['a b']}"), "ASCII characters each, without spaces"),
        (webhook_file("{sender: segment, secrets: [wk-of-the-hook]}"), "has the write key in it"),
        (webhook_file("{sender: standard, secrets: [whsec_short]}"), "must be base64 of 24 to 64 bytes"),
        (webhook_file("{sender: jitsu, secrets: [abcdefghijklmnop], unsignedTail: accept}"), "for sender segment only"),
        (webhook_file("{sender: segment, secrets: [abcdefghijklmnop], unsignedTail: maybe}"), "accept or refuse"),
        (
            webhook_file("{sender: segment, secrets: [abcdefghijklmnop], toleranceSeconds: 5}"),
            "for sender standard only",
        ),
        (webhook_file("{sender: segment, secrets: [abcdefghijklmnop]}", "server"), "webhook is for kind webhook only"),
        ("sources:\n- {name: a, writeKey: k, kind: webhook}\n", "webhook is required for kind webhook"),
        ("sources:\n- {name: a, writeKey: k, kind: web}\n", "sources[0] (line 2): kind must be website or server"),
        ("sources:\n- {name: a, writeKey: k, trust: none}\n", "trust must be full or limited"),
        ("sources:\n- {name: a, writeKey: k, limits: 5}\n", "limits must be an object; this is a number"),
        (
            "sources:\n- name: a\n  writeKey: k\n  limits:\n    messagesPerSecond: 0\n",
            "sources[0].limits (line 5): messagesPerSecond must be from 1 to",
        ),
        ("sources:\n- {name: a, writeKey: k, limits: {perSecond: 1}}\n", "unknown key 'perSecond'"),
        (
            "sources:\n- {name: a, writeKey: k, kind: webhook, webhook: {sender: segment, secrets: ['${MISSING}']}}\n",
            "sources[0].webhook.secrets[0] (line 2): the environment variable MISSING is not set",
        ),
        (FILE.replace("[analytics,", "[7,"), "consentCategories has wrong rows: row 1 must be text"),
        (FILE.replace("domain: acme", f"events: [{NEW}], domain: acme"), "contains a secret or a write key"),
    ],
)
def test_one_mistake_is_one_problem_with_its_place(apply: Apply, content: str, words: str) -> None:
    """A wrong setting is told once, where it stands, without its value."""
    found = problems(apply, content, ENVIRON)
    assert len(found) == 1, found
    assert words in found[0]
    assert not any(secret in found[0] for secret in ENVIRON.values())


def test_a_short_secret_is_warned_about(apply: Apply) -> None:
    """A secret that can be guessed is allowed, since some senders give it, and told."""
    result = apply(webhook_file("{sender: segment, secrets: [short]}"))
    assert result.warnings == ('source "hook": a webhook secret of fewer than 16 characters can be guessed',)


def test_trust_that_nobody_has_is_warned_about(apply: Apply) -> None:
    """Limited trust protects nothing while no enabled source has full trust."""
    website = "sources:\n- {name: website, writeKey: wk-website, trust: limited}\n"
    (warning,) = apply(f"{website}- {{name: old, writeKey: wk-old, enabled: false}}\n").warnings
    assert warning.startswith("every source has limited trust")
    assert apply(f"{website}- {{name: backend, writeKey: wk-backend}}\n").warnings == ()


def test_full_trust_of_what_anybody_can_send_is_warned_about(apply: Apply) -> None:
    """The write key of a web page is public; once a backend says accounts too, the page need not be believed."""
    website = "- {name: website, kind: website, writeKey: wk-website}\n"
    assert apply(f"sources:\n{website}").warnings == ()
    (warning,) = apply(f"sources:\n{website}- {{name: backend, writeKey: wk-backend}}\n").warnings
    assert warning.startswith('source "website": anybody can read its write key')


def test_limits_may_come_from_the_environment(apply: Apply, data: Path) -> None:
    """Numbers that are texts, as variables are, count as numbers."""
    content = "sources:\n- {name: a, writeKey: k, limits: {messagesPerSecond: '${N}'}}\n"
    apply(content, {"N": "25"})
    assert loaded(data).sources[0].limits.messages_per_second == 25


def test_the_public_port_knows_them(apply: Apply, data: Path) -> None:
    """Ingest reads kinds, limits and decrypted secrets, and takes a change at its next look."""
    apply(FILE, ENVIRON)
    stored = StoredSources(
        data / "state.db", clock=ManualClock(), read_sources=lambda connection: read_sources(data, connection)
    )
    stored.refresh()
    found = [
        (stored.webhook_source_of if source.webhook else stored.source_of)(source.write_key)
        for source in loaded(data).sources
    ]
    assert found == list(loaded(data).sources)
    apply(FILE.replace("messagesPerSecond: 500", "messagesPerSecond: 7"), ENVIRON)
    stored.refresh()
    website = stored.source_of("wk-website")
    assert website is not None
    assert website.limits.messages_per_second == 7
    assert stored.troubles() == []


def test_a_lost_key_is_told_until_it_is_back(apply: Apply, data: Path) -> None:
    """Without its key the webhook has no secrets, which the port tells; a restored key needs no restart."""
    apply(webhook_file(f"{{sender: segment, secrets: [{NEW}]}}"))
    stored = StoredSources(
        data / "state.db", clock=ManualClock(), read_sources=lambda connection: read_sources(data, connection)
    )
    (data / "secret.key").rename(data / "away.key")
    stored.refresh()
    (trouble,) = stored.troubles()
    assert 'the webhook secrets of source "hook" do not open with the present key' in trouble
    (problem,) = problems(apply, webhook_file("{sender: segment}"))
    assert "the stored webhook.secrets do not open with the present key; give them again" in problem
    (data / "away.key").rename(data / "secret.key")
    stored.refresh()
    assert stored.troubles() == []
    hook = stored.webhook_source_of("wk-of-the-hook")
    assert hook is not None
    assert hook.webhook == Webhook(Sender.SEGMENT, (NEW,))


def test_sources_of_before_have_the_defaults(apply: Apply, data: Path) -> None:
    """A source that was stored before there were settings is a trusted server without limits, and nothing changes."""
    content = "sources:\n- {name: a, writeKey: k}\n"
    apply(content)
    with closing(sqlite3.connect(data / "state.db")) as connection:
        assert connection.execute("SELECT settings, secrets FROM sources").fetchall() == [("{}", "{}")]
    assert apply(content).changes == ()
