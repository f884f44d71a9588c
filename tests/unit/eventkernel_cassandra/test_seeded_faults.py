"""Writers and relays under random faults, seed by seed: in the end nothing is lost, doubled, forked or out of order."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended, Entry, Position, Replayed
from eventkernel.testing.contracts.journal import EVERYTHING, new_entry, new_stream
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.faulty_session import Fault, FaultySession
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import Kind, Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.sweep import PendingSweep
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import ManualClock

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(bucket_events=64, shard_count=2)
STREAMS = 3
WRITERS = 4
COMMANDS_EACH = 60


class QuickClock(ManualClock):
    """Time passes by being waited for."""

    async def sleep(self, seconds: float) -> None:
        await self.advance(seconds)
        await asyncio.sleep(0)


class World:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = QuickClock()
        self.tables = SimulatedStore(self.clock)
        self.streams = [new_stream() for _ in range(STREAMS)]
        self.acknowledged: dict[StreamId, set[bytes]] = {stream: set() for stream in self.streams}
        self.bus: dict[StreamId, list[int]] = {stream: [] for stream in self.streams}
        self.landings: list[FaultySession] = []
        self.writing = WRITERS

    def session(self) -> FaultySession:
        session = FaultySession(SimulatedSession(self.tables, self._pause), self._plan)
        self.landings.append(session)
        return session

    async def write(self) -> None:
        store = CassandraEventStore(self.session(), STATEMENTS, LAYOUT, self.clock)
        for _ in range(COMMANDS_EACH):
            stream = self.random.choice(self.streams)
            await self._store(store, stream, [new_entry(stream) for _ in range(self.random.randint(1, 3))])
        self.writing -= 1

    async def relay(self) -> None:
        """Dies at random places: what it published and did not confirm, its successor publishes again."""
        pace = Pace(rest_seconds=self.random.choice([0.0, 0.3]), grace_seconds=0.1, look_seconds_max=0.0)
        while self.writing:
            outbox = CassandraOutbox(self.session(), STATEMENTS, LAYOUT, self.clock, pace=pace)
            for _ in range(self.random.randrange(30)):
                await self.clock.sleep(0.01)
                try:
                    runs = await outbox.read(await outbox.pending(range(2), EVERYTHING), self.random.randint(1, 40))
                    for run in runs:
                        self.bus[run.stream] += [event.version for event in run.events]
                    if self.random.random() < 0.8:
                        await outbox.advance(runs)
                except StoreUnavailable:
                    continue

    async def land_now_and_then(self) -> None:
        while self.writing:
            await asyncio.sleep(0)
            if self.random.random() < 0.05:
                await self.random.choice(self.landings).land()

    async def finish(self) -> None:
        for session in self.landings:
            await session.land()
        pace = Pace(rest_seconds=0.0, grace_seconds=0.0, look_seconds_max=0.0)
        outbox = CassandraOutbox(SimulatedSession(self.tables), STATEMENTS, LAYOUT, self.clock, pace=pace)
        while pending := await outbox.pending(range(2), EVERYTHING):
            runs = await outbox.read(pending, EVERYTHING)
            for run in runs:
                self.bus[run.stream] += [event.version for event in run.events]
            await outbox.advance(runs)

    async def _store(self, store: CassandraEventStore, stream: StreamId, entries: Sequence[Entry]) -> None:
        while True:
            try:
                position = (await store.load(stream)).position if self.random.random() < 0.9 else Position(0)
                match await store.append(stream, position, entries):
                    case Appended():
                        self.acknowledged[stream] |= {entry.command_id.bytes for entry in entries}
                        return
                    case Replayed(record):
                        assert record.command_id == entries[0].command_id
                        self.acknowledged[stream] |= {entry.command_id.bytes for entry in entries}
                        return
                    case _:
                        continue
            except StoreUnavailable:
                continue

    async def _pause(self, _statement: Statement, _values: Sequence[Value]) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    def _plan(self, statement: Statement, _values: Sequence[Value]) -> Fault | None:
        if self.random.random() > 0.15:
            return None
        if statement.kind in (Kind.READ, Kind.SERIAL_READ):
            return Fault.REFUSED
        return self.random.choice(list(Fault))


@pytest.mark.parametrize("seed", range(12))
async def test_under_random_faults_nothing_is_lost_doubled_or_out_of_order(seed: int) -> None:
    world = World(seed)
    writers = [world.write() for _ in range(WRITERS)]
    await asyncio.gather(*writers, world.relay(), world.relay(), world.land_now_and_then())
    await world.finish()
    store = CassandraEventStore(SimulatedSession(world.tables), STATEMENTS, LAYOUT, world.clock)
    for stream in world.streams:
        events = (await store.load(stream)).events
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        stored = [event.meta.command_id.bytes for event in events]
        assert len(set(stored)) == len(stored), "a command was stored twice"
        assert set(stored) == world.acknowledged[stream], "every command was retried until it was acknowledged"
        assert list(dict.fromkeys(world.bus[stream])) == list(range(1, len(events) + 1))
    swept = await PendingSweep(SimulatedSession(world.tables), STATEMENTS, LAYOUT).run_once()
    assert (swept.waiting, swept.healed) == (0, 0)
    assert all(not rows for rows in world.tables.pending.values())
