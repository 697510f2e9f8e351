"""For tests, the product's own and those of people who build on it: time that moves only when told to."""

import asyncio
import heapq
import threading
from dataclasses import dataclass, field
from typing import Final

START_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z: the first instant of a minute, a day and a year."""


@dataclass(order=True)
class Sleeper:
    """Somebody who waits until `due_ms`; of equal times the first to sleep wakes first."""

    due_ms: int
    number: int
    woken: "asyncio.Future[None]" = field(compare=False)

    def wake(self) -> None:
        """End the sleep, in the event loop of the sleeper."""
        loop = self.woken.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class ManualClock:
    """A clock that stands still until `advance` is called. Safe for many sleepers, in any thread and event loop."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._sleepers: list[Sleeper] = []
        self._count = 0
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds`; nothing to wait for still lets others run once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._count += 1
            sleeper = Sleeper(self._now_ms + round(seconds * 1_000), self._count, woken)
            heapq.heappush(self._sleepers, sleeper)
        try:
            await woken
        finally:
            self._forget(sleeper)

    def advance(self, seconds: float) -> None:
        """Move time forward and wake, in order of their time, all whose sleep has ended."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._now_ms += round(seconds * 1_000)
            due = []
            while self._sleepers and self._sleepers[0].due_ms <= self._now_ms:
                due.append(heapq.heappop(self._sleepers))
        for sleeper in due:
            sleeper.wake()

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return len(self._sleepers)

    def _forget(self, sleeper: Sleeper) -> None:
        with self._lock:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
