"""Fixtures of the tests in which processes die and disks fail."""

from collections.abc import Iterator

import pytest
from tests.support.driver import Driver, Run
from tests.support.memory import directory_in_memory
from tests.support.virtual import EVENTS


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """Plays the script in processes that die, on a disk that fails."""
    with directory_in_memory() as directory:
        driver = Driver(directory)
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
