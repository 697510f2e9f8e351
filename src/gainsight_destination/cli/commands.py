"""Every command, by name. Its module is imported only when the command is asked for, so that help is instant."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}


class Command(NamedTuple):
    """Where a command is, `module:function` or `module:Typer app`, and its line in the list of commands."""

    target: str
    summary: str
    hidden: bool = False


CLI = "gainsight_destination.cli"

COMMANDS: Mapping[str, Command] = {
    "demo": Command("gainsight_destination.demo.command:demo", "Sandbox, server and sample traffic in one go."),
    "serve": Command(f"{CLI}.serve:serve", "Receive messages and keep Gainsight up to date."),
    "sandbox": Command("gainsight_destination.sandbox.command:sandbox", "Simulate Gainsight to rehearse with."),
    "import": Command(f"{CLI}.archive_import:import_archive", "Take in archives: NDJSON files, .gz, folders."),
    "workspace": Command(f"{CLI}.workspace:app", "Apply, export or check the configuration."),
    "status": Command(f"{CLI}.status:status", "Show what was received and where it stands."),
    "trace": Command(f"{CLI}.trace:trace", "Explain what became of one message, and why."),
    "dead-letters": Command(f"{CLI}.dead_letters:app", "Look at, fix, retry, discard or export refused records."),
    "replay": Command(f"{CLI}.replay:app", "Deliver messages of the log again, or take in earlier ones."),
    "people": Command(f"{CLI}.people:app", "Let people into the web console."),
    "check": Command(f"{CLI}.check:check", "Test the connection and what Gainsight needs to have."),
}


def load(name: str) -> Any:
    """The command itself, built from its module. Raises KeyError for a name that is none."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(import_module(module), attribute)
    parent = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(target, typer.Typer):
        parent.add_typer(target, name=name, context_settings=CONTEXT)
    else:
        parent.command(name, context_settings=CONTEXT)(target)
    return typer.main.get_group(parent).commands[name]


class CommandGroup(TyperGroup):
    """The program's own group: lists commands from the table, and imports the one that is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, command in COMMANDS.items():
            self.add_command(TyperCommand(name, help=command.summary, hidden=command.hidden))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items() if not command.hidden])
