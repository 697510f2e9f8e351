"""The process dies at a named point: after its next start it ends where the undisturbed run ends (P1, P2, P3, P6)."""

import pytest
from tests.support.crash_points import POINTS
from tests.support.driver import Driver, Run
from tests.support.soak import spread

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3_600)]


@pytest.mark.parametrize("point", POINTS)
def test_the_process_dies_there(point: str, driver: Driver, undisturbed: Run) -> None:
    """Killed when it comes to the point for the nth time: state and books end as if nothing had happened."""
    about = undisturbed.reached[point]
    first_of_each_kind = {about.index(what) + 1 for what in about}
    for nth in sorted({*first_of_each_kind, *spread(len(about), 2)}):
        run = driver.play(f"{point}-{nth}", point=point, nth=nth)
        assert (run.deaths, run.endings) == (1, 0), (nth, run.log[-4000:])
        run.assert_same_as(undisturbed, nth)


@pytest.mark.parametrize("point", POINTS)
def test_every_life_dies_there(point: str, driver: Driver, undisturbed: Run) -> None:
    """Killed at the point again and again: what one life got done the next does not lose."""
    run = driver.play(f"{point}-every", point=point, nth=2, every=True)
    assert (run.deaths > 0, run.endings) == (len(undisturbed.reached[point]) > 1, 0), run.log[-4000:]
    run.assert_same_as(undisturbed, point)
