"""Applying workspace files: from the text of a file to what a running server loads, on real SQLite."""

import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gainsight_destination.errors import InvalidSettingsError, UserError
from gainsight_destination.store.database import connect
from gainsight_destination.testing import START_MS, ManualClock
from gainsight_destination.workspace import service
from gainsight_destination.workspace.export import export_yaml
from gainsight_destination.workspace.model import Workspace
from gainsight_destination.workspace.secrets import KEY_VARIABLE, SecretKeyError, Secrets

KEY = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
OTHER_KEY = "0e5a4dbc-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
WRITE_KEY = "wk-0123456789abcdef"
ENVIRON = {"WEBSITE_WRITE_KEY": WRITE_KEY, "GAINSIGHT_ACCESS_KEY": KEY}
FILE = """
sources:
  - name: website
    writeKey: ${WEBSITE_WRITE_KEY}
destinations:
  - name: gainsight
    type: gainsight
    sources: [website]
    settings:
      accessKey: ${GAINSIGHT_ACCESS_KEY}
      domain: https://acme.gainsightcloud.com
      events: []
"""

Apply = Callable[..., service.ApplyResult]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def apply(data: Path) -> Apply:
    def apply_text(content: str = FILE, environ: dict[str, str] = ENVIRON) -> service.ApplyResult:
        return service.apply_content(data, content, clock=ManualClock(), actor="ada", environ=environ)

    return apply_text


def loaded(data: Path, environ: dict[str, str] | None = None) -> Workspace:
    with closing(connect(data / "state.db", read_only=True)) as connection:
        return service.load(connection, Secrets.of(data, environ or {}))


def audit(data: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data / "state.db")) as connection:
        rows = connection.execute("SELECT version, changed_at, actor, changes FROM workspace_audit ORDER BY id")
        return [(*row[:3], json.loads(row[3])) for row in rows]


def problems(apply: Apply, content: str, environ: dict[str, str] = ENVIRON) -> tuple[str, ...]:
    with pytest.raises(InvalidSettingsError) as caught:
        apply(content, environ)
    return caught.value.problems


def test_file_becomes_the_configuration(apply: Apply, data: Path) -> None:
    """What the file says is what a server loads, secrets decrypted, and the audit tells who changed what."""
    result = apply()
    workspace = loaded(data)
    (source,), (destination,) = workspace.sources, workspace.destinations
    assert (source.name, source.write_key, source.enabled) == ("website", WRITE_KEY, True)
    assert destination.source_ids == {source.id}
    assert destination.settings == {
        "accessKey": KEY,
        "domain": "https://acme.gainsightcloud.com",
        "events": [],
    }
    assert workspace.version == result.version == 1
    assert audit(data) == [(1, START_MS, "ada", list(result.changes))]


def test_same_file_again_changes_nothing(apply: Apply, data: Path) -> None:
    """No difference: no new version, no audit row."""
    apply()
    result = apply()
    assert (result.version, result.changes) == (1, ())
    assert len(audit(data)) == 1


def test_changed_setting_is_told(apply: Apply) -> None:
    """A change names the setting and both values, unless it is a secret."""
    apply()
    changed = FILE.replace("events: []", "events: [Signed Up]").replace("${GAINSIGHT_ACCESS_KEY}", OTHER_KEY)
    assert apply(changed).changes == (
        'destination "gainsight": change accessKey',
        'destination "gainsight": change events from [] to ["Signed Up"]',
    )


def test_what_the_file_leaves_out_is_disabled_and_kept(apply: Apply, data: Path) -> None:
    """Nothing is deleted: history and books belong to it; naming it again enables the same one."""
    apply()
    first = loaded(data)
    result = apply("sources: []\ndestinations: []\n")
    assert [sentence.split(",")[0] for sentence in result.changes] == [
        'disable source "website"',
        'disconnect source "website" from destination "gainsight"',
        'disable destination "gainsight"',
    ]
    assert "not deleted" in result.changes[0]
    assert [each.enabled for each in (*loaded(data).sources, *loaded(data).destinations)] == [False, False]
    apply()
    assert loaded(data).sources == first.sources
    assert loaded(data).destinations == first.destinations


