"""The command `import`: takes archives in, with or without a running server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gainsight_destination.cli.options import DataOption, JsonOption, SinceOption, UntilOption

if TYPE_CHECKING:
    from gainsight_destination.archive.rehearsal import Rehearsal
    from gainsight_destination.archive.take_in import Taken
    from gainsight_destination.clock import Clock
    from gainsight_destination.workspace.model import Source

REPORT_SECONDS = 5.0
GB_BYTES = 1_000_000_000


def import_archive(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files, folders, s3://bucket/prefix/, or - for standard input.", show_default=False
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="NAME", envvar="GAINSIGHT_DESTINATION_SOURCE", help="The source that the messages are of."
        ),
    ],
    data: DataOption = Path("data"),
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            envvar="GAINSIGHT_DESTINATION_DRY_RUN",
            help="Read everything, store nothing, and say what would come in.",
        ),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", envvar="GAINSIGHT_DESTINATION_RESTART", help="Read files again that are in already."),
    ] = False,
    min_free_disk_gb: Annotated[
        float | None,
        typer.Option(
            "--min-free-disk-gb",
            min=0,
            envvar="GAINSIGHT_DESTINATION_MIN_FREE_DISK_GB",
            help="Stop while less than this is free on the volume of the data directory (10^9 bytes); 0 sets no bound."
            " Unless set: 1, or a tenth of a volume that is smaller than 10.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take in archives: newline-separated JSON, gzipped or not, from files, folders, S3 or standard input.

    Messages that are in already, or came live, are dropped by their message id. A second run goes on where the first
    one stopped. Works while `serve` runs, and without it. Exit code 1 when a line could not be taken in.
    """
    from gainsight_destination.archive.find import find_files
    from gainsight_destination.archive.progress import IN_MEMORY, PROGRESS_FILE, ImportProgress
    from gainsight_destination.archive.room import keeping_free
    from gainsight_destination.archive.take_in import ArchiveImport
    from gainsight_destination.archive.window import window_of
    from gainsight_destination.cli.console import errors
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.errors import ProductError
    from gainsight_destination.eventlog.sqlite import SqliteEventLog

    clock = SystemClock()
    started_ms = clock.now_ms()
    window = window_of(since, until)
    target = source_named(source, data)
    files = find_files(paths)
    progress_path = data / PROGRESS_FILE
    with ExitStack() as opened:
        rehearsal = opened.enter_context(rehearsing(data)) if dry_run else None
        log = rehearsal or opened.enter_context(closing(SqliteEventLog(data / "log.db")))
        known = progress_path if not dry_run or progress_path.exists() else IN_MEMORY
        progress = opened.enter_context(closing(ImportProgress(known, target.id, window)))
        run = ArchiveImport(
            log,
            progress,
            source_id=target.id,
            clock=clock,
            window=window,
            restart=restart,
            saves=not dry_run,
            before_write=keeping_free(data, None if min_free_disk_gb is None else round(min_free_disk_gb * GB_BYTES)),
            report=opened.enter_context(reporting(sum(file.size_bytes for file in files), clock)),
        )
        stopped: BaseException | None = None
        try:
            run.run(files)
        except (KeyboardInterrupt, ProductError) as error:
            stopped = error
    seconds = (clock.now_ms() - started_ms) / 1_000
    if as_json:
        show_json(run.taken, rehearsal, target.name, seconds, stopped)
    elif stopped is None:
        show(run.taken, rehearsal, target.name, seconds)
    if stopped is not None:
        if rehearsal is None:
            errors.print(f"Stopped. {run.taken.messages:,} messages are in; run the same command again to go on.")
        if isinstance(stopped, KeyboardInterrupt):
            raise typer.Exit(130)
        raise stopped
    if run.taken.bad:
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
def rehearsing(data: Path) -> "Iterator[Rehearsal]":
    from gainsight_destination.archive.rehearsal import Rehearsal
    from gainsight_destination.cli.data_directory import state_path
    from gainsight_destination.engine import DUPLICATE_WINDOW_MS
    from gainsight_destination.store.database import connect

    with closing(connect(state_path(data), read_only=True)) as state:
        yield Rehearsal(state, DUPLICATE_WINDOW_MS)


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
            errors.print(f"{taken.messages:,} messages{share}")

    return report


