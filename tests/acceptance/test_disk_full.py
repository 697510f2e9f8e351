"""A full disk under the real server: 503 and Retry-After, nothing lost, and it goes on by itself (P1, P3, P8)."""

import errno
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.disk import DiskFaults
from tests.support.senders import Senders, sending
from tests.support.system import System, healthy, wait_until

EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"
VOLUME_BYTES = 8_000_000
PADDING = 2_000


@contextmanager
def small_volume(path: Path) -> Iterator[bool]:
    """Mount a file system of a few megabytes; False where this process may not."""
    path.mkdir()
    options = f"size={VOLUME_BYTES}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True)
    if mounted.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(path)], check=True)


class Volume:
    """The data directory's file system, full when told."""

    def __init__(self, system: System, path: Path, faults: DiskFaults, *, mounted: bool) -> None:
        self._ballast = path / "ballast"
        self._faults = faults
        self._mounted = mounted
        faults.watch(system.data)

    def fill(self) -> None:
        if not self._mounted:
            self._faults.fill()
            return
        with self._ballast.open("wb", buffering=0) as ballast:
            size = 1 << 20
            while size:
                try:
                    ballast.write(bytes(size))
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        self._faults.free()
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A system whose server is not started yet, on a disk that can fail, at a Gainsight without limits.

    It takes messages until the disk is really full: that it would stop before is not what is tested here.
    """
    system = System(
        tmp_path, environment={"GAINSIGHT_DESTINATION_MIN_FREE_DISK_GB": "0"}, flushSeconds=0.5, callsPerMinute=10_000
    )
    system.start_sandbox()
    system.control("PUT", "switches", {"calls_per_minute": None})
    yield system
    system.stop()


@pytest.fixture
def faults(tmp_path: Path, system: System) -> DiskFaults:
    faults = DiskFaults(tmp_path / "control")
    system.environment |= faults.environment()
    return faults


def account_of(system: System) -> str:
    return next(row["SfdcAccountId"] for row in system.rows("company") if len(row["SfdcAccountId"]) == 18)


def whatever_it_answers(url: str) -> tuple[int, str]:
    answer = httpx.get(url, timeout=5, trust_env=False)
    return answer.status_code, answer.text


def assert_all_there(system: System, senders: Senders) -> None:
    """Every acknowledged event is one row and counts once; what was refused was told when to come back."""
    books = system.settled(system.books()["received"], seconds=90)
    rows = Counter(row["Message_Id__gc"] for row in system.rows(EVENTS))
    assert {name for name in senders.acknowledged if name.startswith("track")} <= set(rows)
    assert set(rows.values()) == {1}
    assert sum(row["Event_Count__gc"] for row in system.rows(USAGE)) == len(rows)
    assert (books["dead"], books["pauses"]) == (0, [])
    assert books["received"] == books["delivered"] + books["duplicates"]
    assert senders.without_retry_after == 0


def test_the_volume_is_full(tmp_path: Path, system: System, faults: DiskFaults) -> None:
    """No space at all under traffic: refused with 503, the engine lives on; with space all goes on by itself."""
    with small_volume(tmp_path / "volume") as mounted:
        system.data = tmp_path / "volume" / "data"
        system.start_serve()
        volume = Volume(system, tmp_path / "volume", faults, mounted=mounted)
        engine = system.engine_pid()
        with sending(system.ingest_url, account_of(system), padding=PADDING) as senders:
            for _ in range(2):
                wait_until(senders.more(20), "messages to be taken")
                volume.fill()
                refused = senders.answers[503]
                wait_until(lambda refused=refused: senders.answers[503] > refused + 20, "messages to be refused")
                code, reasons = whatever_it_answers(f"{system.ingest_url}/health")
                assert code == 503
                assert "the event log cannot be written" in reasons
                volume.free()
                wait_until(senders.more(20), "messages to be taken again")
        wait_until(lambda: healthy(f"{system.ingest_url}/health"), "the public port to be well")
        wait_until(lambda: healthy(f"{system.console_url}/health"), "the engine to be well")
        assert system.engine_pid() == engine
        assert set(senders.answers) <= {200, 503}
        assert_all_there(system, senders)
        system.stop_serve()


def test_only_the_state_cannot_be_written(system: System, faults: DiskFaults) -> None:
    """Messages are taken as ever; the engine waits, says so, sends nothing it cannot write down, and recovers."""
    system.start_serve()
    engine = system.engine_pid()
    with sending(system.ingest_url, account_of(system)) as senders:
        wait_until(senders.more(20), "messages to be taken")
        faults.watch(system.data, only="state.db")
        faults.fill("EIO")
        wait_until(lambda: faults.disturbed > 2, "writes to fail")
        wait_until(senders.more(50), "messages to be taken meanwhile")
        wait_until(lambda: not healthy(f"{system.console_url}/health"), "the engine to say that it suffers")
        code, reasons = whatever_it_answers(f"{system.console_url}/health")
        assert code == 503
        assert "disk" in reasons
        calls = system.control("GET", "quota")["accepted"]
        disturbed = faults.disturbed
        wait_until(lambda: faults.disturbed > disturbed + 2, "more writes to fail")
        assert system.control("GET", "quota")["accepted"] <= calls + 1
        faults.free()
        wait_until(lambda: healthy(f"{system.console_url}/health"), "the engine to be well")
    assert system.engine_pid() == engine
    assert set(senders.answers) == {200}
    assert_all_there(system, senders)


def test_only_the_log_cannot_be_written(system: System, faults: DiskFaults) -> None:
    """Messages are refused; what was taken before is delivered meanwhile."""
    system.start_serve()
    with sending(system.ingest_url, account_of(system)) as senders:
        wait_until(senders.more(20), "messages to be taken")
        faults.watch(system.data, only="log.db")
        faults.fill()
        wait_until(lambda: senders.answers[503] > 5, "messages to be refused")
        taken = len(senders.acknowledged)
        system.settled(system.books()["received"])
        assert len(senders.acknowledged) == taken
        faults.free()
        wait_until(senders.more(20), "messages to be taken again")
    assert set(senders.answers) == {200, 503}
    assert_all_there(system, senders)


def test_a_start_on_a_full_disk(system: System, faults: DiskFaults) -> None:
    """An engine that dies while the disk is full is started again and again, and serves when there is space."""
    system.start_serve()
    engine = system.engine_pid()
    assert engine is not None
    with sending(system.ingest_url, account_of(system), senders=1) as senders:
        wait_until(senders.more(10), "messages to be taken")
        faults.watch(system.data)
        faults.fill()
        os.kill(engine, 9)
        wait_until(lambda: system.engine_pid() not in (None, engine), "another engine")
        wait_until(lambda: senders.answers[503] > 5, "messages to be refused")
        faults.free()
        wait_until(senders.more(10), "messages to be taken again")
        wait_until(lambda: healthy(f"{system.console_url}/health"), "the engine to be well", seconds=60)
    assert_all_there(system, senders)


def test_a_server_that_cannot_start(system: System, faults: DiskFaults) -> None:
    """Started when nothing can be written it ends with exit code 3 and a sentence, and starts when there is space."""
    system.start_serve()
    system.stop_serve()
    faults.watch(system.data)
    faults.fill()
    system.spawn_serve()
    assert system.wait_for("serve") == 3
    said = (system.directory / "serve.txt").read_text().splitlines()[-1]
    assert said.startswith("gainsight-destination: ")
    assert "No space left on device" in said or "disk" in said
    faults.free()
    system.start_serve()
