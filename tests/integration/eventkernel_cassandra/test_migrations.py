import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.journal import append, new_entry, new_stream
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.durability import _SETTING, concerns
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import _TABLES, migrate
from eventkernel_cassandra.schema import CREATE_KEYSPACE, NEWEST
from eventkernel_cassandra.session import CqlSession, Kind, Statement
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import SystemClock

CLOCK = SystemClock()


@pytest.fixture
async def session(settings: ConnectionSettings, driver: Driver) -> AsyncIterator[CqlSession]:
    opened = await open_session(settings, driver)
    yield opened
    await opened.close()


@pytest.fixture
async def new_keyspace(session: CqlSession) -> AsyncIterator[str]:
    name = f"migrations_{uuid4().hex}"
    yield name
    await session.define(f"DROP KEYSPACE IF EXISTS {name}")


async def test_processes_that_start_at_once_make_one_schema(
    session: CqlSession, new_keyspace: str, layout: Layout
) -> None:
    await asyncio.gather(*(migrate(session, new_keyspace, layout, CLOCK) for _ in range(3)))
    await migrate(session, new_keyspace, layout, CLOCK)
    stream = new_stream()
    await append(
        CassandraEventStore(session, statements_of(new_keyspace), layout, CLOCK), stream, Position(0), new_entry(stream)
    )
    with pytest.raises(StoreMismatch, match=r"shard_count 8 .* found 4"):
        await migrate(session, new_keyspace, replace(layout, shard_count=8), CLOCK)
    with pytest.raises(StoreMismatch, match="bucket_events"):
        await migrate(session, new_keyspace, replace(layout, bucket_events=10_000), CLOCK)
    newer = f"INSERT INTO {new_keyspace}.migrations (name, number) VALUES ('step {NEWEST + 1}', 1) IF NOT EXISTS"
    await session.define(newer)
    with pytest.raises(StoreMismatch, match="newer"):
        await migrate(session, new_keyspace, layout, CLOCK)


async def test_a_keyspace_that_is_not_there_is_a_mismatch(session: CqlSession, layout: Layout) -> None:
    stream = new_stream()
    store = CassandraEventStore(session, statements_of("nobody_made_this"), layout, CLOCK)
    with pytest.raises(StoreMismatch):
        await store.append(stream, Position(0), [new_entry(stream)])
    with pytest.raises(StoreMismatch):
        await store.load(stream)
    with pytest.raises(StoreMismatch, match="keyspace of a-z"):
        await migrate(session, "drop table x;", layout, CLOCK)


async def test_an_empty_journal_is_not_begun_beside_another_unless_it_is_wished(
    session: CqlSession, keyspace: str, new_keyspace: str, layout: Layout
) -> None:
    with pytest.raises(
        StoreMismatch, match=rf"a journal in keyspace {new_keyspace}.* no such keyspace, but journals in "
    ):
        await migrate(session, new_keyspace, layout, CLOCK, beside=False)
    with pytest.raises(StoreMismatch):  # it was not made
        await CassandraEventStore(session, statements_of(new_keyspace), layout, CLOCK).load(new_stream())
    await migrate(session, new_keyspace, layout, CLOCK)
    await migrate(session, new_keyspace, layout, CLOCK, beside=False)


async def test_a_keyspace_of_another_program_is_left_as_it_is(
    session: CqlSession, new_keyspace: str, layout: Layout
) -> None:
    await session.define(CREATE_KEYSPACE.format(ks=new_keyspace, replication=1))
    await session.define(f"CREATE TABLE {new_keyspace}.theirs (id text PRIMARY KEY)")
    with pytest.raises(StoreMismatch, match="tables of something else: theirs"):
        await migrate(session, new_keyspace, layout, CLOCK)
    tables = await session.read(_TABLES, [])
    assert {table for name, table in tables if name == new_keyspace} == {"theirs"}


async def test_a_keyspace_that_somebody_made_empty_is_taken(
    session: CqlSession, keyspace: str, new_keyspace: str, layout: Layout
) -> None:
    await session.define(CREATE_KEYSPACE.format(ks=new_keyspace, replication=1))
    await migrate(session, new_keyspace, layout, CLOCK, beside=False)
    assert not (
        await CassandraEventStore(session, statements_of(new_keyspace), layout, CLOCK).load(new_stream())
    ).events


async def test_what_is_deleted_all_the_time_leaves_its_tombstones_for_ten_minutes_only(
    session: CqlSession, keyspace: str
) -> None:
    cql = "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ?"
    kept: dict[str, int] = dict(await session.read(Statement("tables", cql, Kind.READ), [keyspace]))
    assert {name: seconds for name, seconds in kept.items() if seconds == 600} == {"pending": 600, "lease_owners": 600}


async def test_a_server_that_is_not_there_is_unavailable(driver: Driver) -> None:
    with pytest.raises(StoreUnavailable):
        await open_session(ConnectionSettings(("127.0.0.1",), 1, connect_timeout_seconds=0.5), driver)


async def test_a_closed_session_refuses_before_it_sends(session: CqlSession, keyspace: str) -> None:
    await session.close()
    await session.close()
    statements = statements_of(keyspace)
    with pytest.raises(StoreUnavailable, match="closed"):
        await session.read(statements.select_statics, ["default/order-1", 0])
    with pytest.raises(StoreUnavailable, match="closed"):
        await session.define("nothing")


async def test_the_test_server_is_set_so_that_it_keeps_what_it_acknowledges(session: CqlSession) -> None:
    assert await concerns(session) == []
    assert (await session.read(_SETTING, ["commitlog_sync"]))[0][0] == "group"
