"""How old the outbox is, which no column says."""

from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.journal import EVERYTHING, append, new_entry, new_stream
from eventkernel_cassandra.buckets import Statics
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.reading import StreamReader
from eventkernel_cassandra.session import Statement
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.waiting_since import WaitingSince
from eventkernel_memory.clock import ManualClock

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(shard_count=2)


class World:
    def __init__(self) -> None:
        clock = ManualClock()
        self.reads = 0
        session = SimulatedSession(SimulatedStore(clock), self.see)
        self.store = CassandraEventStore(session, STATEMENTS, LAYOUT, clock)
        self.outbox = CassandraOutbox(session, STATEMENTS, LAYOUT, clock)
        self.reader = StreamReader(session, STATEMENTS, LAYOUT.bucket_events)

    async def see(self, statement: Statement, _values: object) -> None:
        self.reads += statement.name == "select_events"


async def test_the_depth_says_since_when_the_oldest_event_waits() -> None:
    world, early, late = World(), new_stream(), new_stream()
    assert (await world.outbox.depth()).oldest_recorded_at is None
    entries = [new_entry(early, second=second) for second in (1, 5)]
    other = new_entry(late, second=3)
    await append(world.store, late, Position(0), other)
    position = await append(world.store, early, Position(0), entries[0])
    depth = await world.outbox.depth()
    assert (depth.events, depth.oldest_recorded_at) == (2, entries[0].event.meta.recorded_at)
    runs = await world.outbox.read(await world.outbox.pending(range(2), EVERYTHING), EVERYTHING)
    assert all(await world.outbox.advance([run for run in runs if run.stream == early]))
    await append(world.store, early, position, entries[1])
    assert (await world.outbox.depth()).oldest_recorded_at == other.event.meta.recorded_at


async def test_what_is_known_to_wait_is_not_read_again_and_new_ones_only_so_many_at_once() -> None:
    world = World()
    streams = [new_stream() for _ in range(7)]
    entries = [new_entry(stream, second=10 - number) for number, stream in enumerate(streams)]
    for stream, entry in zip(streams, entries, strict=True):
        await append(world.store, stream, Position(0), entry)
    buckets = {(stream.key, 0): Statics(1, 0, 1) for stream in streams}
    since = WaitingSince(world.reader, looks_max=3)
    told = [await since.oldest(buckets) for _ in range(4)]
    assert told == [entries[number].event.meta.recorded_at for number in (2, 5, 6, 6)]
    assert world.reads == len(streams)
    del buckets[streams[6].key, 0]
    assert await since.oldest(buckets) == entries[5].event.meta.recorded_at
    assert await since.oldest({}) is None
    assert world.reads == len(streams)
