"""What one source may send, by the second and by the day."""

from gainsight_destination.ingest.allowance import Allowance
from gainsight_destination.workspace.model import SourceLimits

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def retry_of(allowance: Allowance, messages: int, size: int, now_ms: int) -> int | None:
    refusal = allowance.take(messages, size, now_ms)
    return refusal.retry_seconds if refusal else None


def test_a_full_second_may_come_at_once_and_no_more() -> None:
    """After that, messages are taken as fast as the limit says, and none are saved up beyond a second's."""
    allowance = Allowance(SourceLimits(messages_per_second=10))
    taken = [retry_of(allowance, 1, 0, NOON_MS) for _ in range(12)]
    assert taken == [None] * 10 + [1, 1]
    assert [retry_of(allowance, 1, 0, NOON_MS + 300) for _ in range(4)] == [None] * 3 + [1]
    assert [retry_of(allowance, 1, 0, NOON_MS + 60_000) for _ in range(11)] == [None] * 10 + [1]


def test_a_batch_larger_than_a_second_has_its_turn() -> None:
    """It is taken when anything is left, and paid for afterwards."""
    allowance = Allowance(SourceLimits(messages_per_second=10))
    assert retry_of(allowance, 105, 0, NOON_MS) is None
    assert retry_of(allowance, 1, 0, NOON_MS) == 10
    assert retry_of(allowance, 1, 0, NOON_MS + 9_500) == 1
    assert retry_of(allowance, 1, 0, NOON_MS + 9_600) is None


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Nor does it take anything away."""
    allowance = Allowance(SourceLimits(messages_per_second=2))
    assert [retry_of(allowance, 1, 0, NOON_MS - n * 1_000) for n in range(3)] == [None, None, 1]


def test_a_day_ends_at_midnight_utc() -> None:
    """What came today counts, also what came before a restart; the day after begins with nothing."""
    allowance = Allowance(SourceLimits(megabytes_per_day=2))
    allowance.know_day(NOON_MS, 1_500_000)
    assert retry_of(allowance, 1, 400_000, NOON_MS) is None
    assert retry_of(allowance, 1, 400_000, NOON_MS) is None
    assert retry_of(allowance, 1, 1, NOON_MS) == 300
    assert retry_of(allowance, 1, 1, NOON_MS + DAY_MS // 2 - 10_000) == 10
    assert retry_of(allowance, 1, 1, NOON_MS + DAY_MS // 2) is None


def test_what_was_refused_is_not_spent() -> None:
    """Neither limit is charged for a request that the other refuses."""
    allowance = Allowance(SourceLimits(messages_per_second=1, megabytes_per_day=1))
    assert retry_of(allowance, 1, 0, NOON_MS) is None
    assert retry_of(allowance, 1, 2_000_000, NOON_MS) == 1
    assert retry_of(allowance, 1, 0, NOON_MS + 1_000) is None