def test_omitted_secret_and_write_key_stay(apply: Apply, data: Path) -> None:
    """A file without secrets can be applied by people who do not know them."""
    apply()
    without = "\n".join(line for line in FILE.splitlines() if "Key" not in line)
    assert apply(without, {}).changes == ()
    assert loaded(data).destinations[0].settings["accessKey"] == KEY
    assert loaded(data).sources[0].write_key == WRITE_KEY


def test_renamed_source_is_refused(apply: Apply) -> None:
    """A source is its name; another name with the same write key would part it from its history."""
    apply()
    (problem,) = problems(apply, FILE.replace("website", "site"))
    assert 'the stored source "website", which is left out here' in problem


def test_two_sources_swap_their_write_keys(apply: Apply, data: Path) -> None:
    """Unique keys do not stand in the way of exchanging them."""
    apply("sources:\n- {name: a, writeKey: k1}\n- {name: b, writeKey: k2}\n")
    apply("sources:\n- {name: a, writeKey: k2}\n- {name: b, writeKey: k1}\n- {name: c, writeKey: k3}\n")
    assert {source.name: source.write_key for source in loaded(data).sources} == {"a": "k2", "b": "k1", "c": "k3"}


def test_all_problems_at_once_with_their_place(apply: Apply, data: Path) -> None:
    """Every mistake of a file is told in one go, with path and line, and nothing of it is applied."""
    found = problems(
        apply,
        """sources:
  - {name: website, writeKey: "${MISSING}"}
  - {name: website, writeKey: a b}
  - {name: app, writeKey: same-key, colour: red}
  - {name: ios, writeKey: same-key}
  - just text
destinations:
  - {name: one, type: gainsigt, sources: [websit]}
  - name: two
    type: gainsight
    sources: website
    settings: {accessKey: short, domain: x}
""",
    )
    for line, words in [
        (2, "sources[0].writeKey (line 2): the environment variable MISSING is not set"),
        (3, "sources[1] (line 3): writeKey must be"),
        (3, 'there is a source "website" already'),
        (4, "unknown key 'colour'"),
        (5, 'its write key is the one of source "app"'),
        (6, "sources[4] (line 6): must be an object; this is text"),
        (8, "there is no destination type 'gainsigt'; there is gainsight"),
        (8, 'did you mean "website"?'),
        (9, "sources must be a list; this is text"),
        (9, "this one has 5 characters"),
        (9, "domain needs the full name of the host"),
    ]:
        assert any(words in problem and f"(line {line})" in problem for problem in found), (words, found)
    assert len(found) == 11
    assert loaded(data).version == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("- a\n", "must be an object"),
        ("sources: [\n", "not valid YAML, line 2"),
        ("a: &x [*x]\n", "contains itself"),
        ("[" * 5_000, "nested too deeply"),
        ("sources: []\n---\nsources: []\n", "not valid YAML"),
        ("sources: \x01\n", "not text that YAML allows"),
    ],
)
def test_text_that_is_no_workspace(apply: Apply, content: str, words: str) -> None:
    """Whatever the file holds, the answer is one sentence."""
    with pytest.raises(UserError, match=words):
        apply(content)


def test_aliases_cannot_fill_the_memory(apply: Apply) -> None:
    """A few lines of YAML aliases stand for billions of values, and are refused."""
    rows = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(UserError, match="more than 100,000 values"):
        apply("\n".join(rows))


def test_references_are_expanded_and_escaped(apply: Apply, data: Path) -> None:
    """${NAME} is replaced anywhere in a text; $${ stands for itself, also through an export."""
    content = FILE.replace("acme.", "${TENANT}.").replace("events: []", "events: ['$${literal}', 'a ${TENANT}']")
    environ = {**ENVIRON, "TENANT": "northwind"}
    apply(content, environ)
    settings = loaded(data).destinations[0].settings
    assert settings["domain"] == "https://northwind.gainsightcloud.com"
    assert settings["events"] == ["${literal}", "a northwind"]
    assert apply(export_yaml(service.export(data))).changes == ()


