"""The commands `replay preview|start|list|show|pause|resume|cancel`: messages of the log once more."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gainsight_destination.cli.options import DataOption, DestinationOption, JsonOption, SinceOption, UntilOption

if TYPE_CHECKING:
    from gainsight_destination.cli.data_directory import OpenData
    from gainsight_destination.records.replays import Replay, Selection
    from gainsight_destination.replay.preview import Preview

app = typer.Typer(no_args_is_help=True, help="Deliver messages of the log again, or take in earlier ones.")

ReplayArgument = Annotated[int, typer.Argument(metavar="ID", help="The replay's number, from `list`.")]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", envvar="GAINSIGHT_DESTINATION_SOURCE", help="Only messages of a source."),
]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="ID",
        envvar="GAINSIGHT_DESTINATION_USER",
        help="Only messages with this userId or anonymousId.",
    ),
]
EventOption = Annotated[
    str | None,
    typer.Option(
        "--event", metavar="NAME", envvar="GAINSIGHT_DESTINATION_EVENT", help="Only track messages of this event."
    ),
]
TypeOption = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="TYPE", envvar="GAINSIGHT_DESTINATION_TYPE", help="Only messages of a type, such as identify."
    ),
]
EverythingOption = Annotated[
    bool,
    typer.Option(
        "--everything", envvar="GAINSIGHT_DESTINATION_EVERYTHING", help="All that the log holds, and no less."
    ),
]
AgainOption = Annotated[
    bool,
    typer.Option(
        "--again",
        envvar="GAINSIGHT_DESTINATION_AGAIN",
        help="Deliver also what is believed to be there as it should be, because somebody changed it over there.",
    ),
]


class Chosen(NamedTuple):
    """What a person chose, as options."""

    since: str | None
    until: str | None
    source: str | None
    user: str | None
    event: str | None
    type: str | None
    everything: bool

    def selection(self, opened: "OpenData") -> "Selection":
        """What it means. Raises UserError."""
        from gainsight_destination.archive.window import window_of
        from gainsight_destination.errors import UserError
        from gainsight_destination.records.replays import Selection

        if self.everything == any(value is not None for value in self[:-1]):
            raise UserError(
                "say what to replay: --since, --until, --source, --user, --event, --type or several of them,"
                " or --everything alone"
            )
        window = window_of(self.since, self.until)
        return Selection(
            since_ms=None if self.since is None else window.since_ms,
            until_ms=None if self.until is None else window.until_ms,
            source_id=None if self.source is None else opened.source(self.source).id,
            user_id=self.user,
            event=self.event,
            type=self.type,
        )


@app.command()
def preview(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    user: UserOption = None,
    event: EventOption = None,
    type_: TypeOption = None,
    everything: EverythingOption = False,
    again: AgainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what a replay would do and what it would cost. Nothing is changed."""
    import time
    from contextlib import closing

    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data, state_path
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.eventlog.sqlite import SqliteEventLog
    from gainsight_destination.replay.preview import preview as look
    from gainsight_destination.replay.preview import told
    from gainsight_destination.store.database import connect

    with open_data(data) as opened:
        selection = Chosen(since, until, source, user, event, type_, everything).selection(opened)
        target, connected, limited = _enabled(opened, destination), opened.connected(), opened.limited()
    with (
        closing(connect(state_path(data))) as state,
        closing(SqliteEventLog(data / "log.db", read_only=True)) as log,
    ):
        shown = look(
            state,
            log,
            connected,
            limited,
            target,
            selection,
            again=again,
            now_ms=SystemClock().now_ms(),
            breathe=lambda: time.sleep(BREATHE_SECONDS),
        )
    if as_json:
        print_json(told(shown))
        return
    for line in preview_lines(shown, again):
        console.print(line)


BREATHE_SECONDS = 0.02
"""Between two chunks of a preview: the server that runs beside it writes meanwhile."""


