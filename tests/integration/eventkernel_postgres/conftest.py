"""A schema of its own for every test, and a server of its own for those that kill it."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest

from eventkernel_postgres.settings import PostgresSettings
from localstack import PostgresServer, Stack


@pytest.fixture
def settings(postgres_server: PostgresServer) -> Iterator[PostgresSettings]:
    """Of a schema that does not exist yet and is dropped in the end."""
    made = PostgresSettings(postgres_server.dsn(), schema=f"views_{uuid4().hex[:12]}")
    yield made
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE".encode())


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that the tests of one module may kill; each leaves it running."""
    with Stack(tmp_path_factory.mktemp("own") / "stack", services=["postgres"]) as stack:
        yield stack.postgres


@pytest.fixture
def sql(settings: PostgresSettings) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Runs a statement in the schema, past the adapter."""
    with psycopg.connect(settings.dsn, autocommit=True, options=f"-c search_path={settings.schema}") as connection:

        def run(text: str) -> list[tuple[object, ...]]:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

        yield run
