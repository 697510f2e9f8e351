"""Nothing that a person meets is undocumented: commands, settings, reasons, notices, codes, fields."""

import ast
import json
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
from tests.support.pipeline import Pipeline

from gainsight_destination.cli.commands import COMMANDS
from gainsight_destination.destinations.gainsight import check, files
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.events.message import _TEXTS_OF_TYPE
from gainsight_destination.observe.words import NOTICES, REASONS
from gainsight_destination.resolve.resolver import INTERNAL_ERROR

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def missing_from(name: str, words: set[str]) -> list[str]:
    """Words that a page does not show as code."""
    text = page(name)
    return sorted(word for word in words if f"`{word}`" not in text)


def calls(tree: ast.AST, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            yield node


def texts(node: ast.AST) -> set[str]:
    """The string constants of an expression, without those of f-strings and of conditions."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    parts = {id(part) for joined in ast.walk(node) if isinstance(joined, ast.JoinedStr) for part in joined.values}
    return {
        found.value
        for found in ast.walk(node)
        if isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in parts
    }


def discard_reasons() -> set[str]:
    """Every reason in events/message.py, read from its source."""
    tree = ast.parse((SOURCE / "gainsight_destination/events/message.py").read_text("utf-8"))
    reasons = {INTERNAL_ERROR, *(f"{name}_not_string" for names in _TEXTS_OF_TYPE.values() for name in names)}
    for call in calls(tree, "_DiscardError"):
        reasons |= texts(call.args[0])
    for call in calls(tree, "_required"):
        reasons |= texts(call.args[1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["reason"]:
            assert isinstance(node.value, ast.IfExp)
            reasons |= texts(node.value.body) | texts(node.value.orelse)
    return reasons


def filter_and_park_reasons() -> set[str]:
    """Every reason that a destination or a filter gives, by the constants that name them."""
    reasons = set()
    for path in (SOURCE / "gainsight_destination").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [kw.value for call in calls(tree, "Placement") for kw in call.keywords if kw.arg == "reason"]
        names += [call.args[0] for call in calls(tree, "Parked")]
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name == "filter_reason":
                names += [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        reasons |= {getattr(import_module(module), name.id) for name in names if isinstance(name, ast.Name)}
    return reasons


def test_every_discard_reason_is_documented() -> None:
    """docs/semantics.md has a row for each reason under which a message is discarded."""
    assert len(discard_reasons()) >= 17
    assert missing_from("semantics.md", discard_reasons()) == []


def test_every_filter_reason_is_documented() -> None:
    """docs/semantics.md has a row for each reason under which a message is filtered or parked."""
    assert {"unsupported_type", "no_account", "unknown_company"} <= filter_and_park_reasons()
    assert missing_from("semantics.md", filter_and_park_reasons()) == []


def test_every_reason_has_its_words() -> None:
    """`status` and `demo` tell each reason in words, whichever state the books count it under."""
    assert discard_reasons() <= set(REASONS["discarded"])
    assert filter_and_park_reasons() <= set(REASONS["filtered"])
    assert set(REASONS["parked"]) == set(REASONS["filtered"]) & {"no_account", "unknown_company"}
    assert set(REASONS["filtered"]) == filter_and_park_reasons()


def test_every_notice_is_documented() -> None:
    """docs/semantics.md explains each notice that `status` can show."""
    assert missing_from("semantics.md", set(NOTICES)) == []


def test_every_setting_is_documented() -> None:
    """docs/workspace.md has each setting of the Gainsight destination."""
    assert (
        missing_from("workspace.md", {field.encode_name for field in msgspec.structs.fields(GainsightSettings)}) == []
    )


@pytest.mark.parametrize("needed", [*check.EVENT_FIELDS, *check.USAGE_FIELDS, check.USAGE_USER], ids=lambda n: n.name)
def test_every_field_to_create_is_documented(needed: check.Needed) -> None:
    """docs/delivery.md tells an admin to create the same fields, of the same types, as `check` does."""
    rows = [row for row in page("delivery.md").splitlines() if row.startswith("|") and f"`{needed.name}`" in row]
    assert rows
    assert {row.split("|")[2].strip() for row in rows} == {needed.create_as}


@pytest.mark.parametrize("header", [files.EVENT_COLUMNS, files.USAGE_COLUMNS], ids=lambda header: header[0])
def test_the_header_of_files_is_documented(header: tuple[str, ...]) -> None:
    """docs/delivery.md has an admin set up an import job for the columns that are sent."""
    assert ",".join(header) in page("delivery.md").splitlines()


def test_every_command_is_documented() -> None:
    """docs/cli.md has each command that a person may use."""
    assert missing_from("cli.md", {name for name, command in COMMANDS.items() if not command.hidden}) == []


def test_the_worked_example_of_the_as_of_rule(pipeline: Pipeline) -> None:
    """The example in docs/semantics.md comes out as it says, also when a fact arrives late."""
    a, b = "001A0000006Vm9rIAC", "0015000000abcDEAAY"
    assert f"group `{a}`" in page("semantics.md")
    assert f"group `{b}`" in page("semantics.md")

    def message(name: str, hour: int, **said: object) -> dict[str, object]:
        kind = {"type": "track", "event": "Seen"} if name[0] == "t" else {"type": "group"}
        return {**kind, "userId": "ana", "messageId": name, "timestamp": f"2026-03-02T{hour:02}:00:00Z", **said}

    pipeline.send(
        message("t1", 9),
        message("g1", 10, groupId=a),
        message("t2", 11),
        message("t3", 12),
        message("t4", 13, properties={"accountId": "555"}),
        message("t5", 14, context={"groupId": a}),
        message("t6", 15),
    )
    pipeline.resolve()
    assert pipeline.held()["event", "t3"]["Account_Id__gc"] == a
    pipeline.send(message("g2", 12, groupId=b))
    pipeline.resolve()
    held = {name: pipeline.held()["event", name]["Account_Id__gc"] for name in ("t1", "t2", "t3", "t4", "t5", "t6")}
    assert held == {"t1": a, "t2": a, "t3": b, "t4": "555", "t5": a, "t6": b}


def test_tested_sdks_are_documented_with_their_versions() -> None:
    """docs/sdks.md calls tested what is tested, in the versions that are installed for it."""
    tested = [line for line in page("sdks.md").splitlines() if "**tested**" in line]
    recipes = ROOT / "tests" / "sdk"
    npm = json.loads((recipes / "package.json").read_text("utf-8"))["dependencies"].values()
    groups = tomllib.loads((recipes / "pyproject.toml").read_text("utf-8"))["dependency-groups"].values()
    installed = [tuple(package.removeprefix("npm:").rsplit("@", 1)) for package in npm]
    installed += [tuple(package.split("==")) for group in groups for package in group]
    assert len(installed) >= 8
    assert [both for both in installed if not any(all(part in line for part in both) for line in tested)] == []
