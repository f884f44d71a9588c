from collections.abc import AsyncIterator

import pytest

from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.shard_leases import LeasesUnderTest, ShardLeasesContract
from eventkernel.testing.contracts.snapshot_store import SnapshotStoreContract
from eventkernel.testing.contracts.stream_directory import StreamDirectoryContract
from eventkernel_memory.clock import ManualClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox
from eventkernel_memory.shard_leases import MemoryShardLeases
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.stream_directory import MemoryStreamDirectory

SHARDS = 16
FEATURES = frozenset({Feature.ORDERED_OUTBOX, Feature.EXACT_OUTBOX})


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    state = MemoryJournal()
    store, peer = MemoryEventStore(state), MemoryEventStore(state)
    outbox, rival = MemoryOutbox(state, SHARDS), MemoryOutbox(state, SHARDS)
    yield Journal(store, peer, outbox, rival, MemoryStreamDirectory(state), SHARDS)
    await store.close()
    await peer.close()


@pytest.fixture
def snapshots() -> MemorySnapshotStore:
    return MemorySnapshotStore()


@pytest.fixture
def under_test() -> LeasesUnderTest:
    clock = ManualClock()
    leases = MemoryShardLeases(clock)
    return LeasesUnderTest(leases, leases, clock.advance)


class TestEventStore(EventStoreContract):
    features = FEATURES


class TestOutbox(OutboxContract):
    features = FEATURES


class TestStreamDirectory(StreamDirectoryContract):
    features = FEATURES


class TestSnapshotStore(SnapshotStoreContract):
    features = FEATURES


class TestShardLeases(ShardLeasesContract):
    features = FEATURES
