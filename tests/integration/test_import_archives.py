"""Importing archives: real files, the real command, the real event log."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gainsight_destination.archive import take_in
from gainsight_destination.archive.find import find_files
from gainsight_destination.archive.progress import ImportProgress
from gainsight_destination.archive.take_in import ArchiveImport, Taken
from gainsight_destination.archive.window import Window
from gainsight_destination.errors import StorageFullError
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.testing import START_MS, ManualClock
from gainsight_destination.workspace import service

WORKSPACE = "sources:\n- {name: website, writeKey: wk-1}\n- {name: old, writeKey: wk-2, enabled: false}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    service.apply_content(data, WORKSPACE, clock=ManualClock(), actor="test", environ={})
    return data


def lines(first: int, count: int) -> list[bytes]:
    return [
        json.dumps({"type": "track", "event": "E", "userId": "u", "messageId": f"m{n}", "n": "ü" * 30}).encode()
        for n in range(first, first + count)
    ]


def write(path: Path, content: list[bytes], *, zipped: bool = False, end: bytes = b"\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = end.join(content) + end
    path.write_bytes(gzip.compress(body) if zipped else body)
    return path


def run(data: Path, *arguments: str | Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "gainsight_destination", "import", *map(str, arguments), "--data", str(data)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60)


def take(data: Path, *paths: Path, restart: bool = False, log: Any = None) -> Taken:
    path = data / "imports.db"
    with closing(SqliteEventLog(data / "log.db")) as real, closing(ImportProgress(path, 1, Window())) as progress:
        run = ArchiveImport(log or real, progress, source_id=1, clock=ManualClock(), window=Window(), restart=restart)
        return run.run(find_files([str(path) for path in paths]))


def entries(data: Path) -> list[Entry]:
    with closing(SqliteEventLog(data / "log.db", read_only=True)) as log:
        return [logged.entry for logged in log.read(log.start(), max_messages=10_000_000)]


def messages(data: Path) -> Iterator[dict[str, Any]]:
    for entry in entries(data):
        found = json.loads(entry.body)
        assert len(found) == entry.count
        yield from found


def ids(data: Path) -> list[str]:
    return [message["messageId"] for message in messages(data)]


def test_folder_goes_in_whole_and_in_order(data: Path, tmp_path: Path) -> None:
    """A Segment archive is read folder by folder; a .gz that was inflated on its way is read as what it is."""
    archive = tmp_path / "segment-logs" / "s1"
    write(archive / "1441238400000" / "b.gz", lines(1_400, 100))
    write(archive / "1441152000000" / "a.gz", lines(0, 700), zipped=True)
    write(archive / "1441152000000" / "b.gz", lines(700, 700), zipped=True, end=b"\r\n")
    write(archive / "1441152000000" / "notes.md", [b"not a part of it"])
    write(archive / ".hidden" / "c.gz", [b"nor this"])
    result = run(data, tmp_path / "segment-logs", "--source", "website")
    assert result.returncode == 0, result.stderr
    assert b"1,500 messages of 3 files are in source website" in result.stdout
    assert ids(data) == [f"m{n}" for n in range(1_500)]


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever order the disk gives them in, so that two machines import alike."""
    names = [f"{day}/{file}.gz" for day in range(10, 15) for file in "abcdefgh"]
    for name in random.Random(3).sample(names, len(names)):
        write(tmp_path / name, [b"{}"])
    assert [file.name for file in find_files([str(tmp_path)])] == [str(tmp_path / name) for name in names]


def test_entries_keep_the_lines_as_they_are(data: Path, tmp_path: Path) -> None:
    """An entry is a JSON array of at most 500 lines and 400 KB, byte for byte what the file held."""
    content = lines(0, 600) + [json.dumps({"messageId": f"big{n}", "p": "x" * 32_000}).encode() for n in range(30)]
    take(data, write(tmp_path / "a.ndjson", content))
    found = entries(data)
    assert b",".join(entry.body[1:-1] for entry in found) == b",".join(content)
    assert sum(entry.count for entry in found) == 630
    assert all(entry.count <= 500 and len(entry.body) <= 400_000 for entry in found)
    assert {(entry.kind, entry.source_id, entry.received_at_ms) for entry in found} == {
        (EntryKind.ARCHIVE, 1, START_MS)
    }


def test_bad_lines_are_told_and_the_rest_goes_in(data: Path, tmp_path: Path) -> None:
    """What is no message is named by file and line, the first 20 of them, and the exit code is 1."""
    bad = [
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b'{"a":nan}',
        b'{"messageId":1e999}',
        b'{"a":' + b"[" * 20_000 + b"}",
        b'{"p":"' + b"x" * 32_768 + b'"}',
    ]
    bad += [b"}"] * 20
    file = write(tmp_path / "a.ndjson", [*lines(0, 2), *bad, b"", b"  ", *lines(2, 1)])
    result = run(data, file, "--source", "website", "--json")
    assert result.returncode == 1, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["messages"], answer["bad"], len(answer["badLines"])) == (3, 28, 20)
    assert [row["line"] for row in answer["badLines"]] == list(range(3, 23))
    assert answer["badLines"][7]["reason"] == "it is longer than 32,768 bytes"
    assert ids(data) == ["m0", "m1", "m2"]
    plain = run(data, file, "--source", "website", "--restart")
    assert f"{file}, line 4: it is not a JSON object".encode() in plain.stderr
    assert b"... and 8 more" in plain.stderr


