from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.view_advance import ViewAdvanceContract
from eventkernel.testing.contracts.view_catalogue import ViewCatalogueContract
from eventkernel.testing.contracts.view_reading import ViewReadingContract
from eventkernel.testing.contracts.view_store import ViewStoreContract
from eventkernel.testing.contracts.views import ViewsUnderTest
from eventkernel_sqlite.view_store import SqliteViewStore


class Opened:
    """One file opened twice, as two processes would, and again when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stores: list[SqliteViewStore] = []

    def open(self) -> ViewsUnderTest:
        one, two = SqliteViewStore(self._path), SqliteViewStore(self._path)
        self._stores += [one, two]
        return ViewsUnderTest(one, two, self.reopen)

    async def reopen(self) -> ViewsUnderTest:
        await self.close()
        return self.open()

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture
async def views(tmp_path: Path) -> AsyncIterator[ViewsUnderTest]:
    opened = Opened(tmp_path / "views.db")
    yield opened.open()
    await opened.close()


class TestSqliteViewStore(ViewStoreContract):
    features = frozenset({Feature.DURABLE})


class TestSqliteViewReading(ViewReadingContract):
    features = frozenset({Feature.DURABLE})


class TestSqliteViewAdvance(ViewAdvanceContract):
    pass


class TestSqliteViewCatalogue(ViewCatalogueContract):
    features = frozenset({Feature.DURABLE})
