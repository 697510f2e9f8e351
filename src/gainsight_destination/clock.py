"""The only place that knows what time it is, so that tests decide it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time in Unix milliseconds, and waiting by it."""

    def now_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