def test_line_of_exactly_32_kb_goes_in(data: Path, tmp_path: Path) -> None:
    """The limit is Segment's 32,768 bytes, and a line end does not count."""
    empty = len(b'{"messageId":"m","p":""}')
    for name, end in (("a.ndjson", b"\n"), ("b.ndjson", b"\r\n")):
        fits = b'{"messageId":"m","p":"' + b"x" * (32_768 - empty) + b'"}'
        file = write(tmp_path / name, [fits, fits.replace(b'"p":"', b'"p":"y')], end=end)
        taken = take(data, file)
        assert (taken.messages, [bad.number for bad in taken.bad_lines]) == (1, [2])


def test_huge_line_takes_little_memory_and_the_next_is_read(data: Path, tmp_path: Path) -> None:
    """A line of many megabytes is skipped, not collected."""
    file = write(tmp_path / "a.gz", [b'{"p":"' + b"x" * 20_000_000 + b'"}', *lines(0, 1)], zipped=True)
    taken = take(data, file)
    assert (taken.messages, taken.bad, taken.bad_lines[0].number) == (1, 1, 1)


def test_second_run_skips_what_is_in(data: Path, tmp_path: Path) -> None:
    """A file is taken in once; one that changed is read anew, and --restart reads all again."""
    first, second = write(tmp_path / "a.gz", lines(0, 5), zipped=True), write(tmp_path / "b.ndjson", lines(5, 5))
    assert take(data, first, second).messages == 10
    again = take(data, first, second)
    assert (again.messages, again.files, again.files_skipped) == (0, 0, 2)
    write(second, lines(5, 6))
    assert take(data, first, second).messages == 6
    assert take(data, first, restart=True).messages == 5


def test_progress_is_per_source(data: Path, tmp_path: Path) -> None:
    """The same file may belong to two sources."""
    file = write(tmp_path / "a.ndjson", lines(0, 5))
    take(data, file)
    path = data / "imports.db"
    with closing(SqliteEventLog(data / "log.db")) as log, closing(ImportProgress(path, 2, Window())) as progress:
        other = ArchiveImport(log, progress, source_id=2, clock=ManualClock(), window=Window())
        assert other.run(find_files([str(file)])).messages == 5


class FailingLog:
    """The real log, whose disk is full after some appends."""

    def __init__(self, log: SqliteEventLog, appends: int) -> None:
        self._log, self._appends = log, appends

    def append(self, new: list[Entry], *, live: bool) -> int:
        if self._appends == 0:
            raise StorageFullError("the disk refused a write")
        self._appends -= 1
        return self._log.append(new, live=live)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("appends", [0, 1, 2, 3])
def test_interrupted_import_goes_on_where_it_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appends: int, zipped: bool
) -> None:
    """After a full disk the same command adds exactly what was missing, in the middle of a file too."""
    monkeypatch.setattr(take_in, "ENTRY_LINES", 7)
    monkeypatch.setattr(take_in, "GROUP_BYTES", 1)
    files = [write(tmp_path / name, lines(first, 15), zipped=zipped) for name, first in (("a.gz", 0), ("b.gz", 15))]
    with closing(SqliteEventLog(data / "log.db")) as log, pytest.raises(StorageFullError):
        take(data, *files, log=FailingLog(log, appends))
    assert len(ids(data)) == 7 * appends
    take(data, *files)
    assert ids(data) == [f"m{n}" for n in range(30)]


def test_lost_progress_adds_at_most_duplicates(data: Path, tmp_path: Path) -> None:
    """A crash between append and progress repeats a chunk whose messages have the same ids, so they are dropped."""
    file = write(tmp_path / "a.ndjson", [b'{"type":"track"}', b'{"type":"track"}', *lines(0, 3)])
    take(data, file)
    (data / "imports.db").unlink()
    take(data, file)
    found = ids(data)
    assert found[:5] == found[5:]
    assert len(set(found)) == 5


@pytest.mark.parametrize(
    "line", [b"{}", b"{ }", b'{"messageId":null,"a":1}', b'{"messageId":" ","a":1}', b'{"a":"messageId"}']
)
def test_message_without_id_gets_a_lasting_one(data: Path, tmp_path: Path, line: bytes) -> None:
    """The id comes of folder, file, line and content: the same from wherever the archive is read."""
    take(data, write(tmp_path / "x" / "day" / "a.ndjson", [line, line]))
    taken = take(data, write(tmp_path / "moved" / "day" / "a.gz", [line], zipped=True))
    assert taken.ids_added == 1
    take(data, write(tmp_path / "moved" / "day" / "a.ndjson", [line]))
    first, second, other_file, moved = ids(data)
    assert first == moved
    assert len({first, second, other_file}) == 3
    assert first.startswith("archive-")


