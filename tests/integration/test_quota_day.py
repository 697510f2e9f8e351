"""P6 through a day: our share of Gainsight's quota against its strict fixed windows, restarts and other callers.

Gainsight here is a small tenant, so that a day of it takes seconds: 5 calls a minute, of which 3 are ours, and 800 a
day, of which 300 are ours. Others take what they like. A refusal of ours is *avoidable* when, in the minute and in
the day of Gainsight's clock in which it came, what others got and our whole share together fit into its limits.
"""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.support.pipeline import ACCESS_KEY, DAY_MS, identify, track
from tests.support.soak import SOAK
from tests.support.virtual import TENANT, WRITE_KEY, Step, VirtualProduct, workspace

from gainsight_destination.testing import ManualClock

MINUTE_MS: Final = 60_000
PER_MINUTE, PER_DAY = 3, 300
TENANT_PER_MINUTE, TENANT_PER_DAY = 5, 800
OTHERS_PATH: Final = "/v1/meta/services/objects/list"
MIDNIGHT_MS: Final = 1_800_057_600_000
HOURS: Final = 26
BUSY_HOURS: Final = (0, 1, 2, 3, 24)


class CrashError(BaseException):
    """The process ends here."""


class SkewedClock:
    """Gainsight's clock, which differs from ours."""

    def __init__(self, ours: ManualClock, skew_ms: int) -> None:
        self._ours = ours
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._ours.now_ms() + self._skew_ms

    async def sleep(self, seconds: float) -> None:
        await self._ours.sleep(seconds)


