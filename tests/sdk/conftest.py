"""Fixtures of the tests with real SDKs."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.sdks import LIMITED_WRITE_KEY
from tests.support.system import WRITE_KEY, System


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole product, which the SDKs of one test process share."""
    sources = [
        {"name": "website", "writeKey": WRITE_KEY},
        {"name": "limited", "writeKey": LIMITED_WRITE_KEY, "limits": {"messagesPerSecond": 20}},
    ]
    system = System(tmp_path_factory.mktemp("product"), sources=sources)
    yield system.start()
    system.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Where foreign hosts are noted that an SDK tries to reach."""
    return tmp_path / "elsewhere"


@pytest.fixture
def who() -> str:
    """The beginning of every name in a test, which no other test has."""
    return f"u{uuid4().hex[:12]}"
