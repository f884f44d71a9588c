from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest

from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.view_advance import ViewAdvanceContract
from eventkernel.testing.contracts.view_catalogue import ViewCatalogueContract
from eventkernel.testing.contracts.view_reading import ViewReadingContract
from eventkernel.testing.contracts.view_store import ViewStoreContract
from eventkernel.testing.contracts.views import ViewsUnderTest
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import PostgresServer


class Opened:
    """One schema opened twice, as two processes would, and again when asked to."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._stores: list[PostgresViewStore] = []

    async def open(self) -> ViewsUnderTest:
        one, two = await PostgresViewStore.open(self._settings), await PostgresViewStore.open(self._settings)
        self._stores += [one, two]
        return ViewsUnderTest(one, two, self.reopen)

    async def reopen(self) -> ViewsUnderTest:
        await self.close()
        return await self.open()

    async def close(self) -> None:
        while self._stores:
            await self._stores.pop().close()


@pytest.fixture
async def views(postgres_server: PostgresServer) -> AsyncIterator[ViewsUnderTest]:
    settings = PostgresSettings(postgres_server.dsn(), schema=f"views_{uuid4().hex[:12]}")
    opened = Opened(settings)
    yield await opened.open()
    await opened.close()
    async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())


class TestPostgresViewStore(ViewStoreContract):
    features = frozenset({Feature.DURABLE})


class TestPostgresViewReading(ViewReadingContract):
    features = frozenset({Feature.DURABLE})


class TestPostgresViewAdvance(ViewAdvanceContract):
    pass


class TestPostgresViewCatalogue(ViewCatalogueContract):
    features = frozenset({Feature.DURABLE})
