"""The adapters that inject faults are adapters: each passes the suite of its port."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from eventkernel.testing.contracts.bus import BusUnderTest
from eventkernel.testing.contracts.event_bus import EventBusContract
from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.view_reading import ViewReadingContract
from eventkernel.testing.contracts.view_store import ViewStoreContract
from eventkernel.testing.contracts.views import ViewsUnderTest
from eventkernel.testing.faulty import (
    Faults,
    FaultyEventStore,
    FaultyOutbox,
    FaultyPublisher,
    FaultySubscription,
    FaultyViewStore,
)
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox
from eventkernel_memory.stream_directory import MemoryStreamDirectory
from eventkernel_memory.view_store import MemoryViewStore

SHARDS = 16


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    state = MemoryJournal()
    faults = Faults(7, append_lost=0.1, append_stored=0.1, append_late=0.1)
    store, peer = (FaultyEventStore(MemoryEventStore(state), faults) for _ in range(2))
    outbox, rival = (FaultyOutbox(MemoryOutbox(state, SHARDS), Faults()) for _ in range(2))
    yield Journal(store, peer, outbox, rival, MemoryStreamDirectory(state), SHARDS)
    await store.close()
    await peer.close()


@pytest.fixture
def views() -> ViewsUnderTest:
    store = FaultyViewStore(MemoryViewStore(), Faults())
    return ViewsUnderTest(store, store)


@pytest.fixture
def bus() -> BusUnderTest:
    shared = MemoryBus()

    async def create_topic(partitions: int) -> str:
        name = f"topic-{uuid4().hex}"
        await shared.create_topic(name, partitions)
        return name

    return BusUnderTest(
        FaultyPublisher(MemoryEventPublisher(shared), Faults()),
        FaultyPublisher(MemoryEventPublisher(shared), Faults()),
        MemoryBusTail(shared),
        create_topic,
        lambda group, topic: FaultySubscription(MemoryEventSubscription(shared, group, [topic]), Faults()),
    )


class TestFaultyEventStore(EventStoreContract):
    features = frozenset({Feature.ORDERED_OUTBOX})


class TestFaultyOutbox(OutboxContract):
    features = frozenset({Feature.ORDERED_OUTBOX, Feature.EXACT_OUTBOX})


class TestFaultyViewStore(ViewStoreContract):
    pass


class TestFaultyViewReading(ViewReadingContract):
    pass


class TestFaultyBus(EventBusContract):
    pass
