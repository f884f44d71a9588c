from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.shard_leases import LeasesUnderTest, ShardLeasesContract
from eventkernel.testing.contracts.snapshot_store import SnapshotStoreContract
from eventkernel.testing.contracts.stream_directory import StreamDirectoryContract
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.shard_leases import CassandraShardLeases
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import ManualClock

FEATURES = frozenset({Feature.DURABLE})
KEYSPACE = "simulated"
OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]


@pytest.fixture
async def journal(open_journal: Callable[[OpenSession, str], Awaitable[Journal]]) -> Journal:
    store = SimulatedStore(ManualClock())

    async def open_one() -> CqlSession:
        return SimulatedSession(store)

    return await open_journal(open_one, KEYSPACE)


@pytest.fixture
def snapshots() -> CassandraSnapshotStore:
    return CassandraSnapshotStore(SimulatedSession(SimulatedStore(ManualClock())), statements_of(KEYSPACE))


@pytest.fixture
def under_test() -> LeasesUnderTest:
    clock = ManualClock()
    store, statements = SimulatedStore(clock), statements_of(KEYSPACE)
    one, two = (CassandraShardLeases(SimulatedSession(store), statements, "context") for _ in range(2))
    return LeasesUnderTest(one, two, clock.advance)


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
