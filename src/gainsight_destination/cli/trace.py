"""The command `trace`: the story of one message."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gainsight_destination.cli.options import DataOption, JsonOption
from gainsight_destination.observe.words import RECORD_STATES, reason_words


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
    if as_json:
        print_json(story or unknown(message_id))
    else:
        for line in [UNKNOWN.format(message_id)] if story is None else in_words(story):
            console.print(line)
    if story is None:
        raise typer.Exit(1)


UNKNOWN = (
    "No message {} is known. It may not have come yet, have been discarded for what it lacks, "
    "or have come more than 7 days ago."
)


def unknown(message_id: str) -> dict[str, Any]:
    """The document of a message that is not known: as of one that is, with nothing in it."""
    return {"messageId": message_id, "offset": None, "message": None, "destinations": {}}


def in_words(story: dict[str, Any]) -> list[str]:
    """The story as lines of text."""
    lines = [f"message {story['messageId']}"]
    message = story["message"]
    if message is None:
        lines.append("  what it said is no longer kept")
    else:
        lines += [f"  {name}: {_text(value)}" for name, value in message.items()]
    for name, told in story["destinations"].items():
        reason = f": {reason_words(told['state'], told['reason'])} ({told['reason']})" if "reason" in told else ""
        lines += ["", f"destination {name}: {told['state']}{reason}"]
        lines += [f"  {told['note']}"] if "note" in told else []
        lines += [f"  sent {told['sent']}, once its user's messages before it have arrived"] if "sent" in told else []
        for part, key in (("user", "id"), ("account", "id"), ("email", "address")):
            if part in told:
                lines += _decision(part, key, told[part])
        for record in told.get("records", []):
            lines += [_record(record), *_history(record)]
    if not story["destinations"]:
        lines.append("  its source is connected to no destination")
    return lines


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decision(part: str, key: str, told: dict[str, Any]) -> list[str]:
    evidence = "".join(f", {name} {told[name]}" for name in ("from", "message", "since") if name in told)
    evidence += f" ({told['note']})" if "note" in told else ""
    lines = [f"  {part} {told[key] if told[key] is not None else 'none'}: {told.get('rule', '')}{evidence}"]
    lines += [f"    ignored: {told['ignored']}"] if "ignored" in told else []
    return lines + [f"    {told[name]}" for name in ("warning", "company") if name in told]


def _history(told: dict[str, Any]) -> list[str]:
    """How a record was sent last, and its dead letters."""
    lines = []
    if "lastCall" in told:
        call = told["lastCall"]
        others = f" with {call['records'] - 1} others" if call["records"] > 1 else ""
        ended = f"answered {call['outcome']}" if (call["outcome"] or "").isdigit() else call["outcome"]
        ended = ended or "its answer is not known"
        lines.append(f"    last sent at {call['at']}{others}: {call['method']} {call['path']}, {ended}")
    letters = ", ".join(f"{letter['id']} ({letter['state']})" for letter in told.get("deadLetters", []))
    return lines + ([f"    dead letters: {letters}; see `dead-letters show`"] if letters else [])


def _record(told: dict[str, Any]) -> str:
    state, words = told["state"], RECORD_STATES.get(told["state"], told["state"])
    gsid = f", GSID {told['gsid']}" if "gsid" in told else ""
    reason = f" ({told['reason']})" if state == "dead" and "reason" in told else ""
    tried = f" after {told['attempts']} tries in vain" if told.get("attempts") else ""
    when = ""
    if state == "dirty":
        when = f"{tried}, sent by {told['nextAttempt']} at the latest while calls are left"
    elif state == "parked":
        when = f", looked for again at {told['nextAttempt']}"
    return f"  record {told['object']}: {words}{reason}{gsid}{when}"
