"""The command `trace`: the story of one message."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gainsight_destination.cli.options import DataOption, JsonOption


def trace(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="The messageId an SDK gave it.")],
    data: DataOption = Path("data"),
    as_json: JsonOption = False,
) -> None:
    """Explain what was decided about a message, by which rule and evidence, and what became of it.

    Exit code 1 when no message of this id is remembered.
    """
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.observe.trace import trace as explain

    with open_data(data) as opened:
        story = explain(opened.state, opened.log, opened.connected(), message_id)
    if story is None:
        console.print(
            f"No message {message_id} is known. It may not have come yet, have been discarded for what it lacks, "
            "or have come more than 7 days ago.",
            highlight=False,
            markup=False,
        )
        raise typer.Exit(1)
    if as_json:
        print_json(story)
        return
    for line in in_words(story):
        console.print(line, highlight=False, markup=False)


def in_words(story: dict[str, Any]) -> list[str]:
    """The story as lines of text."""
    lines = [f"message {story['messageId']}, number {story['offset']} in the log"]
    message = story["message"]
    if message is None:
        lines.append("  the log no longer holds it")
    else:
        lines += [f"  {name}: {_text(value)}" for name, value in message.items()]
    for name, told in story["destinations"].items():
        lines += [
            "",
            f"destination {name}: {told['state']}{' because of ' + told['reason'] if 'reason' in told else ''}",
        ]
        if "note" in told:
            lines.append(f"  {told['note']}")
        for part, key in (("user", "id"), ("account", "id"), ("email", "address")):
            if part in told:
                lines += _decision(part, key, told[part])
        for record in told.get("records", []):
            rest = ", ".join(f"{k} {v}" for k, v in record.items() if k not in ("object", "state"))
            lines.append(f"  record {record['object']}: {record['state']} ({rest})")
    if not story["destinations"]:
        lines.append("  its source is connected to no destination")
    return lines


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decision(part: str, key: str, told: dict[str, Any]) -> list[str]:
    evidence = "".join(f", {name} {told[name]}" for name in ("from", "message", "since", "note") if name in told)
    lines = [f"  {part} {told[key] if told[key] is not None else 'none'}: {told.get('rule', '')}{evidence}"]
    if "warning" in told:
        lines.append(f"    {told['warning']}")
    return lines
