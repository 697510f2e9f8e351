"""The pages about settings and commands name everything there is, and their example works."""

import re
from pathlib import Path

from gainsight_destination.cli.app import ExitCode
from gainsight_destination.cli.commands import COMMANDS
from gainsight_destination.destinations.gainsight.settings import READERS, parse_settings
from gainsight_destination.workspace.file import read_spec

DOCS = Path(__file__).parents[2] / "docs"


def rows(page: str) -> dict[str, str]:
    """First cell -> second cell of every table row of a page."""
    found = re.findall(r"^\| `?([\w-]+)`? \| (.+?) \|", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return dict(found)


def test_every_setting_is_documented() -> None:
    """docs/workspace.md has a row for each setting of the Gainsight destination."""
    assert set(READERS) - set(rows("workspace.md")) == set()


def test_documented_defaults_are_true() -> None:
    """A default that the page shows is the one that is used."""
    settings = parse_settings({"accessKey": "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc", "domain": "acme.example"})
    shown = rows("workspace.md")
    for name, python_name in [
        ("callsPerMinute", "calls_per_minute"),
        ("callsPerDay", "calls_per_day"),
        ("parkDays", "park_days"),
        ("correctionDays", "correction_days"),
        ("flushSeconds", "flush_seconds"),
        ("usageGrain", "usage_grain"),
        ("parkedThen", "parked_then"),
        ("eventObject", "event_object"),
        ("usageObject", "usage_object"),
        ("accountField", "account_field"),
        ("peoplePath", "people_path"),
    ]:
        assert shown[name] == f"`{getattr(settings, python_name)}`", name


def test_every_command_and_exit_code_is_documented() -> None:
    """docs/cli.md has a row for each command that is shown and each way the program ends."""
    shown = rows("cli.md")
    assert {name for name, command in COMMANDS.items() if not command.hidden} - set(shown) == set()
    assert {str(int(code)) for code in ExitCode} - set(shown) == set()


def test_examples_of_the_page_are_workspaces() -> None:
    """The files that docs/workspace.md and docs/webhooks.md show are read without a problem."""
    page = (DOCS / "workspace.md").read_text("utf-8")
    examples = re.findall(r"```yaml\n(.+?)```", page, re.DOTALL)
    environ = {name: f"value-of-{name}" for name in re.findall(r"\$\{(\w+)\}", page)}
    specs = [read_spec(example, environ=environ) for example in examples]
    webhooks = (DOCS / "webhooks.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.+?)```", webhooks, re.DOTALL)
    specs.append(read_spec(example, environ={"SEGMENT_WRITE_KEY": "wk", "SEGMENT_SECRET": "secret"}))
    assert [spec.problems for spec in specs] == [(), (), ()]
    assert specs[0].destinations[0].sources == ("website",)
    assert [source.name for source in specs[1].sources] == ["website", "from segment"]
