"""The program as people run it: help, version, exit codes, and the workspace commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gainsight_destination.cli import commands
from gainsight_destination.runtime.lock import RoleLock

KEY = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
SERVE = ("serve", "--ingest", "127.0.0.1:0", "--console", "127.0.0.1:0")
ENVIRON = {"WEBSITE_WRITE_KEY": "wk-0123456789abcdef", "GAINSIGHT_ACCESS_KEY": KEY}
FILE = """
sources:
  - {name: website, writeKey: "${WEBSITE_WRITE_KEY}"}
destinations:
  - name: gainsight
    type: gainsight
    sources: [website]
    settings: {accessKey: "${GAINSIGHT_ACCESS_KEY}", domain: acme.gainsightcloud.com}
"""


def run(
    *arguments: str | Path, cwd: Path, stdin: str | None = None, **environ: str
) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAINSIGHT_DESTINATION_")}
    return subprocess.run(
        [sys.executable, "-m", "gainsight_destination", *map(str, arguments)],
        cwd=cwd,
        env=clean | {"COLUMNS": "100"} | environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    """Help shows all there is, and what the end of the program means."""
    result = run("--help", cwd=tmp_path)
    assert result.returncode == 0
    for name, command in commands.COMMANDS.items():
        assert (f"  {name} " in result.stdout) is not command.hidden
    for code in ("0 ", "1 ", "2 ", "3 ", "70 ", "130 "):
        assert f"\n    {code}" in result.stdout


def test_help_and_version_import_nothing_heavy(tmp_path: Path) -> None:
    """They answer at once: no library of a command is loaded for them."""
    script = (
        "import sys\nfrom gainsight_destination.cli.app import main\n"
        "try: main([sys.argv[1]])\nexcept SystemExit: pass\n"
        "print([name for name in ('rich', 'yaml', 'cryptography', 'msgspec', 'starlette', 'uvicorn', 'httpx')"
        " if name in sys.modules], file=sys.stderr)"
    )
    for option in ("--help", "--version"):
        command = [sys.executable, "-c", script, option]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert result.stderr.strip() == "[]", result.stderr
    assert result.stdout.startswith("gainsight-destination ")


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_can_be_loaded_and_explains_itself(name: str) -> None:
    """A line of the table names a command that is there, with help for it and all its options."""
    command = commands.load(name)
    leaves = list(getattr(command, "commands", {}).values()) or [command]
    for leaf in leaves:
        assert leaf.help
        for option in leaf.params:
            if commands.COMMANDS[name].hidden or option.param_type_name == "argument":
                continue
            assert str(option.envvar).startswith("GAINSIGHT_DESTINATION_"), (name, option.name)
            assert option.help, (name, option.name)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["workspce"], 2, "Did you mean 'workspace'?"),
        (["workspace", "apply"], 2, "Missing option"),
        (["workspace", "apply", "-f", "nowhere.yaml"], 2, "nowhere.yaml cannot be read"),
        (["workspace", "check", "-f", "."], 2, "cannot be read"),
        (["import", "nowhere.gz", "--source", "website"], 2, "there is no source 'website'"),
        (["status"], 2, "there is no data in ./data"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """What a person can mend is told in words, without a traceback, and ends with 2."""
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_what_is_not_possible_now_ends_with_3(tmp_path: Path) -> None:
    """A data directory that another process holds is told in words and ends with 3."""
    with RoleLock(tmp_path, "ingest"):
        result = run(*SERVE, "--data", tmp_path, cwd=tmp_path)
    assert result.returncode == 3
    assert "is in use by another gainsight-destination" in result.stderr
    assert "Traceback" not in result.stderr


def test_bug_ends_with_70(tmp_path: Path) -> None:
    """What nobody expected shows its traceback and asks to be reported."""
    script = (
        "from gainsight_destination.cli import app, commands\n"
        "commands.COMMANDS['broken'] = commands.Command('operator:no_such_name', '')\n"
        "app.main(['broken'])"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 70
    assert "Traceback" in result.stderr
    assert "this is a bug in gainsight-destination" in result.stderr


def test_workspace_from_file_to_export_and_back(tmp_path: Path) -> None:
    """Check, apply, export, apply the export: the way of a configuration through a team's repository."""
    (tmp_path / "w.yaml").write_text(FILE)
    check = run("workspace", "check", "-f", "w.yaml", cwd=tmp_path, **ENVIRON)
    assert (check.returncode, (tmp_path / "data").exists()) == (0, False), check.stderr
    assert 'add source "website"' in check.stdout
    apply = run("workspace", "apply", "-f", "w.yaml", cwd=tmp_path, **ENVIRON)
    assert "Applied as version 1" in apply.stdout, apply.stderr
    export = run("workspace", "export", "-f", "out.yaml", cwd=tmp_path)
    assert export.returncode == 0, export.stderr
    again = run(
        "workspace", "apply", "-f", "-", "--json", cwd=tmp_path, stdin=(tmp_path / "out.yaml").read_text(), **ENVIRON
    )
    assert json.loads(again.stdout) == {"version": 1, "changed": False, "changes": [], "warnings": []}
    for output in (check, apply, export, again):
        assert KEY not in output.stdout + output.stderr
        assert ENVIRON["WEBSITE_WRITE_KEY"] not in output.stdout + output.stderr
    assert KEY not in (tmp_path / "out.yaml").read_text()


