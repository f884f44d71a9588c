import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import uuid4

import pytest

from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.shard_leases import LeasesUnderTest, ShardLeasesContract
from eventkernel.testing.contracts.snapshot_store import SnapshotStoreContract
from eventkernel.testing.contracts.stream_directory import StreamDirectoryContract
from eventkernel_cassandra.connect import Driver
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.shard_leases import CassandraShardLeases
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import statements_of

FEATURES = frozenset({Feature.DURABLE})
OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]


@pytest.fixture(params=["acsylla", "cassandra-driver"])
def driver(request: pytest.FixtureRequest) -> Driver:
    name: Driver = request.param
    return name


@pytest.fixture
async def journal(
    open_real: OpenSession, keyspace: str, open_journal: Callable[[OpenSession, str], Awaitable[Journal]]
) -> Journal:
    return await open_journal(open_real, keyspace)


@pytest.fixture
async def snapshots(open_real: OpenSession, keyspace: str) -> CassandraSnapshotStore:
    return CassandraSnapshotStore(await open_real(), statements_of(keyspace))


@pytest.fixture
async def under_test(open_real: OpenSession, keyspace: str) -> LeasesUnderTest:
    context, statements = uuid4().hex, statements_of(keyspace)
    one, two = await open_real(), await open_real()
    # The time of leases is the server's own, which only passes.
    leases, peer = CassandraShardLeases(one, statements, context), CassandraShardLeases(two, statements, context)
    return LeasesUnderTest(leases, peer, asyncio.sleep, ttl_seconds=5.0)


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
