"""Fixtures that several test files share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.memory import directory_in_memory
from tests.support.pipeline import Pipeline
from tests.support.soak import SOAK
from tests.support.system import System

pytest.register_assert_rewrite("tests.support.edge_cases")
settings.register_profile("usual", deadline=None, print_blob=True)
settings.register_profile("soak", parent=settings.get_profile("usual"), max_examples=4_000)
settings.load_profile("soak" if SOAK else "usual")


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Pipelines in directories of their own, closed at the end."""
    made: list[Pipeline] = []

    def make(**settings: Any) -> Pipeline:
        directory = tmp_path / f"pipeline-{len(made)}"
        directory.mkdir()
        made.append(Pipeline(directory, **settings))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory of the test's own, in memory."""
    with directory_in_memory() as path:
        yield path


@pytest.fixture
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline()


@pytest.fixture
def make_system(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Running systems, stopped at the end."""
    made: list[System] = []

    def make(**settings: Any) -> System:
        directory = tmp_path / f"system-{len(made)}"
        directory.mkdir()
        made.append(System(directory, **settings))
        return made[-1].start()

    yield make
    for system in made:
        system.stop()
