"""A stream over several buckets reads and leaves like one."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import ENTRIES_MAX, Appended, CommandRecord, Conflict, Entry, Position, Replayed
from eventkernel.ports.stream_directory import StreamHead
from eventkernel.testing.contracts.journal import EVERYTHING, append, as_recorded, new_entry, new_stream, push
from eventkernel_cassandra import buckets
from eventkernel_cassandra.buckets import Place
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import ManualClock

SIZE = 64
LAYOUT = Layout(bucket_events=SIZE, shard_count=4)
STATEMENTS = statements_of("simulated")


class World:
    def __init__(self) -> None:
        self.tables = SimulatedStore(ManualClock())
        self.session = SimulatedSession(self.tables)
        self.store = CassandraEventStore(self.session, STATEMENTS, LAYOUT, ManualClock())
        self.directory = CassandraStreamDirectory(self.session, STATEMENTS, LAYOUT)

    def outbox(self, rest_seconds: float = 60.0) -> CassandraOutbox:
        pace = Pace(rest_seconds=rest_seconds, look_seconds_max=0.0)
        return CassandraOutbox(self.session, STATEMENTS, LAYOUT, ManualClock(), pace=pace)

    def bucket_heads(self, stream: StreamId) -> list[int | None]:
        count = sum(key == stream.key for key, _ in self.tables.journal)
        return [self.tables.journal[stream.key, bucket].head for bucket in range(count)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("seed", range(5))
async def test_appends_of_any_size_over_buckets_make_one_stream(world: World, seed: int) -> None:
    random, stream, position = Random(seed), new_stream(), Position(0)
    entries: list[Entry] = []
    while len(entries) < 5 * SIZE:
        some = [new_entry(stream) for _ in range(random.randint(1, ENTRIES_MAX))]
        position = await append(world.store, stream, position, *some)
        entries += some
        assert position.version == len(entries)
    whole = [as_recorded(stream, version, entry) for version, entry in enumerate(entries, 1)]
    assert len(world.bucket_heads(stream)) in (5, 6)
    for after in range(len(whole) + 2):
        loaded = await world.store.load(stream, after=after, events_max=random.choice([None, 1, SIZE]))
        assert list(loaded.events) == whole[after : after + len(loaded.events)]
        assert loaded.events or after >= len(whole)
        assert loaded.position.version == min(after + len(loaded.events), len(whole))
    for version, entry in enumerate(entries, 1):
        record = CommandRecord(entry.command_id, entry.request_hash, version, version)
        assert await world.store.find_command(stream, entry.command_id) == record
        for stale in (Position(0), position, Position(version)):
            assert await world.store.append(stream, stale, [entry]) == Replayed(record)
    assert await world.directory.heads([stream]) == [StreamHead(stream, len(whole), 0)]
    assert [head async for head in world.directory.streams()] == [StreamHead(stream, len(whole), 0)]


@pytest.mark.parametrize("filled", [SIZE - 1, SIZE, SIZE + 1, 2 * SIZE - 1, 2 * SIZE])
async def test_a_loaded_position_at_the_edge_of_a_bucket_takes_the_next_append(world: World, filled: int) -> None:
    stream, position = new_stream(), Position(0)
    while position.version < filled:
        count = min(ENTRIES_MAX, filled - position.version)
        position = await append(world.store, stream, position, *(new_entry(stream) for _ in range(count)))
    loaded = await world.store.load(stream)
    assert loaded.position.version == filled
    for again in (loaded.position, position):
        outcome = await world.store.append(stream, again, [new_entry(stream)])
        assert isinstance(outcome, Appended if again is loaded.position else Conflict), again
    assert (await world.store.load(stream, after=filled)).position.version == filled + 1


@pytest.mark.parametrize("rest_seconds", [0.0, 60.0])
async def test_a_relay_publishes_a_bucket_to_its_end_before_the_next(world: World, rest_seconds: float) -> None:
    stream, position = new_stream(), Position(0)
    outbox, bus = world.outbox(rest_seconds), []
    random = Random(1)
    for _ in range(60):
        some = [new_entry(stream) for _ in range(random.randint(1, 20))]
        position = await append(world.store, stream, position, *some)
        if random.random() < 0.5:
            pending = list(await outbox.pending(range(4), EVERYTHING))
            random.shuffle(pending)
            for run in await outbox.read(pending, random.randint(1, 50)):
                bus += [event.version for event in run.events]
                assert all(await outbox.advance([run]))
    fresh = world.outbox(rest_seconds)
    while runs := await fresh.read(await fresh.pending(range(4), EVERYTHING), 30):
        for run in runs:
            bus += [event.version for event in run.events]
        assert all(await fresh.advance(runs))
    assert bus == list(range(1, position.version + 1))
    assert await world.directory.heads([stream]) == [StreamHead(stream, position.version, position.version)]
    assert (await fresh.depth()).events == 0


async def test_the_bucket_before_is_published_first_even_when_its_pending_row_was_not_seen(world: World) -> None:
    stream = new_stream()
    position = await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(SIZE)))
    await append(world.store, stream, position, new_entry(stream))
    outbox = world.outbox()
    (pending,) = await outbox.pending(range(4), EVERYTHING)
    assert pending.opaque == ((0, 1), (1, 1))
    (run,) = await outbox.read([type(pending)(stream, pending.shard, ((1, 1),))], EVERYTHING)
    assert [event.version for event in run.events] == list(range(1, SIZE + 1))


async def test_a_closed_bucket_is_retired_with_its_last_cursor(world: World) -> None:
    stream = new_stream()
    position = await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(SIZE)))
    await append(world.store, stream, position, new_entry(stream))
    outbox = world.outbox(rest_seconds=60.0)
    assert await outbox.advance(await outbox.read(await outbox.pending(range(4), EVERYTHING), EVERYTHING)) == [True]
    assert world.tables.journal[stream.key, 0].gen == 2
    (pending,) = await outbox.pending(range(4), EVERYTHING)
    assert pending.opaque == ((1, 1),)


async def test_a_forged_position_behind_a_closed_bucket_does_not_fork_the_stream(world: World) -> None:
    stream = new_stream()
    await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(10)))
    for version in (SIZE, SIZE + 3):
        outcome = await world.store.append(stream, Position(version, Place(0, 1)), [new_entry(stream)])
        assert outcome == Conflict()
    assert world.bucket_heads(stream) == [10]


async def test_writers_that_race_over_the_edge_of_a_bucket_leave_no_gap(world: World) -> None:
    stream = new_stream()
    entries = [new_entry(stream) for _ in range(3 * SIZE)]

    async def take_turns(_statement: Statement, _values: Sequence[Value]) -> None:
        await asyncio.sleep(0)

    async def write(some: Sequence[Entry]) -> None:
        store = CassandraEventStore(SimulatedSession(world.tables, take_turns), STATEMENTS, LAYOUT, ManualClock())
        for entry in some:
            await push(store, stream, entry)

    await asyncio.gather(*(write(entries[writer::4]) for writer in range(4)))
    events = (await world.store.load(stream)).events
    assert [event.version for event in events] == list(range(1, 3 * SIZE + 1))
    assert world.bucket_heads(stream) == [SIZE, 2 * SIZE, 3 * SIZE]


async def test_a_read_that_sees_half_an_append_is_read_again(world: World) -> None:
    stream = new_stream()
    await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(5)))
    partition = world.tables.journal[stream.key, 0]
    last = partition.events.pop(5)

    async def bring_it_to_a_majority(statement: Statement, _values: Sequence[Value]) -> None:
        if statement.name == "select_statics_serially":
            partition.events[5] = last

    session = SimulatedSession(world.tables, bring_it_to_a_majority)
    loaded = await CassandraEventStore(session, STATEMENTS, LAYOUT, ManualClock()).load(stream)
    assert [event.version for event in loaded.events] == [1, 2, 3, 4, 5]


async def test_a_hole_in_a_stream_is_never_passed_over(world: World) -> None:
    stream = new_stream()
    await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(5)))
    del world.tables.journal[stream.key, 0].events[3]
    with pytest.raises(StoreUnavailable, match="not readable"):
        await world.store.load(stream)
    outbox = world.outbox()
    (run,) = await outbox.read(await outbox.pending(range(4), EVERYTHING), EVERYTHING)
    assert [event.version for event in run.events] == [1, 2]


def test_a_bucket_must_be_able_to_hold_an_append() -> None:
    with pytest.raises(ValueError, match="bucket_events"):
        Layout(bucket_events=ENTRIES_MAX - 1)
    with pytest.raises(ValueError, match="shard_count"):
        Layout(shard_count=0)


@pytest.mark.parametrize("size", [ENTRIES_MAX, 100, 10_000])
def test_every_version_is_looked_for_where_an_append_can_have_put_it(size: int) -> None:
    for first in range(1, 4 * size):
        bucket = buckets.bucket_after(first - 1, size)
        for version in (first, first + ENTRIES_MAX - 1):
            assert buckets.first_bucket_with(version, size) <= bucket
        assert not buckets.is_closed(bucket, first - 1, size)
