"""The command `status`: how the books stand."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from gainsight_destination.cli.options import DataOption, JsonOption
from gainsight_destination.cli.replay import summary
from gainsight_destination.observe.words import BOOKS, NOTICES, RECORD_STATES, reason_words, unmapped_trait


def status(data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show what was received and where it stands, for each source and destination, and whether every message is
    accounted for.

    Exit code 1 when one is not.
    """
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.ingest.levels import NOTHING_REFUSED, read_refused
    from gainsight_destination.observe.status import balanced
    from gainsight_destination.observe.status import status as read_status
    from gainsight_destination.runtime.lock import is_held

    with open_data(data) as opened:
        document = read_status(opened.state, opened.log, SystemClock().now_ms())
    running = is_held(data, "ingest")
    document = {"serverRunning": running, **document, "refused": read_refused(data) if running else NOTHING_REFUSED}
    if as_json:
        print_json(document)
    else:
        for line in in_words(document):
            console.print(line)
    if not balanced(document):
        raise typer.Exit(1)


def in_words(document: Mapping[str, Any]) -> list[str]:
    """The status document as lines of text."""
    lines = [] if document["serverRunning"] else ["The server is not running: nothing is received or delivered.", ""]
    if everything := document["refused"]["everything"]:
        lines += [f"All messages are refused since {clock_time(everything['since'])} UTC: {everything['words']}", ""]
    for name, source in document["sources"].items():
        lines.append(f"source {name}: {source['received']:,} received{_discarded(source['discarded'])}")
        if told := document["refused"]["sources"].get(name):
            lines.append(f"  refused since {clock_time(told['since'])} UTC: {told['words']}")
    if not document["sources"]:
        lines.append("no source is configured; apply a workspace.yaml with `workspace apply -f FILE`")
    unknown = document["unknownWriteKey"]["received"]
    if unknown:
        lines.append(f"unknown write keys: {unknown:,} received and dropped; check the write keys of your SDKs")
    for name, destination in document["destinations"].items():
        lines += ["", *destination_lines(name, destination)]
    of_sources = [line.strip() for line in _notices(document["notices"])]
    return [*lines, "", *of_sources] if of_sources else lines


def destination_lines(name: str, destination: Mapping[str, Any]) -> list[str]:
    """How one destination stands."""
    calls = destination["calls"]
    return [
        f"destination {name} ({destination['type']}): {destination['state']}",
        *_failing(destination.get("failing")),
        *(line for pause in destination["pauses"] for line in _pause(pause)),
        *books_lines(destination),
        f"  calls: {_of_share(calls, 'minute')} this minute, {_of_share(calls, 'day')} today,"
        f" {calls['total']:,} in all",
        *([] if destination["pauses"] or destination.get("failing") else _forecast(destination["forecast"])),
        *(f"  replay {replay['id']}: {summary(replay)}" for replay in destination["replays"]),
        *_uploads(destination["uploads"]),
        *records_lines(destination["records"]),
        *(f"  rows {name}: {rows['held']:,} of {rows['max']:,}" for name, rows in destination["rows"].items()),
        *_notices(destination["notices"]),
    ]


def _of_share(calls: Mapping[str, Any], window: str) -> str:
    share = calls[f"{window}Share"]
    return f"{calls[window]:,}" if share is None else f"{calls[window]:,} of {share:,}"


def _forecast(forecast: Mapping[str, Any] | None) -> list[str]:
    """When what waits has gone; nothing while nothing waits, or while nothing goes."""
    if forecast is None or forecast["drainedAt"] is None:
        return []
    records, calls = forecast["records"], forecast["calls"]
    waits = f"{records:,} record waits" if records == 1 else f"{records:,} records wait"
    of = ", ".join(f"{count:,} {priority}" for priority, count in forecast["priorities"].items())
    waits += f" ({of})" if len(forecast["priorities"]) > 1 else ""
    takes = "1 call" if calls == 1 else f"{calls:,} calls"
    return [f"  forecast: {waits} for {takes}; drains at {_minute(forecast['drainedAt'])} UTC with the quota left"]