@app.command()
def start(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    user: UserOption = None,
    event: EventOption = None,
    type_: TypeOption = None,
    everything: EverythingOption = False,
    again: AgainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start a replay. The server goes about it behind everything else that waits; `preview` tells what that will be."""
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.eventlog.sqlite import SqliteEventLog
    from gainsight_destination.replay import service

    with open_data(data) as opened:
        selection = Chosen(since, until, source, user, event, type_, everything).selection(opened)
        target = _enabled(opened, destination)

    def begin(connection: sqlite3.Connection) -> "Replay":
        log = SqliteEventLog(data / "log.db", read_only=True)
        try:
            return service.start(
                connection,
                log,
                target,
                selection,
                again=again,
                actor="replay start",
                now_ms=SystemClock().now_ms(),
            )
        finally:
            log.close()

    _change(data, as_json, begin, "started")


@app.command("list")
def list_(
    data: DataOption = Path("data"),
    destination: DestinationOption = None,
    limit: Annotated[int, typer.Option(min=1, envvar="GAINSIGHT_DESTINATION_LIMIT", help="At most this many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List replays, newest first."""
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.records import replays
    from gainsight_destination.replay.service import told

    with open_data(data) as opened:
        target = None if destination is None else opened.destination(destination).id
        found = [told(opened.state, replay) for replay in replays.newest(opened.state, target, limit)]
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("There are no replays; `replay preview` tells what one would do.")
    for document in found:
        console.print(f"{document['id']:>6}  {document['startedAt']}  {document['destination']}  {summary(document)}")


@app.command()
def show(replay_id: ReplayArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Show how a replay stands: every message it chose and every record it made due is accounted for."""
    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import open_data
    from gainsight_destination.replay import service

    with open_data(data) as opened:
        document = service.told(opened.state, service.get(opened.state, replay_id))
    if as_json:
        print_json(document)
        return
    for line in show_lines(document):
        console.print(line)


@app.command()
def pause(replay_id: ReplayArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Look at no further messages for now. What is due already is delivered; the next replay has its turn."""
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.replay import service

    _change(data, as_json, lambda connection: service.pause(connection, replay_id, SystemClock().now_ms()), "paused")


@app.command()
def resume(replay_id: ReplayArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Go on where a replay was paused."""
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.replay import service

    _change(data, as_json, lambda connection: service.resume(connection, replay_id, SystemClock().now_ms()), "resumed")


@app.command()
def cancel(replay_id: ReplayArgument, data: DataOption = Path("data"), as_json: JsonOption = False) -> None:
    """Look at no further messages, ever. What is due already is delivered: it is what records should hold."""
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.replay import service

    _change(
        data, as_json, lambda connection: service.cancel(connection, replay_id, SystemClock().now_ms()), "cancelled"
    )


def _enabled(opened: "OpenData", name: str | None) -> int:
    """The id of a destination that is enabled. Raises UserError."""
    from gainsight_destination.errors import UserError

    destination = opened.destination(name)
    if not destination.enabled:
        raise UserError(f"the destination {destination.name!r} is disabled; enable it in the workspace file first")
    return destination.id


def _change(data: Path, as_json: bool, change: Callable[[sqlite3.Connection], "Replay"], what: str) -> None:
    from contextlib import closing

    from gainsight_destination.cli.console import console, print_json
    from gainsight_destination.cli.data_directory import state_path
    from gainsight_destination.replay.service import told
    from gainsight_destination.runtime.lock import is_held
    from gainsight_destination.store.database import connect, transaction

    with closing(connect(state_path(data))) as connection, transaction(connection):
        document = told(connection, change(connection))
    running = is_held(data, "ingest")
    if as_json:
        print_json({**document, "serverRunning": running})
        return
    console.print(f"Replay {document['id']} {what}.")
    if what in ("started", "resumed"):
        if not running:
            console.print("The server is not running: the replay goes on when `serve` is started.")
        elif document["behind"] is not None:
            console.print(f"It has its turn after replay {document['behind']}.")
        console.print(f"next: `replay show {document['id']}` tells how it goes")


# -- in words


def preview_lines(shown: "Preview", again: bool) -> list[str]:
    """A preview as lines of text."""
    from gainsight_destination.cli.status import clock_time

    figures = shown.figures
    lines = [
        f"{_messages(figures.chosen)} chosen of {shown.log_messages:,} in that part of the log",
        *_gone(figures.gone),
        f"  {figures.touched:,} {'go to it' if shown.sends_messages else 'touch its records'}",
        *_skipped(figures.skipped),
    ]
    if shown.sends_messages:
        lines.append(
            "It gets messages as they came, in the order of each user: "
            + ("those that it got already are sent once more." if again else "only those that it did not get are sent.")
        )
    else:
        lines += [f"  {count:,} {name} records would be due" for name, count in sorted(figures.due.items())]
    if shown.last_call_at_ms is not None:
        bound = "" if again or shown.sends_messages else "at most "
        lines.append(
            f"That takes {bound}{shown.calls:,} {'call' if shown.calls == 1 else 'calls'}; with the quota that is left,"
            f" and behind all that waits, the last can go at {clock_time(shown.last_call_at_ms)} UTC."
        )
        if bound:
            lines.append("What turns out equal to what was delivered last costs no call; --again makes it anyway.")
    return lines


def show_lines(document: Mapping[str, Any]) -> list[str]:
    """How a replay stands, as lines of text."""
    log, messages, records = document["log"], document["messages"], document["records"]
    chosen = ", ".join(f"{name} {value}" for name, value in document["chosenBy"].items()) or "everything"
    due = sum(records["due"].values())
    objects = ", ".join(f"{count:,} {name}" for name, count in sorted(records["due"].items()))
    return [
        f"replay {document['id']} to {document['destination']}: {summary(document)}",
        f"  chosen: {chosen}{', to be delivered again' if document['again'] else ''};"
        f" started {document['startedAt']} by `{document['startedBy']}`",
        f"  looked at {log['lookedAt']:,} of {_messages(log['messages'])}"
        f" = {log['notChosen']:,} not chosen + {log['gone']:,} gone + {messages['chosen']:,} chosen",
        *_gone(log["gone"]),
        f"  {messages['chosen']:,} chosen = {messages['touched']:,} taken to its records"
        f" + {sum(messages['skipped'].values()):,} skipped",
        *_skipped(messages["skipped"]),
        f"  {due:,} records due{f' ({objects})' if objects else ''} = {records['delivered']:,} delivered"
        f" + {records['unchanged']:,} unchanged, without a call + {records['dead']:,} refused"
        f" + {records['waiting']:,} waiting",
    ]


def summary(document: Mapping[str, Any]) -> str:
    """One line about a replay."""
    log, waiting = document["log"], document["records"]["waiting"]
    if document["state"] == "done":
        return f"done; {_messages(document['messages']['touched'])} taken to its records"
    left = f"{waiting:,} {'record waits' if waiting == 1 else 'records wait'}"
    if document["state"] == "delivering":
        return f"looked at everything; {left}"
    state = f"after replay {document['behind']}" if document["behind"] is not None else document["state"]
    return f"{state}; looked at {log['lookedAt']:,} of {_messages(log['messages'])}, {left}"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _gone(gone: int) -> list[str]:
    """What is said of messages whose time was asked for and that retention removed."""
    if not gone:
        return []
    return [f"  up to {_messages(gone)} of that time are no longer in the log, of whatever user and kind"]


def _skipped(skipped: Mapping[str, int]) -> list[str]:
    from gainsight_destination.observe.words import skip_words

    return [
        f"  {count:,} skipped: {skip_words(reason)}"
        for reason, count in sorted(skipped.items(), key=lambda item: -item[1])
    ]
