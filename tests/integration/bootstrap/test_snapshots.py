"""Snapshots on the stores that keep them: those of no use are ignored and replaced, and a person can look after them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from bootstrap.snapshots import Kept, Rebuilt, Snapshots
from eventkernel.envelope import Provenance
from eventkernel.ids import StreamId
from eventkernel.ports import Appended, Entry, Position, Snapshot
from eventkernel.runtime.aggregate import CommandRequest
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.testing.contracts.journal import new_tenant
from eventkernel_cassandra.connect import open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_memory.clock import ManualClock, SystemClock
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.snapshot_store import SqliteSnapshotStore
from eventkernel_sqlite.stream_directory import SqliteStreamDirectory
from localstack import CassandraNode
from prescriptions.command_service import prescription_type
from prescriptions.domain.commands import AmendPrescription
from prescriptions.domain.profiles import US
from prescriptions.testing import stories as s
from prescriptions.testing.recorded import new_events, untold
from prescriptions.wire.snapshots import PrescriptionStateCodec

LAYOUT = Layout(bucket_events=64, shard_count=4)
SCHEMA = PrescriptionStateCodec.schema
Stores: TypeAlias = Any


async def sqlite(folder: Path, closing: AsyncExitStack) -> Stores:
    database = Database(folder / "journal.db", JOURNAL)
    closing.push_async_callback(database.close)
    return SimpleNamespace(
        events=SqliteEventStore(database),
        snapshots=SqliteSnapshotStore(database),
        directory=SqliteStreamDirectory(database),
    )


async def cassandra(server: CassandraNode, keyspace: str, closing: AsyncExitStack) -> Stores:
    session = await open_session(settings_of(server))
    closing.push_async_callback(session.close)
    statements = statements_of(keyspace)
    return SimpleNamespace(
        events=CassandraEventStore(session, statements, LAYOUT, SystemClock()),
        snapshots=CassandraSnapshotStore(session, statements),
        directory=CassandraStreamDirectory(session, statements, LAYOUT),
    )


def settings_of(server: CassandraNode) -> ConnectionSettings:
    return ConnectionSettings((server.endpoint.host,), server.endpoint.port)


@pytest.fixture(scope="module")
def keyspace(cassandra_server: CassandraNode) -> Iterator[str]:
    """A keyspace of the module's own, dropped afterwards."""
    name = f"snapshots_{uuid4().hex}"

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


@pytest.fixture(params=["sqlite", pytest.param("cassandra", marks=pytest.mark.stack("cassandra"))])
def opening(request: pytest.FixtureRequest, data_dir: Path) -> Callable[[AsyncExitStack], Awaitable[Stores]]:
    if request.param == "sqlite":
        return partial(sqlite, data_dir)
    return partial(cassandra, request.getfixturevalue("cassandra_server"), request.getfixturevalue("keyspace"))


@pytest.fixture
async def stores(opening: Callable[[AsyncExitStack], Awaitable[Stores]]) -> AsyncIterator[Stores]:
    async with AsyncExitStack() as closing:
        yield await opening(closing)


async def drafted(stores: Stores, tenant: str, versions: int) -> StreamId:
    """A prescription that was written and amended, in this many events."""
    stream = StreamId(tenant, f"prescription-{uuid4()}")
    story = untold()
    story.create()
    for number in range(versions - 1):
        content = s.content(medication_text=f"change {number}")
        story.do(AmendPrescription(content, "again"), s.PRESCRIBER)
    entries = [Entry(event, event.meta.command_id, bytes(32)) for event in new_events(story, stream)]
    assert isinstance(await stores.events.append(stream, Position(0), entries), Appended)
    return stream


def server(stores: Stores, **limits: Any) -> CommandHandler[Any, Any, Any, Any]:
    """A command server that has nothing in memory."""
    clock = ManualClock(s.START.replace(year=2027))
    cache, kind = AggregateCache(10), prescription_type(US, bytes(32))
    return CommandHandler(kind, stores.events, stores.snapshots, clock, cache, limits=HandlerLimits(**limits))


async def amend(handler: CommandHandler[Any, Any, Any, Any], stream: StreamId) -> int:
    command = AmendPrescription(s.content(medication_text=f"{uuid4()}"), "once more")
    asked = CommandRequest(stream, command, uuid4(), bytes(32), Provenance(s.PRESCRIBER))
    reply = await handler.handle(asked)
    await handler.drain()
    return reply.aggregate.version