def _uploads(uploads: Mapping[str, Any]) -> list[str]:
    if not uploads["day"]:
        return []
    under_way = ", ".join(f"{count:,} of {name}" for name, count in uploads["records"].items())
    return [
        f"  files: {uploads['hour']:,} in the last hour, {uploads['day']:,} in the last day"
        + (f"; records under way in one: {under_way}" if under_way else "")
    ]


def _minute(at_ms: int) -> str:
    return clock_time(at_ms)[:-3]


def _failing(failure: Mapping[str, Any] | None) -> list[str]:
    if failure is None:
        return []
    since, again = clock_time(failure["since"]), clock_time(failure["retryAt"])
    return [f"  not reachable since {since} UTC: {failure['reason']}; tried again at {again}"]


def _pause(pause: Mapping[str, Any]) -> list[str]:
    about = f" for {pause['object']}" if pause["object"] else ""
    since, again = clock_time(pause["since"]), clock_time(pause["retryAt"])
    if "redirects" in pause["reason"]:
        advice = "correct `domain` in the workspace file and run `workspace apply`"
    elif "sharedSecret" in pause["reason"]:
        advice = "put a good sharedSecret and tenantId into the workspace file and run `workspace apply`"
    elif pause["object"]:
        advice = "`check` lists what to create"
    elif "IP address" in pause["reason"]:
        advice = "add this server's address to the key's allow-list in Gainsight"
    elif "OAuth" in pause["reason"] and "Access Key" not in pause["reason"]:
        advice = "put a good clientId and clientSecret into the workspace file and run `workspace apply`"
    else:
        advice = "put a good key into the workspace file and run `workspace apply`"
    return [
        f"  paused{about} since {since} UTC: {pause['reason']}",
        f"    to do: {advice}; tried again at {again}, and at once when the configuration changes",
    ]


def clock_time(at_ms: int) -> str:
    """HH:MM:SS of today, UTC; with the date before it for another day."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.strftime("%H:%M:%S" if at.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S")


def books_lines(destination: Mapping[str, Any]) -> list[str]:
    """The equation of the books, each reason in words beside its number."""
    width = len(f"{destination['received']:,}")
    lines = [f"    {destination['received']:,} received"]
    for position, (state, words) in enumerate(BOOKS.items()):
        value = destination[state]
        reasons = value if isinstance(value, dict) else {}
        count = sum(reasons.values()) if isinstance(value, dict) else value
        lines.append(f"  {'+' if position else '='} {count:>{width},} {state}{f': {words}' if count else ''}")
        lines += [
            f"    {'':>{width}}   {times:,} {reason_words(state, reason)}"
            for reason, times in sorted(reasons.items(), key=lambda item: -item[1])
        ]
    return [*lines, f"  {'every message is accounted for' if destination['balanced'] else NOT_BALANCED}"]


NOT_BALANCED = "NOT EVERY MESSAGE IS ACCOUNTED FOR: the sum is not what was received. Please report it"


def records_lines(records: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Records per object, by how they stand."""
    return [
        f"  records {name}: "
        + ", ".join(f"{states[state]:,} {words}" for state, words in RECORD_STATES.items() if state in states)
        for name, states in records.items()
    ]


def _discarded(reasons: Mapping[str, int]) -> str:
    return "".join(
        f", {count:,} discarded ({reason_words('discarded', reason)})" for reason, count in sorted(reasons.items())
    )


def _notices(notices: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = []
    for kind, subjects in notices.items():
        first = sorted(subjects.items())[:8]
        more = f" and {len(subjects) - 8} more" if len(subjects) > 8 else ""
        if kind == "trait_unmapped":
            lines += [f"  note: {unmapped_trait(subject, times)}" for subject, times in first]
            lines += [f"  note:{more} such traits"] if more else []
            continue
        shown = ", ".join(f"{subject or 'any'} {times:,}" for subject, times in first)
        lines.append(f"  note: {NOTICES.get(kind, kind)}: {shown}{more}")
    return lines
