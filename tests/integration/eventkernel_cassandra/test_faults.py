"""Unknown outcomes against the real server: what was lost on the way there, and what on the way back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import product
from typing import TypeAlias

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ports.event_store import Appended, Position, Replayed, Unknown
from eventkernel.testing.contracts.journal import EVERYTHING, append, new_entry, new_stream, unpublished
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.faulty_session import Fault, FaultySession
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import CqlSession, Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import SystemClock

OpenSession: TypeAlias = Callable[[], Awaitable[CqlSession]]
EAGER = Pace(look_seconds_max=0.0)


class Script:
    """Faults for the conditional writes of one name, in order; then none."""

    def __init__(self, name: str, *faults: Fault) -> None:
        self._name = name
        self._faults = list(faults)
        self.seen: list[str] = []

    def __call__(self, statement: Statement, values: Sequence[Value]) -> Fault | None:
        name = statement.name.partition(":")[0]
        self.seen.append(name)
        return self._faults.pop(0) if name == self._name and self._faults else None


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("faults", list(product((Fault.LOST, Fault.REPLY_LOST), repeat=2)), ids=str)
async def test_a_doubt_is_resolved_and_the_append_stored_once(
    open_one: OpenSession, keyspace: str, layout: Layout, faults: tuple[Fault, ...], count: int
) -> None:
    script = Script("append_first", *faults)
    session = FaultySession(await open_one(), script)
    store, stream = CassandraEventStore(session, statements_of(keyspace), layout, SystemClock()), new_stream()
    entries = [new_entry(stream) for _ in range(count)]
    outcome = await store.append(stream, Position(0), entries)
    assert isinstance(outcome, Appended)
    assert script.seen.count("append_first") == (1 if faults[0] is Fault.REPLY_LOST else 2 + (faults[1] is Fault.LOST))
    position = await append(store, stream, outcome.position, new_entry(stream))
    loaded = await store.load(stream)
    assert [event.meta.command_id for event in loaded.events][:count] == [entry.command_id for entry in entries]
    assert loaded.position.version == position.version == count + 1


async def test_an_append_that_lands_late_and_its_repeat_are_not_both_applied(
    open_one: OpenSession, keyspace: str, layout: Layout
) -> None:
    session = FaultySession(await open_one(), Script("append_first", Fault.LATE))
    store, stream = CassandraEventStore(session, statements_of(keyspace), layout, SystemClock()), new_stream()
    entry = new_entry(stream)
    assert isinstance(await store.append(stream, Position(0), [entry]), Appended)
    assert await session.land() == [False]
    assert len((await store.load(stream)).events) == 1


async def test_a_doubt_without_an_end_is_unknown_and_a_retry_settles_it(
    open_one: OpenSession, keyspace: str, layout: Layout
) -> None:
    inner = await open_one()

    def silence(statement: Statement, values: Sequence[Value]) -> Fault | None:
        if statement.name == "select_commands_serially":
            return Fault.REFUSED
        return Fault.REPLY_LOST if statement.name.startswith("append") else None

    store = CassandraEventStore(FaultySession(inner, silence), statements_of(keyspace), layout, SystemClock())
    stream = new_stream()
    entry = new_entry(stream)
    assert isinstance(await store.append(stream, Position(0), [entry]), Unknown)
    healthy = CassandraEventStore(inner, statements_of(keyspace), layout, SystemClock())
    again = await healthy.append(stream, Position(0), [entry])
    assert isinstance(again, Replayed)
    assert again.record.request_hash == entry.request_hash


async def test_what_is_refused_before_it_was_sent_is_unavailable_and_not_stored(
    open_one: OpenSession, keyspace: str, layout: Layout
) -> None:
    session = FaultySession(await open_one(), Script("append_first", Fault.REFUSED))
    store, stream = CassandraEventStore(session, statements_of(keyspace), layout, SystemClock()), new_stream()
    entry = new_entry(stream)
    with pytest.raises(StoreUnavailable):
        await store.append(stream, Position(0), [entry])
    assert await store.find_command(stream, entry.command_id) is None


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.REPLY_LOST])
async def test_a_cursor_in_doubt_is_moved_or_the_events_come_again(
    open_one: OpenSession, keyspace: str, layout: Layout, fault: Fault
) -> None:
    inner, statements = await open_one(), statements_of(keyspace)
    store, stream = CassandraEventStore(inner, statements, layout, SystemClock()), new_stream()
    await append(store, stream, Position(0), new_entry(stream), new_entry(stream))
    outbox = _outbox(FaultySession(inner, Script("advance", fault)), keyspace, layout)
    run = (await unpublished(outbox, layout.shard_count, stream))[stream]
    moved = await outbox.advance([run])
    assert list(moved) == [fault is Fault.REPLY_LOST]
    left = await unpublished(_outbox(inner, keyspace, layout), layout.shard_count, stream)
    assert set(left) == (set() if fault is Fault.REPLY_LOST else {stream})


async def test_a_late_writer_is_refused_on_the_server_once_a_relay_passed_it_by(
    open_one: OpenSession, keyspace: str, layout: Layout
) -> None:
    inner, statements = await open_one(), statements_of(keyspace)
    session = FaultySession(inner, Script("append_first", Fault.LATE))
    store, stream = CassandraEventStore(session, statements, layout, SystemClock()), new_stream()
    relay = _outbox(inner, keyspace, layout, Pace(rest_seconds=0.0, grace_seconds=0.0, look_seconds_max=0.0))
    late = asyncio.create_task(store.append(stream, Position(0), [new_entry(stream)]))
    assert isinstance(await late, Appended)
    while pending := [p for p in await relay.pending(range(4), EVERYTHING) if p.stream == stream]:
        await relay.advance(await relay.read(pending, EVERYTHING))
    assert await session.land() == [False]
    assert (await store.load(stream)).position.version == 1


def _outbox(session: CqlSession, keyspace: str, layout: Layout, pace: Pace = EAGER) -> CassandraOutbox:
    return CassandraOutbox(session, statements_of(keyspace), layout, SystemClock(), pace=pace)
