from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from eventkernel.ids import shard_of
from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.journal import append, new_entry, new_stream, unpublished
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.sweep import PendingSweep
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import SystemClock

OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]


@pytest.mark.parametrize("generation_too", [False, True])
async def test_a_lost_pending_row_is_written_again_and_its_events_are_found(
    open_one: OpenSession, keyspace: str, layout: Layout, generation_too: bool
) -> None:
    session, s = await open_one(), statements_of(keyspace)
    store, stream = CassandraEventStore(session, s, layout, SystemClock()), new_stream()
    await append(store, stream, Position(0), new_entry(stream), new_entry(stream))
    await session.write(s.delete_pending, [shard_of(stream, layout.shard_count), stream.key, 0, 1])
    if generation_too:
        assert (await session.apply(s.pass_by, [2, stream.key, 0, 1])).applied
    pace = Pace(look_seconds_max=0.0)
    outbox = CassandraOutbox(session, s, layout, SystemClock(), pace=pace)
    assert await unpublished(outbox, layout.shard_count, stream) == {}
    sweep = PendingSweep(session, s, layout)
    assert (await sweep.run_once()).healed == 1
    runs = await unpublished(outbox, layout.shard_count, stream)
    assert [event.version for event in runs[stream].events] == [1, 2]
    assert list(await outbox.advance([runs[stream]])) == [True]
    assert (await sweep.run_once()).healed == 0
    position = (await store.load(stream)).position
    assert (await append(store, stream, position, new_entry(stream))).version == 3
