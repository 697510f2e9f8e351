"""The command `import` run inside the test's process, and what the event log then holds."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gainsight_destination.cli.app import main
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.testing import ManualClock
from gainsight_destination.workspace import service

WORKSPACE = "sources:\n- {name: website, writeKey: wk-1}\n"


class Importer:
    """A data directory with one source, and the command."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self._capsys = capsys
        service.apply_content(data, WORKSPACE, clock=ManualClock(), actor="test", environ={})

    def __call__(self, *arguments: str | Path) -> "Ran":
        with pytest.raises(SystemExit) as ended:
            main(["import", *map(str, arguments), "--source", "website", "--data", str(self.data)])
        return Ran(ended.value.code, *self._capsys.readouterr())

    def messages(self) -> list[dict[str, Any]]:
        with closing(SqliteEventLog(self.data / "log.db", read_only=True)) as log:
            entries = [logged.entry for logged in log.read(log.start(), max_messages=10_000_000)]
        return [message for entry in entries for message in json.loads(entry.body)]

    def ids(self) -> list[str]:
        return [message["messageId"] for message in self.messages()]


class Ran:
    """What the command answered."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


def lines(first: int, count: int, **more: object) -> bytes:
    """So many tracks, m{first} and on, a line each."""
    same = {"type": "track", "event": "E", "userId": "u", **more}
    return b"".join(json.dumps({**same, "messageId": f"m{n}"}).encode() + b"\n" for n in range(first, first + count))