def test_yaml_types_do_not_surprise(apply: Apply) -> None:
    """Unquoted values that YAML takes for numbers or switches are refused with a hint, twice-given keys too."""
    found = problems(apply, "sources:\n- {name: no, writeKey: 0123}\n- {name: b, name: c, writeKey: k}\n")
    assert any("name must be text; this is true or false" in problem for problem in found)
    assert any("writeKey must be text; this is a number; put it in quotes" in problem for problem in found)
    assert any("name is there twice" in problem for problem in found)


def test_type_of_a_destination_stays(apply: Apply, data: Path) -> None:
    """Records belong to a type, so another type needs another name."""
    apply()
    with closing(sqlite3.connect(data / "state.db")) as connection, connection:
        connection.execute("UPDATE destinations SET type = 'webhook'")
    (problem,) = problems(apply, FILE)
    assert "its type is webhook, which cannot change" in problem


def test_destination_without_source_is_warned_about(apply: Apply) -> None:
    """A destination that nothing reaches is probably a mistake."""
    result = apply(FILE.replace("sources: [website]", "sources: []"))
    assert result.warnings == ('destination "gainsight" is connected to no source and receives nothing',)


def test_export_can_be_applied_again(apply: Apply, data: Path, tmp_path: Path) -> None:
    """An export carries the whole configuration and no secret, and makes the same one elsewhere."""
    apply(FILE.replace("name: website", "name: Web-Seite 1").replace("[website]", "[Web-Seite 1]"))
    exported = export_yaml(service.export(data))
    assert KEY not in exported
    assert WRITE_KEY not in exported
    assert "${WEB_SEITE_1_WRITE_KEY}" in exported
    elsewhere = tmp_path / "elsewhere"
    environ = {"WEB_SEITE_1_WRITE_KEY": WRITE_KEY, "GAINSIGHT_ACCESS_KEY": KEY}
    service.apply_content(elsewhere, exported, clock=ManualClock(), actor="ada", environ=environ)
    assert loaded(elsewhere) == loaded(data)


def test_export_gives_each_secret_its_own_variable(apply: Apply, data: Path) -> None:
    """Names that look alike as variables do not share one."""
    apply("sources:\n- {name: my app, writeKey: k1}\n- {name: my-app, writeKey: k2}\n- {name: 購入, writeKey: k3}\n")
    keys = [row["writeKey"] for row in service.export(data)["sources"]]
    assert keys == ["${MY_APP_WRITE_KEY}", "${MY_APP_WRITE_KEY_2}", "${WRITE_KEY}"]


def test_check_writes_nothing(data: Path) -> None:
    """A check shows the plan, and not even the data directory is made."""
    plan = service.check_content(data, FILE, environ=ENVIRON)
    assert plan.sentences[0] == 'add source "website"'
    assert not data.exists()


# -- secrets


def test_no_secret_in_any_stored_byte(apply: Apply, data: Path) -> None:
    """The access key is in no file of the data directory and not in the audit, whatever was applied."""
    apply()
    apply(FILE.replace("${GAINSIGHT_ACCESS_KEY}", OTHER_KEY))
    for file in data.iterdir():
        content = file.read_bytes()
        assert KEY.encode() not in content
        assert OTHER_KEY.encode() not in content
    assert WRITE_KEY not in json.dumps(audit(data))


def test_no_secret_in_representations_and_problems(apply: Apply, data: Path) -> None:
    """Neither objects in a traceback nor messages about mistakes show a secret."""
    apply()
    assert KEY not in repr(loaded(data))
    assert WRITE_KEY not in repr(loaded(data))
    plan = service.check_content(
        data, FILE.replace("website", "site"), environ=ENVIRON | {"WEBSITE_WRITE_KEY": "wk-of-site"}
    )
    assert KEY not in repr(plan)
    broken = FILE.replace("accessKey:", "acessKey:").replace("domain: https://", f"domain: ftp://{OTHER_KEY}.")
    shown = "\n".join(problems(apply, broken))
    assert KEY not in shown
    assert OTHER_KEY not in shown