def show_json(
    taken: "Taken", rehearsal: "Rehearsal | None", source: str, seconds: float, stopped: BaseException | None
) -> None:
    """The result as one document, also of a run that was stopped."""
    from gainsight_destination.cli.console import print_json

    reason = "interrupted" if isinstance(stopped, KeyboardInterrupt) else str(stopped) if stopped else None
    print_json(
        {
            "source": source,
            "dryRun": rehearsal is not None,
            "stopped": reason,
            "files": taken.files,
            "filesSkipped": taken.files_skipped,
            "filesOutside": taken.files_outside,
            "filesIncomplete": taken.files_incomplete,
            "messages": taken.messages,
            "types": dict(taken.types.most_common()),
            "idsAdded": taken.ids_added,
            "outside": taken.outside,
            "undated": taken.undated,
            **rehearsed(rehearsal),
            "bad": taken.bad,
            "badByCode": dict(taken.bad_by_code.most_common()),
            "badLines": [
                {"file": bad.file, "line": bad.number, "code": bad.code, "reason": bad.reason}
                for bad in taken.bad_lines
            ],
            "seconds": round(seconds, 3),
        }
    )


def rehearsed(rehearsal: "Rehearsal | None") -> Mapping[str, Any]:
    from gainsight_destination.events.timestamps import iso_day

    if rehearsal is None:
        return {}
    return {
        "discarded": dict(rehearsal.discarded.most_common()),
        "alreadyIn": rehearsal.already_in,
        "days": {iso_day(day): count for day, count in sorted(rehearsal.days.items())},
    }


def show(taken: "Taken", rehearsal: "Rehearsal | None", source: str, seconds: float) -> None:
    """The result in words on stdout, bad lines on stderr."""
    from gainsight_destination.cli.console import console, errors

    for bad in taken.bad_lines:
        errors.print(f"{bad.file}, line {bad.number}: {bad.reason}")
    if taken.bad > len(taken.bad_lines):
        errors.print(f"... and {taken.bad - len(taken.bad_lines):,} more")
    for line in (*summary(taken, source, seconds, dry=rehearsal is not None), *foretold(rehearsal)):
        console.print(line)


def summary(taken: "Taken", source: str, seconds: float, *, dry: bool) -> Sequence[str]:
    skipped = counted(taken.files_skipped, "file")
    if not taken.messages and not taken.bad and taken.files_skipped and not taken.files:
        return [f"Nothing new: {skipped} in already; --restart reads them again."]
    verb, rate = "would come into" if dry else "are in", ""
    if seconds >= 1 and not dry:
        rate = f", {taken.messages / seconds:,.0f} a second"
    read = counted(taken.files + taken.files_incomplete, "file")
    lines = [f"{taken.messages:,} messages of {read} {verb} source {source}{rate}."]
    if taken.messages:
        lines.append(f"They are {listed(taken.types)}.")
    if taken.files_skipped:
        lines.append(f"{skipped} skipped: in already; --restart reads them again.")
    if taken.files_outside or taken.outside:
        files, messages = counted(taken.files_outside, "file"), counted(taken.outside, "message")
        lines.append(f"Left out as outside of --since and --until: {files} unopened, and {messages}.")
    if taken.undated:
        lines.append(
            f"{counted(taken.undated, 'message')} without a time were taken for inside of --since and --until."
        )
    if taken.ids_added:
        lines.append(
            f"{counted(taken.ids_added, 'message')} had no message id and got one from file, line and content."
        )
    if taken.files_incomplete:
        lines.append(f"{counted(taken.files_incomplete, 'file')} could not be read to the end.")
    if taken.bad:
        lines.append(f"{counted(taken.bad, 'line')} could not be taken in.")
    return lines


def foretold(rehearsal: "Rehearsal | None") -> Sequence[str]:
    """What a dry run says besides."""
    from gainsight_destination.events.timestamps import iso_day
    from gainsight_destination.observe.words import reason_words

    if rehearsal is None:
        return []
    lines = []
    if rehearsal.days:
        first, last = iso_day(min(rehearsal.days)), iso_day(max(rehearsal.days))
        lines.append(f"They happened on {counted(len(rehearsal.days), 'day')} (UTC), from {first} to {last}.")
    for reason, count in rehearsal.discarded.most_common():
        lines.append(f"{count:,} of them would be discarded: {reason_words('discarded', reason)}.")
    if rehearsal.already_in:
        lines.append(f"{rehearsal.already_in:,} of them came before and would be dropped as duplicates.")
    return [*lines, "Nothing was stored."]


def listed(types: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(types.items(), key=lambda item: -item[1]))


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
