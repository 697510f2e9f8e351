"""Time for tests moves only when told to."""

import asyncio
import threading

import pytest

from gainsight_destination.testing import START_MS, ManualClock


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before() -> None:
    """Whoever sleeps 10 s is still asleep after 9.999 s."""
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await settle()
    clock.advance(9.999)
    await settle()
    assert not sleeper.done()
    clock.advance(0.001)
    await sleeper
    assert clock.now_ms() == START_MS + 10_000


async def test_sleepers_wake_in_order_of_their_time() -> None:
    """One large step wakes several sleepers, the earliest first."""
    clock = ManualClock()
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2, 60)]
    await settle()
    assert clock.sleepers == 4
    clock.advance(3)
    await settle()
    assert woken == [1, 2, 3]
    assert clock.sleepers == 1
    clock.advance(57)
    await asyncio.gather(*tasks)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Cancelling a sleep leaves nothing behind, and the others still wake."""
    clock = ManualClock()
    first, second = asyncio.create_task(clock.sleep(5)), asyncio.create_task(clock.sleep(5))
    await settle()
    first.cancel()
    await settle()
    assert clock.sleepers == 1
    clock.advance(5)
    await second


async def test_nothing_to_wait_for_returns_without_advancing() -> None:
    """Sleeping for zero or less only lets others run."""
    clock = ManualClock()
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.now_ms() == START_MS


async def test_another_thread_may_advance_the_clock() -> None:
    """A sleeper in one event loop is woken by a thread outside of it."""
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(1))
    await settle()
    thread = threading.Thread(target=clock.advance, args=(1,))
    thread.start()
    await asyncio.wait_for(sleeper, 5)
    thread.join()


def test_time_does_not_go_back() -> None:
    """A negative step is refused."""
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)