BROKEN: dict[str, dict[str, Any]] = {
    "of an older state": {"schema": "prescription/0/0123456789abcdef"},
    "unreadable": {"state": b"\xff\x00"},
    "cut off": {"state": b"[{"},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_snapshot_that_cannot_be_used_is_ignored_and_replaced(stores: Stores, broken: dict[str, Any]) -> None:
    stream = await drafted(stores, new_tenant(), 5)
    assert isinstance(await Snapshots(stores).rebuild(stream), Rebuilt)
    good: Snapshot = await stores.snapshots.latest(stream)
    await stores.snapshots.save(stream, replace(good, **broken))

    handler = server(stores)
    before = await handler.repository.loaded(stream)
    assert (before.snapshot, before.unusable, before.aggregate.version) == (0, 5, 5)
    assert await amend(handler, stream) == 6
    assert await stores.snapshots.latest(stream) == good
    after = await server(stores).repository.loaded(stream)
    assert (after.snapshot, after.unusable, after.aggregate.version) == (5, 0, 6)
    assert after.aggregate.state == (await server(stores).repository.replayed(stream)).state


async def test_a_stream_that_was_slow_to_load_is_loaded_from_a_snapshot_the_next_time(stores: Stores) -> None:
    stream = await drafted(stores, new_tenant(), 5)
    await amend(server(stores, snapshot_every_events=0), stream)
    assert await stores.snapshots.latest(stream) is None
    await amend(server(stores, snapshot_every_events=0, snapshot_load_seconds=1e-9), stream)
    assert (await server(stores).repository.loaded(stream)).snapshot == 6


async def test_a_person_sees_what_can_be_used_and_what_not(stores: Stores) -> None:
    tenant, snapshots = new_tenant(), Snapshots(stores)
    good, old = await drafted(stores, tenant, 3), await drafted(stores, tenant, 4)
    elsewhere = await drafted(stores, new_tenant(), 2)
    for stream in (good, old, elsewhere):
        await snapshots.rebuild(stream)
    kept: Snapshot = await stores.snapshots.latest(old)
    await stores.snapshots.save(old, replace(kept, schema="prescription/0/0"))
    found = {item.stream: item async for item in snapshots.all(tenant)}
    size = len((await stores.snapshots.latest(good)).state)
    assert found == {
        good: Kept(good, 3, SCHEMA, size, found[good].recorded_at, usable=True, why=""),
        old: Kept(old, 4, "prescription/0/0", len(kept.state), kept.recorded_at, usable=False, why="another schema"),
    }
    assert {good, old, elsewhere} <= {item.stream async for item in snapshots.all(None)}


async def test_dropping_leaves_the_stream_as_it_is(stores: Stores) -> None:
    snapshots = Snapshots(stores)
    stream = await drafted(stores, new_tenant(), 3)
    await snapshots.rebuild(stream)
    before = (await server(stores).repository.load(stream)).state
    await snapshots.drop(stream)
    assert await snapshots.of(stream) is None
    assert (await server(stores).repository.load(stream)).state == before


async def test_rebuilding_corrects_a_snapshot_that_says_something_else(stores: Stores) -> None:
    snapshots = Snapshots(stores)
    one, other = await drafted(stores, new_tenant(), 3), await drafted(stores, new_tenant(), 3)
    await snapshots.rebuild(other)
    await stores.snapshots.save(one, await stores.snapshots.latest(other))
    assert await snapshots.rebuild(one) == Rebuilt(one, 3, len((await stores.snapshots.latest(one)).state))
    assert (await server(stores).repository.load(one)).state == (await server(stores).repository.replayed(one)).state


async def test_a_snapshot_of_a_stream_that_is_no_more_is_dropped_by_rebuilding(stores: Stores) -> None:
    snapshots = Snapshots(stores)
    known, gone = await drafted(stores, new_tenant(), 2), StreamId(new_tenant(), f"prescription-{uuid4()}")
    await snapshots.rebuild(known)
    await stores.snapshots.save(gone, await stores.snapshots.latest(known))
    assert await snapshots.rebuild(gone) is None
    assert await snapshots.of(gone) is None


async def test_all_long_streams_can_be_given_snapshots(stores: Stores) -> None:
    tenant, snapshots = new_tenant(), Snapshots(stores)
    long = {await drafted(stores, tenant, 4) for _ in range(20)}
    await drafted(stores, tenant, 3)
    made = [rebuilt async for rebuilt in snapshots.rebuild_all(tenant, events_min=4)]
    assert {rebuilt.stream for rebuilt in made} == long
    assert {item.stream async for item in snapshots.all(tenant)} == long
