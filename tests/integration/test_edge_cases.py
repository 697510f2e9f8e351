"""What a server has to decide: every request of tests/data/edge_cases, over HTTP, into the log, to the resolver."""

from collections.abc import Iterator

import pytest
from tests.support.edge_cases import OF_SEGMENT, Port, cases, number_of, running_port


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with running_port() as port:
        yield port


@pytest.mark.parametrize("name", cases())
def test_edge_case(name: str, port: Port) -> None:
    """Each case is answered, kept, read and counted as its file says."""
    port.run(cases()[name])


def test_every_case_is_there() -> None:
    """The 95 questions are all decided, and each once."""
    numbers = [number_of(name) for name in cases()]
    assert numbers[: len(OF_SEGMENT)] == list(OF_SEGMENT)
    assert len(numbers) == len(set(numbers))
