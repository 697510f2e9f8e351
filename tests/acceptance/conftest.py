"""Fixtures of the tests in which processes die and disks fail."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.support.driver import Driver, Run
from tests.support.virtual import EVENTS

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def lives_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place in memory for many short runs, where the system has one: they sync as on a disk, and need not wait."""
    path = Path(mkdtemp(prefix="lives-", dir=MEMORY)) if MEMORY.is_dir() else tmp_path_factory.mktemp("lives")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def driver(lives_path: Path) -> Iterator[Driver]:
    """Plays the script in processes that die, on a disk that fails."""
    driver = Driver(lives_path)
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def undisturbed(driver: Driver) -> Run:
    """The script in one life; it counts the writes, and how often each point is reached."""
    run = driver.play("undisturbed")
    assert (run.deaths, run.endings, run.disturbed, run.refused) == (0, 0, 0, 0)
    assert run.calls == run.accepted
    books = run.outcome["books"]["gainsight"]
    assert (books["delivered"], books["parked"], books["pending"], books["dead"]) == (21, {"no_account": 1}, 0, 0)
    rows = run.outcome["held"][EVENTS]
    assert len(rows) == 12
    assert sum('"rows":7' in row for row in rows) == 2, "what waited for an account outlived the log"
    return run