def test_numeric_message_id_counts_as_one(data: Path, tmp_path: Path) -> None:
    """A line that has an id stays as it is, also when the id is a number."""
    taken = take(data, write(tmp_path / "a.ndjson", [b'{"messageId":7,"a":1}']))
    assert taken.ids_added == 0
    assert entries(data)[0].body == b'[{"messageId":7,"a":1}]'


def test_text_that_is_not_unicode_is_mended(data: Path, tmp_path: Path) -> None:
    """One broken character does not cost the message, nor the others of its entry."""
    broken = [b'{"messageId":"a","p":"\xff"}', b'{"messageId":"b","p":"\\ud83d"}', b'\xef\xbb\xbf{"messageId":"c"}']
    assert take(data, write(tmp_path / "a.ndjson", broken)).bad == 0
    assert [message.get("p") for message in messages(data)] == ["\ufffd", "\ufffd", None]


def test_damaged_gzip_gives_what_it_can(data: Path, tmp_path: Path) -> None:
    """A file that was cut off gives its whole lines, is told, and does not stop the files after it."""
    random.seed(7)
    whole = gzip.compress(b"\n".join(json.dumps({"messageId": str(random.random())}).encode() for _ in range(20_000)))
    cut = tmp_path / "a.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    damaged = tmp_path / "b.gz"
    damaged.write_bytes(whole[:1_000] + b"\0" * 50 + whole[1_050:])
    taken = take(data, cut, damaged, write(tmp_path / "c.gz", lines(0, 3), zipped=True))
    assert taken.bad == 2
    assert "cut off" in taken.bad_lines[0].reason
    assert taken.messages > 5_000
    assert ids(data)[-3:] == ["m0", "m1", "m2"]
    cut.write_bytes(whole)
    take(data, cut)
    assert len(set(ids(data))) == 20_003


def test_every_line_before_a_cut_goes_in(data: Path, tmp_path: Path) -> None:
    """All that can be inflated of a file that was cut off is taken in, to the last whole line."""
    random.seed(7)
    whole = gzip.compress(b"\n".join(json.dumps({"messageId": str(random.random())}).encode() for _ in range(3_000)))
    cut = whole[: len(whole) // 2]
    (tmp_path / "a.gz").write_bytes(cut)
    there = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(cut).count(b"\n")
    assert take(data, tmp_path / "a.gz").messages == there > 1_000


def test_standard_input_is_read(data: Path) -> None:
    """- reads what another program prints, gzipped or not."""
    for number, body in enumerate((b"\n".join(lines(0, 3)), gzip.compress(b"\n".join(lines(3, 3))))):
        result = run(data, "-", "--source", "website", stdin=body)
        assert (result.returncode, len(ids(data))) == (0, 3 * (number + 1)), result.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [("websit", b"there is no source 'websit'; there is website, old"), ("old", b"source 'old' is disabled")],
)
def test_source_must_be_there(data: Path, tmp_path: Path, source: str, words: bytes) -> None:
    """An unknown source is refused with the names that exist, a disabled one too, and nothing is read."""
    result = run(data, write(tmp_path / "a.ndjson", lines(0, 1)), "--source", source)
    assert result.returncode == 2
    assert words in result.stderr
    assert not (data / "log.db").exists()


def test_paths_must_be_there(data: Path, tmp_path: Path) -> None:
    """A path that is not there, or a folder with nothing to read, is refused before anything is read."""
    (tmp_path / "empty").mkdir()
    for path, words in (("nowhere", b"No such file"), ("empty", b"there is no archive file")):
        result = run(data, tmp_path / path, "--source", "website")
        assert result.returncode == 2
        assert words in result.stderr


def test_file_named_twice_is_read_once(data: Path, tmp_path: Path) -> None:
    """A folder and a file inside it are one file."""
    file = write(tmp_path / "in" / "a.ndjson", lines(0, 3))
    assert take(data, file.parent, file).messages == 3


def test_ctrl_c_stops_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    """An interrupted import tells what is in and how to continue, and continues."""
    pipe = tmp_path / "pipe.ndjson"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "gainsight_destination", "import", pipe, "--source", "website", "--data", data]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        open(pipe, "wb", buffering=0) as writer,
    ):
        writer.write(b"\n".join(lines(0, 200)) + b"\n")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command again to go on" in told
    assert b"Traceback" not in told


def test_a_second_run_finds_nothing_new(data: Path, tmp_path: Path) -> None:
    """Who runs the same import again is told that there was nothing to do."""
    archive = write(tmp_path / "a.ndjson", lines(0, 3))
    assert b"3 messages of 1 file are in" in run(data, archive, "--source", "website").stdout
    again = run(data, archive, "--source", "website")
    assert (again.returncode, again.stdout) == (0, b"Nothing new: 1 file in already; --restart reads them again.\n")
