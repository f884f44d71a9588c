"""The program as a user runs it: child processes on free ports and own folders, waited for by their `ready` line."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from bootstrap.cli.demo import SAMPLE
from bootstrap.testing.calls import Caller, caller
from bootstrap.testing.grounds import Ground, place_on
from bootstrap.testing.program import Child, Erx
from localstack import CassandraNode, KafkaBroker, PostgresServer

Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def erx(tmp_path: Path) -> Iterator[Erx]:
    """Starts the program; what still runs at the end of the test is killed."""
    folder = tmp_path / "run"
    folder.mkdir()
    started = Erx(folder)
    yield started
    started.close()


@pytest.fixture(scope="module")
def place(cassandra_server: CassandraNode, kafka_server: KafkaBroker, postgres_server: PostgresServer) -> Iterator[Any]:
    """Settings that lead to a place of a file's own on the real servers; tests there keep to a tenant of their own."""
    with place_on(cassandra_server, kafka_server, postgres_server) as variables:
        yield variables


@pytest.fixture(params=["embedded", pytest.param("stack", marks=pytest.mark.stack)])
def ground(request: pytest.FixtureRequest, erx: Erx, data_dir: Path) -> Ground:
    """Each kind of store that the program runs on."""
    variables = request.getfixturevalue("place") if request.param == "stack" else {}
    return Ground(request.param, erx, data_dir, variables)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One server of all roles for tests that keep to a tenant of their own and let it live."""
    folder = tmp_path_factory.mktemp("shared")
    started = Erx(folder)
    yield started.serve(folder / "data")
    started.close()


@pytest.fixture
def tenant() -> str:
    """A tenant that nobody has used."""
    return f"t-{uuid4().hex}"


@pytest.fixture
def calling(shared: Child, tenant: str) -> Calling:
    """``async with calling() as caller``: calls of the shared server as the test's tenant, or another."""

    def make(other_tenant: str = "") -> AbstractAsyncContextManager[Caller]:
        return caller(shared.address("command"), shared.address("query"), tenant=other_tenant or tenant)

    return make


@pytest.fixture(scope="session")
def sample() -> Path:
    """The Synthea export that the program brings along."""
    return SAMPLE


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of input files."""
    return Path(__file__).parents[1] / "data"
