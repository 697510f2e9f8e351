"""Importing a part of an archive, rehearsing an import, and what an import refuses or counts."""

import gzip
import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.imports import Importer, lines
from tests.support.pipeline import Pipeline

from gainsight_destination.archive.rehearsal import Rehearsal
from gainsight_destination.archive.window import Window, window_of
from gainsight_destination.errors import UserError
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.store.database import connect

MARCH_1_MS = 1_772_323_200_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path / "data", capsys)


def write(path: Path, body: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    ("since", "until", "first_ms", "end_ms"),
    [
        ("2026-03-01", "2026-03-01", MARCH_1_MS, MARCH_1_MS + DAY_MS),
        ("2026-03-01T10:00", "2026-03-01T11:00Z", MARCH_1_MS + 10 * HOUR_MS, MARCH_1_MS + 11 * HOUR_MS),
        ("2026-03-01T00:00+02:00", "20260302", MARCH_1_MS - 2 * HOUR_MS, MARCH_1_MS + 2 * DAY_MS),
    ],
)
def test_days_and_times_make_a_window(since: str, until: str, first_ms: int, end_ms: int) -> None:
    """A day is meant whole at both ends, a time is the instant itself, and what has no zone is UTC."""
    assert window_of(since, until) == Window(first_ms, end_ms)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("yesterday", None, "--since yesterday is no day and no time"),
        (None, "2026-02-30", "--until 2026-02-30 is no day"),
        ("2026-03-02", "2026-03-01", "--since has to be the earlier one"),
    ],
)
def test_bad_windows_are_refused(since: str | None, until: str | None, words: str) -> None:
    """Before anything is read, in words."""
    with pytest.raises(UserError, match=words):
        window_of(since, until)


def test_last_days_of_all_are_days_too() -> None:
    """The end of the calendar is no special case."""
    assert window_of("0001-01-01", "9999-12-31") == Window()


@pytest.mark.parametrize(
    ("days", "reaches"), [(-2, False), (-1, True), (0, True), (1, True), (2, True), (3, True), (4, False)]
)
def test_day_folders_are_opened_with_a_day_to_spare(days: int, reaches: bool) -> None:
    """A file of a day may hold lines from around it; folders farther off are left unopened, other names never."""
    window = window_of("2026-03-01T12:00Z", "2026-03-03T12:00Z")
    assert window.may_reach(f"{MARCH_1_MS + days * DAY_MS}/f.gz") is reaches
    assert window.may_reach(f"{MARCH_1_MS + days * DAY_MS + 1}/f.gz")
    assert window.may_reach("2026/f.gz")
    assert window.may_reach("f.gz")


def test_messages_count_by_their_time_of_receipt(run: Importer, tmp_path: Path) -> None:
    """receivedAt decides; a line without one goes by its timestamp, and one without both is never left out."""
    rows = [
        {"messageId": "late", "receivedAt": "2026-03-02T10:00:00Z", "timestamp": "2026-01-01T00:00:00Z"},
        {"messageId": "other", "receivedAt": "2026-03-03T00:00:00Z", "timestamp": "2026-03-02T23:59:59Z"},
        {"messageId": "first", "receivedAt": "2026-03-02T00:00:00Z"},
        {"messageId": "before", "receivedAt": "2026-03-01T23:59:59.999Z"},
        {"messageId": "export", "timestamp": "2026-03-02T12:00:00Z"},
        {"messageId": "undated"},
        {"messageId": "odd", "receivedAt": "soon", "timestamp": None},
    ]
    file = write(tmp_path / "a.ndjson", b"\n".join(json.dumps(row).encode() for row in rows))
    ran = run(file, "--since", "2026-03-02", "--until", "2026-03-02", "--json")
    assert run.ids() == ["late", "first", "export", "undated", "odd"]
    assert (ran.code, ran.json["messages"], ran.json["outside"], ran.json["undated"]) == (0, 5, 2, 2)
    words = run(file, "--since", "2026-03-03").out
    assert "Left out as outside of --since and --until: 0 files unopened, and 4 messages." in words
    assert "2 messages without a time were taken for inside" in words


