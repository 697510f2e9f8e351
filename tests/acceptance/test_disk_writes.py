"""Any one write to the disk fails, or is the last thing that the process does (P1, P2, P3, P6, P8)."""

from typing import Any

import pytest
from tests.support.disk import Action
from tests.support.driver import Driver, Run
from tests.support.soak import spread

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7_200)]

SAMPLE = 7

FAILURES: dict[str, dict[str, Any]] = {
    "the disk is full": {"action": Action.FAIL, "error": "ENOSPC"},
    "the disk is full for a while": {"action": Action.FAIL, "error": "ENOSPC", "times": 20},
    "the disk is broken": {"action": Action.FAIL, "error": "EIO"},
    "the disk is broken for a while": {"action": Action.FAIL, "error": "EIO", "times": 20},
}
DEATHS: dict[str, dict[str, Any]] = {
    "before it": {"action": Action.DIE_BEFORE},
    "halfway": {"action": Action.DIE_HALFWAY},
    "after it": {"action": Action.DIE_AFTER},
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_write_fails(failure: str, driver: Driver, undisturbed: Run) -> None:
    """The nth write fails: the product goes on by itself, and ends where it would have ended."""
    for nth in spread(undisturbed.writes, SAMPLE, turn=list(FAILURES).index(failure) / len(FAILURES)):
        run = driver.play(f"{failure}-{nth}", nth_write=nth, **FAILURES[failure])
        assert run.disturbed > 0
        assert run.deaths == 0, (nth, run.log[-4000:])
        assert run.endings == 0 or nth <= undisturbed.writes_at_start, (nth, run.what, run.log[-4000:])
        assert "stumbles" not in run.log, (nth, run.what, run.log[-4000:])
        run.assert_same_as(undisturbed, nth)


@pytest.mark.parametrize("death", DEATHS)
def test_a_write_is_the_last(death: str, driver: Driver, undisturbed: Run) -> None:
    """The process is killed at its nth write: after its next start it ends where it would have ended."""
    for nth in spread(undisturbed.writes, SAMPLE, turn=list(DEATHS).index(death) / len(DEATHS)):
        run = driver.play(f"{death}-{nth}", nth_write=nth, **DEATHS[death])
        assert (run.deaths, run.endings) == (1, 0), (nth, run.log[-4000:])
        run.assert_same_as(undisturbed, nth)
