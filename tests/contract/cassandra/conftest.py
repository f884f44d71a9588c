import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeAlias
from uuid import uuid4

import pytest

from eventkernel.testing.contracts.journal import Journal
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import SystemClock
from localstack import CassandraNode

LAYOUT = Layout(bucket_events=256, shard_count=16)
OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]


@pytest.fixture(scope="module")
def keyspace(cassandra_server: CassandraNode) -> Iterator[str]:
    """A keyspace of the module's own, dropped afterwards."""
    name = f"contract_{uuid4().hex}"

    async def with_session(drop: bool) -> None:
        session = await open_session(settings_of(cassandra_server), "cassandra-driver")
        if drop:
            await session.define(f"DROP KEYSPACE {name}")
        else:
            await migrate(session, name, LAYOUT, SystemClock())
        await session.close()

    asyncio.run(with_session(drop=False))
    yield name
    asyncio.run(with_session(drop=True))


@pytest.fixture
async def open_real(driver: Driver, cassandra_server: CassandraNode) -> AsyncIterator[OpenSession]:
    """Opens sessions of the driver under test; they are closed after the test."""
    opened: list[CqlSession] = []

    async def open_one() -> CqlSession:
        opened.append(await open_session(settings_of(cassandra_server), driver))
        return opened[-1]

    yield open_one
    for session in opened:
        await session.close()


@pytest.fixture
def open_journal() -> Callable[[OpenSession, str], Awaitable[Journal]]:
    """Opens the journal over a session twice, as two processes would, and again when asked to."""

    async def open_it(open_one: OpenSession, keyspace: str) -> Journal:
        one, two = await open_one(), await open_one()
        statements, clock = statements_of(keyspace), SystemClock()
        pace = Pace(look_seconds_max=0.0)
        store = CassandraEventStore(one, statements, LAYOUT, clock)

        async def reopen() -> Journal:
            await one.close()
            await two.close()
            return await open_it(open_one, keyspace)

        return Journal(
            store,
            CassandraEventStore(two, statements, LAYOUT, clock),
            CassandraOutbox(one, statements, LAYOUT, clock, pace=pace),
            CassandraOutbox(two, statements, LAYOUT, clock, pace=pace),
            CassandraStreamDirectory(two, statements, LAYOUT),
            LAYOUT.shard_count,
            reopen,
        )

    return open_it


def settings_of(server: CassandraNode) -> ConnectionSettings:
    return ConnectionSettings((server.endpoint.host,), server.endpoint.port)