def test_each_window_has_its_own_progress(run: Importer, tmp_path: Path) -> None:
    """A file that is in for one window is read for another, unless a wider one had all of it."""
    file = write(
        tmp_path / "a.ndjson",
        lines(0, 3, receivedAt="2026-03-01T10:00:00Z") + lines(3, 3, receivedAt="2026-03-02T10:00:00Z"),
    )
    assert run(file, "--until", "2026-03-01", "--json").json["messages"] == 3
    assert run(file, "--until", "2026-03-01", "--json").json["filesSkipped"] == 1
    assert run(file, "--since", "2026-03-02", "--json").json["messages"] == 3
    assert run.ids() == [f"m{n}" for n in range(6)]
    assert run(file, "--json").json["messages"] == 6
    assert run(file, "--since", "2026-03-02T11:00", "--json").json["filesSkipped"] == 1


def test_progress_of_the_first_release_is_kept(run: Importer, tmp_path: Path) -> None:
    """What an earlier version took in is not read again after the upgrade."""
    file = write(tmp_path / "a.ndjson", lines(0, 3))
    stat = file.stat()
    with closing(connect(run.data / "imports.db")) as old:
        script = Path(__file__).parents[2] / "src/gainsight_destination/archive/migrations/0001_progress.sql"
        old.executescript(script.read_text("utf-8") + "PRAGMA user_version = 1;")
        row = (1, str(file), stat.st_size, stat.st_mtime_ns, stat.st_size, 3, 1)
        old.execute("INSERT INTO progress VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    assert run(file, "--json").json["filesSkipped"] == 1


def test_dry_run_foretells_and_stores_nothing(run: Importer, tmp_path: Path) -> None:
    """It tells types, days, what would be discarded and what is bad, ends as the run would, and leaves no trace."""
    rows = [
        {"type": "identify", "userId": "u", "timestamp": "2026-03-01T10:00:00Z"},
        {"type": "track", "userId": "u", "event": "E", "timestamp": "2026-03-01T23:59:00Z"},
        {"type": "track", "userId": "u", "event": "E", "timestamp": "2026-03-05T00:00:00Z"},
        {"type": "track", "userId": "u", "timestamp": "2026-03-05T00:00:00Z"},
        {"type": "delete", "userId": "u", "timestamp": "2026-03-05T00:00:00Z"},
        {"type": "secret-looking", "userId": "u"},
    ]
    file = write(tmp_path / "a.ndjson", b"\n".join([*(json.dumps(row).encode() for row in rows), b"{"]))
    before = sorted(run.data.iterdir())
    ran = run(file, "--dry-run", "--json")
    found = ran.json
    assert (ran.code, found["dryRun"], found["messages"], found["bad"]) == (1, True, 6, 1)
    assert found["types"] == {"track": 3, "identify": 1, "delete": 1, "other": 1}
    assert found["discarded"] == {"event_not_defined": 1, "deletion_request": 1, "type_not_supported": 1}
    assert found["days"] == {"2026-03-01": 2, "2026-03-05": 1}
    assert found["alreadyIn"] == 0
    assert [path for path in sorted(run.data.iterdir()) if "-" not in path.name] == before
    words = run(file, "--dry-run").out
    assert "6 messages of 1 file would come into source website." in words
    assert "They are 3 track, 1 identify, 1 delete, 1 other." in words
    assert "They happened on 2 days (UTC), from 2026-03-01 to 2026-03-05." in words
    assert words.endswith("Nothing was stored.\n")
    real = run(file, "--json")
    assert (real.code, real.json["types"], len(run.ids())) == (1, found["types"], 6)
    nothing = run(file, "--dry-run")
    assert (nothing.code, nothing.out.startswith("Nothing new: 1 file in already")) == (0, True)


def test_dry_run_knows_what_came_before(pipeline: Pipeline) -> None:
    """Messages whose id is remembered are told, those that are forgotten are not."""
    pipeline.send(*({"type": "track", "event": "E", "userId": "u", "messageId": f"m{n}"} for n in range(3)))
    pipeline.resolve()
    body = b"[" + lines(1, 4).strip().replace(b"\n", b",") + b"]"
    with closing(connect(pipeline.directory / "state.db", read_only=True)) as state:
        for at_ms, known in ((pipeline.now_ms, 2), (pipeline.now_ms + 8 * DAY_MS, 0)):
            rehearsal = Rehearsal(state, 7 * DAY_MS)
            rehearsal.append([Entry(1, EntryKind.ARCHIVE, at_ms, 4, body)], live=False)
            assert rehearsal.already_in == known


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'[{"type":"track"},{"type":"track"}]', "is one JSON array"),
        (b'\xef\xbb\xbf[\r\n  {"type":"track"}\r\n]', "jq -c '.[]' FILE"),
        (gzip.compress(b'[\n{"type":"track"}]'), "is one JSON array"),
        ('{"type":"track"}'.encode("utf-16"), "iconv -f UTF-16"),
        (b"PK\x03\x04rest", "is a zip archive; unpack it first"),
        (b"\x28\xb5\x2f\xfdrest", "packed with zstd"),
    ],
    ids=["array in a line", "array in lines", "array in gzip", "UTF-16", "zip", "zstd"],
)
def test_other_formats_are_named_once(run: Importer, tmp_path: Path, body: bytes, words: str) -> None:
    """A file of another shape is one problem, not one per line, and says how to make it readable."""
    write(tmp_path / "in" / "b.ndjson", lines(0, 1))
    file = write(tmp_path / "in" / "a.gz", body)
    ran = run(file.parent, "--json")
    assert (ran.code, ran.json["bad"], ran.json["filesIncomplete"], ran.json["messages"]) == (1, 1, 1, 1)
    assert words in ran.json["badLines"][0]["reason"]
    assert run(file, "--json").json["bad"] == 1


