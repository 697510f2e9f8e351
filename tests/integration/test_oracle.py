"""What Gainsight ends up with, and how the books read, is what the oracle says, whatever the way there."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.oracle_runs import calls_at_sandbox, run_at_sandbox, run_one_by_one, run_without_sandbox
from tests.support.stories import Story, disturbed_order, stories, story_of

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7_200)]
MORE = settings.default.max_examples // 100
"""How many times as much as usual in a soak."""
SEEDS = st.one_of(st.none(), *[st.integers(0, 2**16)] * 3)
"""Without one, in order and undisturbed: then Gainsight holds nothing that was right for a while only."""
KEPT = sorted((Path(__file__).parents[1] / "data" / "oracle").glob("*.json"))


@settings(max_examples=120 * MORE)
@given(stories(longest=14), st.integers(0, 2**16))
def test_drafts_are_what_the_oracle_says(story: Story, seed: int) -> None:
    """P2, P4, P5: messages in any order, split, repeated and with restarts give the records and books they should."""
    chance = random.Random(seed)
    for _ in range(2):
        assert run_without_sandbox(story, disturbed_order(story, chance), chance) == []


@settings(max_examples=40 * MORE)
@given(stories(longest=14), SEEDS)
def test_gainsight_holds_what_the_oracle_says(story: Story, seed: int | None) -> None:
    """P2 to P6: the same at the sandbox, delivered in between and with faults on the way."""
    assert run_at_sandbox(story, seed) == []


@settings(max_examples=5 * MORE)
@given(stories(longest=14), SEEDS)
def test_the_same_story_gives_the_same_requests(story: Story, seed: int | None) -> None:
    """P10: same messages, settings, clock and disturbances: the same calls, in the same order, with the same bodies."""
    assert calls_at_sandbox(story, seed) == calls_at_sandbox(story, seed)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_story_that_once_went_wrong(path: Path) -> None:
    """Each kept story, in its order and disturbed, and one message after the other."""
    story = story_of(json.loads(path.read_text()))
    order = list(range(len(story.messages)))
    assert run_without_sandbox(story, order, None) == []
    assert run_one_by_one(story, settled=False) == []
    assert run_one_by_one(story, settled=True) == []
    assert run_at_sandbox(story, None) == []
    for seed in range(2 * MORE):
        chance = random.Random(seed)
        assert run_without_sandbox(story, disturbed_order(story, chance), chance) == []
        assert run_at_sandbox(story, seed) == []
