"""The command `import`: takes archives in, with or without a running server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gainsight_destination.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from gainsight_destination.archive.take_in import Taken
    from gainsight_destination.clock import Clock
    from gainsight_destination.workspace.model import Source

REPORT_SECONDS = 5.0


def import_archive(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders, or - for standard input.", show_default=False),
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="NAME", envvar="GAINSIGHT_DESTINATION_SOURCE", help="The source that the messages are of."
        ),
    ],
    data: DataOption = Path("data"),
    restart: Annotated[
        bool,
        typer.Option("--restart", envvar="GAINSIGHT_DESTINATION_RESTART", help="Read files again that are in already."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take in archives: newline-separated JSON, gzipped or not, single files or whole folders.

    Messages that are in already, or came live, are dropped by their message id. A second run goes on where the first
    one stopped. Works while `serve` runs, and without it. Exit code 1 when a line could not be taken in.
    """
    from gainsight_destination.archive.files import find_files
    from gainsight_destination.archive.progress import ImportProgress
    from gainsight_destination.archive.take_in import ArchiveImport
    from gainsight_destination.cli.console import errors
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.eventlog.sqlite import SqliteEventLog

    clock = SystemClock()
    started_ms = clock.now_ms()
    target = source_named(source, data)
    files = find_files(paths)
    with ExitStack() as opened:
        log = opened.enter_context(closing(SqliteEventLog(data / "log.db")))
        progress = opened.enter_context(closing(ImportProgress(data, target.id)))
        report = opened.enter_context(reporting(sum(file.size_bytes for file in files), clock))
        run = ArchiveImport(log, progress, source_id=target.id, clock=clock, restart=restart, report=report)
        try:
            taken = run.run(files)
        except KeyboardInterrupt:
            opened.close()
            errors.print(f"Stopped. {run.taken.messages:,} messages are in; run the same command again to go on.")
            raise typer.Exit(130) from None
    show(taken, target.name, (clock.now_ms() - started_ms) / 1_000, as_json=as_json)
    if taken.bad:
        raise typer.Exit(1)


def source_named(name: str, data: Path) -> "Source":
    """The source to import into. Raises UserError that names those there are."""
    from gainsight_destination.cli.data_directory import shown
    from gainsight_destination.errors import UserError
    from gainsight_destination.workspace.service import sources

    found = {source.name: source for source in sources(data)}
    if name not in found:
        known = (
            ", ".join(found) or f"none in {shown(data)}; apply a workspace file first, or name another --data directory"
        )
        raise UserError(f"there is no source {name!r}; there is {known}")
    if not found[name].enabled:
        raise UserError(f"source {name!r} is disabled; enable it first, or name another one")
    return found[name]


@contextmanager
def reporting(total_bytes: int, clock: "Clock") -> "Iterator[Callable[[Taken], None]]":
    """Progress on stderr: a bar on a terminal, else a line every few seconds."""
    from gainsight_destination.cli.console import errors

    if not errors.is_terminal:
        yield plain_report(total_bytes, clock)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[messages]} messages, {task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    started_ms = clock.now_ms()
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("import", total=total_bytes or None, messages="0", rate="0")

        def report(taken: "Taken") -> None:
            rate = taken.messages / max(0.001, (clock.now_ms() - started_ms) / 1_000)
            bar.update(task, completed=taken.read_bytes, messages=f"{taken.messages:,}", rate=f"{rate:,.0f}")

        yield report


def plain_report(total_bytes: int, clock: "Clock") -> "Callable[[Taken], None]":
    from gainsight_destination.cli.console import errors

    last_ms = clock.now_ms()

    def report(taken: "Taken") -> None:
        nonlocal last_ms
        if clock.now_ms() - last_ms >= REPORT_SECONDS * 1_000:
            last_ms = clock.now_ms()
            share = f", {taken.read_bytes / total_bytes:.0%} of the files" if total_bytes else ""
            errors.print(f"{taken.messages:,} messages are in{share}")

    return report


def show(taken: "Taken", source: str, seconds: float, *, as_json: bool) -> None:
    """The result: JSON or text on stdout, bad lines of the text on stderr."""
    from gainsight_destination.cli.console import console, errors, print_json

    if as_json:
        print_json(
            {
                "source": source,
                "files": taken.files,
                "filesSkipped": taken.files_skipped,
                "messages": taken.messages,
                "idsAdded": taken.ids_added,
                "bad": taken.bad,
                "badLines": [{"file": bad.file, "line": bad.number, "reason": bad.reason} for bad in taken.bad_lines],
                "seconds": round(seconds, 3),
            }
        )
        return
    for bad in taken.bad_lines:
        errors.print(f"{bad.file}, line {bad.number}: {bad.reason}")
    if taken.bad > len(taken.bad_lines):
        errors.print(f"... and {taken.bad - len(taken.bad_lines):,} more")
    for line in summary(taken, source, seconds):
        console.print(line)


def summary(taken: "Taken", source: str, seconds: float) -> Sequence[str]:
    if not taken.messages and not taken.bad and taken.files_skipped and not taken.files:
        skipped = counted(taken.files_skipped, "file")
        return [f"Nothing new: {skipped} in already; --restart reads them again."]
    rate = f", {taken.messages / seconds:,.0f} a second" if seconds >= 1 else ""
    lines = [f"{taken.messages:,} messages of {counted(taken.files, 'file')} are in source {source}{rate}."]
    if taken.files_skipped:
        skipped = counted(taken.files_skipped, "file")
        lines.append(f"{skipped} skipped: in already; --restart reads them again.")
    if taken.ids_added:
        lines.append(
            f"{counted(taken.ids_added, 'message')} had no message id and got one from file, line and content."
        )
    if taken.bad:
        lines.append(f"{counted(taken.bad, 'line')} could not be taken in.")
    return lines


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