def test_windows_text_is_read(run: Importer, tmp_path: Path) -> None:
    """A byte order mark, CRLF, blank lines and a missing last line end are nothing to remark on."""
    body = b"\xef\xbb\xbf" + b"\r\n\r\n \r\n".join(lines(0, 3).splitlines())
    assert run(write(tmp_path / "a.txt", body), "--json").json["bad"] == 0
    assert run.ids() == ["m0", "m1", "m2"]


def test_bad_lines_are_counted_by_what_is_wrong(run: Importer, tmp_path: Path) -> None:
    """Too long, no object, broken JSON and unreadable files are told apart."""
    body = b'{"p":"' + b"x" * 33_000 + b'"}\n[1]\n{"a":\n' + lines(0, 1)
    ran = run(write(tmp_path / "a.ndjson", body), write(tmp_path / "b.gz", gzip.compress(lines(1, 9))[:-9]), "--json")
    assert ran.json["badByCode"] == {"too_long": 1, "not_an_object": 1, "malformed": 1, "unreadable": 1}


def test_import_stops_before_the_disk_is_full(run: Importer, tmp_path: Path) -> None:
    """With less space than is to stay free nothing more is stored; the same command goes on when there is more."""
    file = write(tmp_path / "a.ndjson", lines(0, 3))
    ran = run(file, "--min-free-disk-gb", "1000000")
    assert ran.code == 3
    assert "GB are to stay free (--min-free-disk-gb); make space" in ran.err
    assert "0 messages are in; run the same command again to go on" in ran.err
    assert run(file, "--min-free-disk-gb", "0").code == 0
    assert run.ids() == ["m0", "m1", "m2"]


def test_entries_share_durable_writes(run: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry has at most 500 messages, a write 2 MB of them: the disk is waited for once, not for each entry."""
    appended: list[int] = []
    append = SqliteEventLog.append

    def counting(self: SqliteEventLog, entries: list[Entry], *, live: bool) -> int:
        appended.append(len(entries))
        return append(self, entries, live=live)

    monkeypatch.setattr(SqliteEventLog, "append", counting)
    run(write(tmp_path / "a.ndjson", lines(0, 5_000, padding="x" * 600)))
    assert appended == [6, 4]
    assert len(set(run.ids())) == 5_000