@pytest.mark.parametrize("secret", [KEY, WRITE_KEY])
def test_secret_in_the_wrong_setting_is_refused(apply: Apply, data: Path, secret: str) -> None:
    """A secret under a name that is shown to people would be stored in clear; it is refused instead."""
    (problem,) = problems(apply, FILE.replace("events: []", f"events: ['{secret}']"))
    assert "events contains a secret or a write key" in problem
    assert secret not in problem
    assert not any(secret.encode() in file.read_bytes() for file in data.iterdir())


def test_key_file_is_for_its_owner(apply: Apply, data: Path) -> None:
    """The key is made once, readable by its owner only, and leaves no draft behind."""
    apply()
    key_file = data / "secret.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    before = key_file.read_bytes()
    apply(FILE.replace("${GAINSIGHT_ACCESS_KEY}", OTHER_KEY))
    assert key_file.read_bytes() == before
    assert not [file for file in data.iterdir() if file.name.endswith(".new")]


def test_key_of_the_environment_wins(apply: Apply, data: Path) -> None:
    """With a key in the environment there is no key file, and the same key is needed to load."""
    environ = {KEY_VARIABLE: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    apply(FILE, ENVIRON | environ)
    assert not (data / "secret.key").exists()
    assert loaded(data, environ).destinations[0].settings["accessKey"] == KEY
    with pytest.raises(SecretKeyError, match="the key of the stored secrets is missing"):
        loaded(data)


@pytest.mark.parametrize("text", ["short", "%%%", "QUJD"])
def test_malformed_key_is_refused(apply: Apply, text: str) -> None:
    """A key that is none is told with the way to make one."""
    with pytest.raises(SecretKeyError, match="openssl rand -base64 32"):
        apply(FILE, ENVIRON | {KEY_VARIABLE: text})


def test_wrong_key_says_what_to_do_and_can_be_mended(apply: Apply, data: Path) -> None:
    """After the key was lost, a file that gives the secret again makes everything work."""
    apply()
    (data / "secret.key").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    with pytest.raises(SecretKeyError, match="Restore the key"):
        loaded(data)
    without = "\n".join(line for line in FILE.splitlines() if "accessKey" not in line)
    (problem,) = problems(apply, without)
    assert "the stored accessKey does not open with the present key" in problem
    assert apply().changes == ('destination "gainsight": change accessKey',)
    assert loaded(data).destinations[0].settings["accessKey"] == KEY


def test_lost_key_of_a_disabled_destination_stops_nobody(apply: Apply, data: Path) -> None:
    """What is disabled is loaded without the secrets that cannot be opened."""
    apply()
    apply("sources: []\ndestinations: []\n")
    (data / "secret.key").unlink()
    (destination,) = loaded(data).destinations
    assert destination.enabled is False
    assert "accessKey" not in destination.settings


def test_stored_secret_works_in_its_place_only(apply: Apply, data: Path) -> None:
    """A secret moved to another destination inside the database does not open there."""
    apply()
    with closing(sqlite3.connect(data / "state.db")) as connection, connection:
        connection.execute("UPDATE destinations SET name = 'other'")
    with pytest.raises(SecretKeyError, match="cannot be decrypted"):
        loaded(data)


def test_oauth_takes_the_place_of_the_access_key(apply: Apply, data: Path) -> None:
    """A file that gives the other credential takes the stored one away; a secret left out keeps its stored value."""
    apply()
    oauth = FILE.replace(
        "accessKey: ${GAINSIGHT_ACCESS_KEY}", "clientId: an-id\n      clientSecret: hush-hush-hush-hush"
    )
    assert set(apply(oauth).changes) >= {'destination "gainsight": set clientSecret'}
    assert loaded(data).destinations[0].settings.keys() & {"accessKey", "clientId", "clientSecret"} == {
        "clientId",
        "clientSecret",
    }
    assert apply(oauth.replace("\n      clientSecret: hush-hush-hush-hush", "")).changes == ()
    apply()
    assert "clientSecret" not in loaded(data).destinations[0].settings
    assert "hush" not in str(audit(data))
