import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeAlias
from uuid import uuid4

import pytest

from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_memory.clock import SystemClock
from localstack import CassandraNode

OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]


@pytest.fixture
def layout() -> Layout:
    return Layout(bucket_events=64, shard_count=4)


@pytest.fixture(params=["acsylla", "cassandra-driver"])
def driver(request: pytest.FixtureRequest) -> Driver:
    name: Driver = request.param
    return name


@pytest.fixture
def settings(cassandra_server: CassandraNode) -> ConnectionSettings:
    return ConnectionSettings((cassandra_server.endpoint.host,), cassandra_server.endpoint.port)


@pytest.fixture(scope="module")
def keyspace(cassandra_server: CassandraNode) -> Iterator[str]:
    """A keyspace of the module's own, dropped afterwards."""
    name = f"integration_{uuid4().hex}"
    endpoint = cassandra_server.endpoint

    async def with_session(drop: bool) -> None:
        session = await open_session(ConnectionSettings((endpoint.host,), endpoint.port), "cassandra-driver")
        if drop:
            await session.define(f"DROP KEYSPACE {name}")
        else:
            await migrate(session, name, Layout(bucket_events=64, shard_count=4), SystemClock())
        await session.close()

    asyncio.run(with_session(drop=False))
    yield name
    asyncio.run(with_session(drop=True))


@pytest.fixture
async def open_one(driver: Driver, settings: ConnectionSettings) -> AsyncIterator[OpenSession]:
    """Opens sessions of the driver under test; they are closed after the test."""
    opened: list[CqlSession] = []

    async def open_it() -> CqlSession:
        opened.append(await open_session(settings, driver))
        return opened[-1]

    yield open_it
    for session in opened:
        await session.close()
