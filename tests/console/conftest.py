"""The console over a real store, asked without a network; a manual clock."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.console import Caller, Place

from gainsight_destination.access.roles import Role


@pytest.fixture
def place(memory_path: Path) -> Iterator[Place]:
    """An installation in which nobody has an account."""
    made = Place(memory_path)
    yield made
    made.close()


@pytest.fixture
async def stranger(place: Place) -> AsyncIterator[Caller]:
    """A browser whose user is not signed in."""
    async with place.caller() as caller:
        yield caller


@pytest.fixture
async def admin(place: Place) -> AsyncIterator[Caller]:
    async with place.signed_in(Role.ADMIN) as caller:
        yield caller


@pytest.fixture
async def editor(place: Place) -> AsyncIterator[Caller]:
    async with place.signed_in(Role.EDITOR) as caller:
        yield caller


@pytest.fixture
async def viewer(place: Place) -> AsyncIterator[Caller]:
    async with place.signed_in(Role.VIEWER) as caller:
        yield caller
