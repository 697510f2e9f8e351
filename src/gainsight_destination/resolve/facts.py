"""Dated facts and the one rule that decides between them.

The as-of rule: of dated facts, the one in force at time t is the newest that is not younger than t, else (t came
before all of them) the oldest. Of facts with one date, the greater message id wins, by code point.
"""

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import Final, NamedTuple

EVER_MS: Final = -(1 << 62)
NEVER_MS: Final = 1 << 62


class Fact(NamedTuple):
    """Something that `message_id` said at `at_ms`. Facts sort by the as-of rule; `value` is an interned id.

    `rank` decides between facts of one message.
    """

    at_ms: int
    message_id: str
    rank: int
    value: int


class Interval(NamedTuple):
    """A stretch of time, `from_ms` inclusive, `until_ms` exclusive."""

    from_ms: int
    until_ms: int

    def overlap(self, other: "Interval") -> "Interval | None":
        from_ms, until_ms = max(self.from_ms, other.from_ms), min(self.until_ms, other.until_ms)
        return Interval(from_ms, until_ms) if from_ms < until_ms else None


ALWAYS: Final = Interval(EVER_MS, NEVER_MS)

_date = itemgetter(0)


def in_force(facts: list[Fact], at_ms: int) -> Fact | None:
    """The fact in force at `at_ms`; `facts` are sorted."""
    if not facts:
        return None
    newest = facts[-1]
    if newest.at_ms <= at_ms:  # so it is for most messages: they come as they happen
        return newest
    return facts[bisect_right(facts, max(at_ms, facts[0].at_ms), key=_date) - 1]


def learn(facts: list[Fact], fact: Fact) -> Interval | None:
    """Add a fact to sorted facts; the interval in which another value is in force than before, if there is one."""
    before = in_force(facts, fact.at_ms)
    insort(facts, fact)
    after = bisect_right(facts, fact.at_ms, key=_date)
    if facts[after - 1] != fact or (before is not None and before.value == fact.value):
        return None
    return Interval(
        EVER_MS if facts[0].at_ms == fact.at_ms else fact.at_ms,
        facts[after].at_ms if after < len(facts) else NEVER_MS,
    )


def intervals_of(facts: list[Fact], chosen: list[Fact]) -> list[Interval]:
    """When one of some chosen facts is in force: the maximal intervals, in order; both lists are sorted."""
    found: list[Interval] = []
    for fact in chosen:
        index = bisect_left(facts, fact)
        if index + 1 < len(facts) and facts[index + 1].at_ms == fact.at_ms:
            continue
        from_ms = EVER_MS if fact.at_ms == facts[0].at_ms else fact.at_ms
        until_ms = facts[index + 1].at_ms if index + 1 < len(facts) else NEVER_MS
        if found and found[-1].until_ms == from_ms:
            from_ms = found.pop().from_ms
        found.append(Interval(from_ms, until_ms))
    return found
