"""docs/options.md lists every option of every command. Run this file to write it anew."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gainsight_destination.cli.commands import COMMANDS, load

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
COMMAND = ".venv/bin/python tests/docs/test_docs_options.py"
HEAD = """\
# Every option of every command

Made from the program itself. What the commands do, and what their exit codes mean, is in [cli.md](cli.md).

`--json` prints one JSON document. Every command has `--help`.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that a person may use, by its full name."""
    for name, entry in COMMANDS.items():
        if entry.hidden:
            continue
        command = load(name)
        inner = getattr(command, "commands", {})
        if inner:
            yield from ((f"{name} {below}", inner[below]) for below in inner)
        else:
            yield name, command


def metavar_of(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return f"{name}..." if argument.nargs == -1 and not name.endswith("...") else name


def section(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join([name, *(metavar_of(argument) for argument in arguments)])
    lines = [f"\n## {name}\n", (command.help or "").strip().partition("\n\n")[0].replace("\n", " "), ""]
    lines += [f"`gainsight-destination {usage} [OPTIONS]`", "", "| option | environment | default | meaning |"]
    lines.append("|---|---|---|---|")
    for option in command.params:
        if option.param_type_name != "option" or option.name == "help":
            continue
        names = ", ".join(f"`{word}`" for word in (*option.opts, *option.secondary_opts))
        default = "" if option.default in (None, False) or callable(option.default) else f"`{option.default}`"
        default = "required" if option.required else default
        lines.append(f"| {names} | `{option.envvar or ''}` | {default} | {option.help or ''} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return HEAD + "".join(section(name, command) for name, command in commands())


def test_the_options_are_as_declared() -> None:
    """An option that is added, renamed or explained anew is so in the docs."""
    assert PAGE.read_text("utf-8") == page(), f"docs/options.md is stale; write it anew with: {COMMAND}"


def test_every_option_has_its_environment_variable() -> None:
    """Options are named after GAINSIGHT_DESTINATION_ in the environment."""
    without = [
        f"{name} {option.opts[0]}"
        for name, command in commands()
        for option in command.params
        if option.param_type_name == "option"
        and option.name != "help"
        and not str(option.envvar).startswith("GAINSIGHT_DESTINATION_")
    ]
    assert without == []


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
