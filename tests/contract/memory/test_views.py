import pytest

from eventkernel.testing.contracts.view_advance import ViewAdvanceContract
from eventkernel.testing.contracts.view_catalogue import ViewCatalogueContract
from eventkernel.testing.contracts.view_reading import ViewReadingContract
from eventkernel.testing.contracts.view_store import ViewStoreContract
from eventkernel.testing.contracts.views import ViewsUnderTest
from eventkernel_memory.view_store import MemoryViewStore


@pytest.fixture
def views() -> ViewsUnderTest:
    store = MemoryViewStore()
    return ViewsUnderTest(store, store)


class TestMemoryViewStore(ViewStoreContract):
    pass


class TestMemoryViewReading(ViewReadingContract):
    pass


class TestMemoryViewAdvance(ViewAdvanceContract):
    pass


class TestMemoryViewCatalogue(ViewCatalogueContract):
    pass
