"""Stacks of these tests' own: they kill and freeze, which the servers of the run are spared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localstack import Stack
from localstack.settings import SERVICES, ServiceName

Up = Callable[..., Stack]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All three servers, for the tests of one module; each test leaves them running."""
    with Stack(tmp_path_factory.mktemp("whole") / "stack") as running:
        yield running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Starts a stack that belongs to one test alone."""
    made: list[Stack] = []

    def start(*services: ServiceName, nodes: int = 1) -> Stack:
        made.append(Stack(tmp_path / "stack", nodes, services or SERVICES))
        return made[-1].up()

    yield start
    for one in made:
        one.down()