def test_json_export_is_a_workspace_file_too(tmp_path: Path) -> None:
    """JSON is YAML: what --json prints can be applied."""
    run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE, **ENVIRON)
    export = run("workspace", "export", "--json", cwd=tmp_path)
    assert json.loads(export.stdout)["sources"] == [{"name": "website", "writeKey": "${WEBSITE_WRITE_KEY}"}]
    again = run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=export.stdout, **ENVIRON)
    assert "Nothing to change" in again.stdout, again.stderr


def test_wrong_file_is_refused_by_apply_and_answered_by_check(tmp_path: Path) -> None:
    """apply ends with 2 and changes nothing; check ends with 1 and lists the problems, also as JSON."""
    apply = run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE)
    assert apply.returncode == 2
    assert "2 problems:" in apply.stderr
    assert "WEBSITE_WRITE_KEY is not set" in apply.stderr
    check = run("workspace", "check", "-f", "-", "--json", cwd=tmp_path, stdin=FILE)
    assert check.returncode == 1
    answer = json.loads(check.stdout)
    assert (answer["valid"], len(answer["problems"])) == (False, 2)


def test_options_can_come_from_the_environment(tmp_path: Path) -> None:
    """--data is GAINSIGHT_DESTINATION_DATA, and so on for every option."""
    (tmp_path / "w.yaml").write_text(FILE)
    result = run(
        *("workspace", "apply"),
        cwd=tmp_path,
        GAINSIGHT_DESTINATION_DATA="elsewhere",
        GAINSIGHT_DESTINATION_FILE="w.yaml",
        GAINSIGHT_DESTINATION_JSON="1",
        **ENVIRON,
    )
    assert json.loads(result.stdout)["changed"] is True, result.stderr
    assert (tmp_path / "elsewhere" / "state.db").exists()


@pytest.mark.parametrize("target", ["nowhere/out.yaml", ".", "taken/out.yaml"])
def test_export_to_a_bad_path(tmp_path: Path, target: str) -> None:
    """It is wrong input, told with the name that was given, and leaves nothing behind."""
    run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE, **ENVIRON)
    (tmp_path / "taken").write_text("a file")
    before = sorted(tmp_path.iterdir())
    result = run("workspace", "export", "-f", target, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert f"{target} cannot be written" in result.stderr
    assert ".new" not in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_check_of_a_file_that_is_not_yaml_is_answered_too(tmp_path: Path) -> None:
    """The answer no is the same document, whatever is wrong with the file."""
    check = run("workspace", "check", "-f", "-", "--json", cwd=tmp_path, stdin="sources: [")
    assert check.returncode == 1
    answer = json.loads(check.stdout)
    assert answer["valid"] is False
    assert "not valid YAML" in answer["problems"][0]