class SlowNetwork(httpx.ASGITransport):
    """A call takes time to arrive and to be answered; now and then the process dies before the one or the other."""

    def __init__(self, product: VirtualProduct, dice: random.Random) -> None:
        super().__init__(product.tenant)
        self._clock = product.clock
        self._dice = dice
        self.lost: Counter[int] = Counter()
        """Calls that were entered in the ledger and never sent, by our minute."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._dice.random() < 0.01:
            self.lost[self._clock.now_ms() // MINUTE_MS] += 1
            raise CrashError
        self._clock.advance(self._dice.uniform(0, 0.3))
        answer = await super().handle_async_request(request)
        if self._dice.random() < 0.01:
            raise CrashError
        self._clock.advance(self._dice.uniform(0, 1))
        return answer


class Day:
    """A product, what is sent to it, and who else calls Gainsight."""

    def __init__(self, directory: Path, skew_ms: int, seed: int) -> None:
        self.dice = random.Random(seed)
        self.directory = directory
        self.clock = ManualClock(0)
        self.skew_ms = skew_ms
        self.sent = 0
        self.restarts = 0

    async def __aenter__(self) -> "Day":
        self.product = VirtualProduct(self.directory)
        self.clock = self.product.clock
        self.product.tenant.state.sandbox.clock = SkewedClock(self.clock, self.skew_ms)
        self.clock.advance((MIDNIGHT_MS - self.clock.now_ms()) / 1000)
        limits = {"calls_per_minute": TENANT_PER_MINUTE, "calls_per_day": TENANT_PER_DAY}
        await self.product.control("switches", method="PUT", body=limits)
        self.network = SlowNetwork(self.product, self.dice)
        self.product.network = self.network
        self.others = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.product.tenant), base_url=TENANT, headers={"accesskey": ACCESS_KEY}
        )
        self.one, _ = await self.product.accounts()
        await self.product.start()
        await self.product._apply(Step("apply", workspace(callsPerMinute=PER_MINUTE, callsPerDay=PER_DAY)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.others.aclose()
        await self.product.stop()

    async def run(self) -> None:
        """The hours of the day, and of the next until everything has arrived."""
        for minute in range(HOURS * 60):
            start_ms = MIDNIGHT_MS + minute * MINUTE_MS
            await self._minute(start_ms, minute // 60)
            if self.dice.random() < 0.02:
                await self.restart()

    async def _minute(self, start_ms: int, hour: int) -> None:
        due: list[tuple[int, str]] = []
        if hour in BUSY_HOURS:
            greedy = hour % 2  # others then take all that they can, before our minute begins
            most, within_ms = (TENANT_PER_MINUTE, 2_000) if greedy else (TENANT_PER_MINUTE - PER_MINUTE, MINUTE_MS)
            for _ in range(self.dice.randint(0, most)):
                due.append((start_ms - self.skew_ms + self.dice.randrange(within_ms), "others"))
            due += [(start_ms + second * 1_000, "messages") for second in (5, 20, 40)]
        for at_ms, what in [*sorted(due), (start_ms + MINUTE_MS, "")]:
            await self._deliver_until(at_ms)
            if what == "others":
                await self.others.get(OTHERS_PATH)
            elif what:
                await self._send()

    async def _send(self) -> None:
        self.sent += 1
        user = f"u{self.sent % 4}"
        messages: list[Mapping[str, Any]] = [
            {**track(user, f"Event {self.sent % 3}", properties={"accountId": self.one}), "messageId": f"t{self.sent}"},
            {
                **identify(user, {"email": f"{user}@x.test", "lastName": f"No {self.sent}"}),
                "messageId": f"i{self.sent}",
            },
        ]
        answer = await self.product.senders.post("/v1/batch", json={"batch": messages}, auth=(WRITE_KEY, ""))
        assert answer.status_code == 200
        await self.product.engine.resolve()

    async def _deliver_until(self, end_ms: int) -> None:
        while self.clock.now_ms() < end_ms:
            try:
                wait_ms = await self.product.engine.deliver()
            except CrashError:
                await self.restart()
                continue
            self.clock.advance(min(wait_ms, max(0, end_ms - self.clock.now_ms())) / 1000)

    async def restart(self) -> None:
        """Nothing is remembered but what is on disk."""
        self.restarts += 1
        await self.product.senders.aclose()
        await self.product.commits.close()
        self.product.log.close()
        await self.product.engine.close()
        await self.product.start()

    # -- what Gainsight saw

    async def windows(self) -> tuple[dict[str, Counter[int]], dict[str, Counter[int]]]:
        """Calls by who made them and whether they were refused, in minutes and in days of Gainsight's clock."""
        minutes: dict[str, Counter[int]] = {name: Counter() for name in ("ours", "refused", "others")}
        days: dict[str, Counter[int]] = {name: Counter() for name in minutes}
        for call in (await self.product.control("calls?limit=100000"))["calls"]:
            accepted = call["status"] != 429
            whose = ("others" if accepted else "") if call["path"].startswith(OTHERS_PATH) else "ours"
            for name in {whose, "" if accepted or whose != "ours" else "refused"} - {""}:
                minutes[name][call["at_ms"] // MINUTE_MS] += 1
                days[name][call["at_ms"] // DAY_MS] += 1
        return minutes, days


@pytest.mark.soak
@pytest.mark.parametrize("skew_ms", [-1_500, 0, 1_500] if SOAK else [-1_500, 1_500])
async def test_a_day_of_the_quota(skew_ms: int, memory_path: Path) -> None:
    """Never over our share in any minute or day of Gainsight's clock, no avoidable refusal, and a true ledger."""
    async with Day(memory_path, skew_ms, seed=7) as day:
        await day.run()
        minutes, days = await day.windows()
        document = await day.product.engine.status()
        ledger = await day.product.engine.ledger()
    today = MIDNIGHT_MS // DAY_MS
    assert max(minutes["ours"].values()) == PER_MINUTE, "the share of the minute was used up, and never exceeded"
    assert days["ours"][today] + sum(n for m, n in day.network.lost.items() if m * MINUTE_MS // DAY_MS == today) == (
        PER_DAY
    ), "the share of the day was used up, and never exceeded"
    assert max(days["ours"].values()) <= PER_DAY
    assert 0 < days["ours"][today + 1] < PER_DAY
    avoidable = [
        minute
        for minute in minutes["refused"]
        if minutes["others"][minute] + PER_MINUTE <= TENANT_PER_MINUTE
        and days["others"][minute * MINUTE_MS // DAY_MS] + PER_DAY <= TENANT_PER_DAY
    ]
    assert avoidable == []
    assert minutes["refused"].total() > 10, "others took so much that some refusals could not be avoided"
    assert max(minutes["refused"].values()) == 1, "a refusal is waited out until the next minute"
    assert ledger == minutes["ours"] + day.network.lost
    assert day.restarts > 20
    books = document["destinations"]["gainsight"]
    assert (books["pending"], books["dead"], books["pauses"]) == (0, 0, [])
    assert books["delivered"] == 2 * day.sent
