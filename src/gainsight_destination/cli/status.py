"""The command `status`: how the books stand."""

from pathlib import Path
from typing import Any

import typer

from gainsight_destination.cli.options import DataOption, JsonOption


def status(data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show what was received and where it stands, for each source and destination, and whether the books balance.

    Exit code 1 when they do not balance.
    """
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.observe.status import balanced
    from gainsight_destination.observe.status import status as read_status

    with open_data(data) as opened:
        document = read_status(opened.state, opened.log, SystemClock().now_ms())
    if as_json:
        print_json(document)
    else:
        for line in in_words(document):
            console.print(line, highlight=False, markup=False)
    if not balanced(document):
        raise typer.Exit(1)


def in_words(document: dict[str, Any]) -> list[str]:
    """The status document as lines of text."""
    lines: list[str] = []
    for name, source in document["sources"].items():
        lines.append(f"source {name}: {source['received']:,} received{_reasons('discarded', source['discarded'])}")
    if not document["sources"]:
        lines.append("no source is configured; apply a workspace.yaml with `workspace apply -f FILE`")
    unknown = document["unknownWriteKey"]["received"]
    if unknown:
        lines.append(f"unknown write keys: {unknown:,} received and dropped; check the write keys of your SDKs")
    for name, destination in document["destinations"].items():
        lines += ["", f"destination {name} ({destination['type']}): {destination['state']}"]
        lines += [
            f"  paused{' for ' + pause['object'] if pause['object'] else ''}: {pause['reason']}"
            for pause in destination["pauses"]
        ]
        lines += _equation(destination)
        calls = destination["calls"]
        lines.append(f"  calls: {calls['minute']:,} this minute, {calls['day']:,} today, {calls['total']:,} in all")
        for object_name, states in destination["records"].items():
            counted = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
            lines.append(f"  records {object_name}: {counted}")
        lines += _notices(destination["notices"])
    lines += _notices(document["notices"])
    return lines


def _equation(destination: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, int, str]] = [("received", destination["received"], "")]
    for state in ("discarded", "duplicates", "filtered", "parked", "pending", "delivered", "dead"):
        value = destination[state]
        if isinstance(value, dict):
            detail = ", ".join(f"{reason} {count:,}" for reason, count in sorted(value.items()))
            rows.append((state, sum(value.values()), detail))
        else:
            rows.append((state, value, ""))
    width = max(len(f"{count:,}") for _, count, _ in rows)
    lines = []
    for position, (state, count, detail) in enumerate(rows):
        sign = " " if position == 0 else "=" if position == 1 else "+"
        lines.append(f"  {sign} {count:>{width},} {state}{f'  ({detail})' if detail else ''}")
    lines.append("  the books balance" if destination["balanced"] else "  THE BOOKS DO NOT BALANCE")
    return lines


def _reasons(what: str, reasons: dict[str, int]) -> str:
    return "".join(f", {count:,} {what} ({reason})" for reason, count in sorted(reasons.items()))


NOTICES = {
    "doubtful_account_id": "account ids that may not be Salesforce's",
    "message_id_conflict": "messages that came twice with different content; the first counts",
    "odd_email": "e-mails without the shape of an address, not used",
    "trait_unmapped": "traits that are mapped to no field, not sent",
    "field_not_writable": "fields that are missing or read-only in Gainsight, left out",
    "value_skipped": "values that do not fit their field's type, left out",
    "text_cut": "texts cut to their field's length",
    "internal_error": "requests set aside because of an internal error; please report them",
}


def _notices(notices: dict[str, dict[str, int]]) -> list[str]:
    lines = []
    for kind, subjects in notices.items():
        shown = ", ".join(f"{subject or 'any'} {times:,}" for subject, times in sorted(subjects.items())[:8])
        more = f" and {len(subjects) - 8} more" if len(subjects) > 8 else ""
        lines.append(f"  note: {NOTICES.get(kind, kind)}: {shown}{more}")
    return lines
