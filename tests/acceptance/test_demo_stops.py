"""The demo as a person runs it: what it shows, and that nothing of it stays behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.system import wait_until

from gainsight_destination.demo.sample import UNKNOWN_ACCOUNT, make_sample

ACCOUNTS = [f"0015000000abc{letter}EAAY" for letter in "ABCD"]


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, timeout=10).stdout.split()
    return [int(child) for child in found]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def usual_ports_taken() -> Iterator[None]:
    """Two demos that start at once would choose the same ports; with these taken, each has ports of its own."""
    with ExitStack() as held:
        for port in (8080, 8081, 8090):
            holder = held.enter_context(closing(socket.socket()))
            with suppress(OSError):  # taken by somebody else: as good
                holder.bind(("127.0.0.1", port))
                holder.listen()
        yield


@pytest.mark.parametrize("moment", ["starting", "sending"])
def test_term_stops_every_process_and_removes_the_directory(tmp_path: Path, moment: str) -> None:
    """TERM ends the demo as Ctrl-C does: no process and no file of it is left."""
    with usual_ports_taken(), tempfile.TemporaryFile() as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "gainsight_destination", "demo"],
            env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        )
        try:
            children = wait_until(lambda: (c := children_of(demo.pid)) and len(c) == 2 and c, "sandbox and server", 90)
            engines = wait_until(lambda: [e for child in children for e in children_of(child)], "the engine", 90)
            if moment == "sending":
                wait_until(lambda: b"Sending" in os.pread(output.fileno(), 10_000, 0), "the first calls", 90)
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(90) == 130
        finally:
            demo.kill()
            demo.wait()
        assert [pid for pid in (*children, *engines) if is_alive(pid)] == []
        assert list(tmp_path.iterdir()) == []
        output.seek(0)
        assert b"Traceback" not in output.read()


def test_the_showcase_is_an_anonymous_visit_that_a_later_sign_in_explains() -> None:
    """The message that the demo suggests for `trace` is the same each time, and carries neither user nor account."""
    samples = [make_sample(ACCOUNTS, datetime(2026, 3, 4, tzinfo=UTC)) for _ in range(2)]
    found = samples[0].showcase_message_id
    assert found == samples[1].showcase_message_id
    (call,) = {id(c): c for c in samples[0].calls if c.arguments["message_id"] == found}.values()
    assert call.method == "track"
    assert "user_id" not in call.arguments
    account, user, _ = samples[0].expected.events[found]
    assert account in ACCOUNTS
    assert account != UNKNOWN_ACCOUNT
    said = [c for c in samples[0].calls if c.arguments.get("user_id") == user and c.method in ("identify", "group")]
    assert {c.method for c in said} == {"identify"}
    assert min(c.arguments["timestamp"] for c in said) > call.arguments["timestamp"]
