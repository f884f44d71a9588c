"""A ring of three: one node is killed, another frozen, and every stream goes on without a loss, a double or a gap."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended, Entry, Position, Replayed
from eventkernel.testing.contracts.journal import EVERYTHING, new_entry, new_stream
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import SystemClock
from localstack import Stack

pytestmark = [pytest.mark.stack("cassandra"), pytest.mark.slow]

KEYSPACE = "ring"
LAYOUT = Layout()
STATEMENTS = statements_of(KEYSPACE)
CLOCK = SystemClock()
LANES = 8
ACKNOWLEDGED_MIN = 150
PHASE_SECONDS_MAX = 90


@dataclass(slots=True)
class Load:
    """Writers that never give up a command, each on a stream of its own, and what they were told."""

    acknowledged: dict[StreamId, list[Entry]] = field(default_factory=dict)
    conflicts: int = 0
    stopped: bool = False

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def write(self, store: CassandraEventStore) -> None:
        stream, position = new_stream(), Position(0)
        done = self.acknowledged[stream] = []
        while not self.stopped:
            entry = new_entry(stream)
            position = await self._store(store, stream, position, entry)
            done.append(entry)

    async def _store(self, store: CassandraEventStore, stream: StreamId, position: Position, entry: Entry) -> Position:
        while True:
            try:
                match await store.append(stream, position, [entry]):
                    case Appended(after):
                        return after
                    case Replayed():
                        return (await store.load(stream)).position
                    case outcome:
                        self.conflicts += "Conflict" in str(outcome)
            except StoreUnavailable:
                await CLOCK.sleep(0.05)

    async def progress(self, count: int = ACKNOWLEDGED_MIN) -> None:
        """Return when so many more were acknowledged."""
        until = self.count + count
        async with asyncio.timeout(PHASE_SECONDS_MAX):
            while self.count < until:
                await CLOCK.sleep(0.01)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "stack", nodes=3, services=["cassandra"]) as stack:
        yield stack


async def test_no_append_is_lost_or_doubled_while_nodes_of_a_ring_die_and_freeze(ring: Stack) -> None:
    nodes = ring.cassandra_nodes
    settings = ConnectionSettings(
        tuple(node.endpoint.host for node in nodes), nodes[0].endpoint.port, request_timeout_seconds=5.0
    )
    drivers: list[Driver] = ["acsylla", "cassandra-driver"]
    sessions = [await open_session(settings, driver) for driver in drivers]
    await migrate(sessions[1], KEYSPACE, LAYOUT, CLOCK, replication=3)
    load = Load()
    stores = [CassandraEventStore(session, STATEMENTS, LAYOUT, CLOCK) for session in sessions]
    writing = [asyncio.create_task(load.write(store)) for store in stores for _ in range(LANES)]
    await load.progress()
    await asyncio.to_thread(nodes[1].kill9)
    await load.progress()
    await asyncio.to_thread(nodes[1].start)
    await asyncio.to_thread(ring.await_ring)
    await asyncio.to_thread(nodes[2].freeze)
    await load.progress()
    await asyncio.to_thread(nodes[2].thaw)
    await load.progress()
    load.stopped = True
    await asyncio.gather(*writing)
    assert load.conflicts == 0, "an append of the only writer of its stream was refused"
    for store in stores:
        for stream, entries in load.acknowledged.items():
            events = (await store.load(stream)).events
            assert [event.version for event in events] == list(range(1, len(entries) + 1))
            assert [event.meta.command_id for event in events] == [entry.command_id for entry in entries]
    outbox = CassandraOutbox(sessions[0], STATEMENTS, LAYOUT, CLOCK, pace=Pace(look_seconds_max=0.0))
    runs = await outbox.read(await outbox.pending(range(LAYOUT.shard_count), EVERYTHING), EVERYTHING)
    assert {run.stream: len(run.events) for run in runs} == {
        stream: len(entries) for stream, entries in load.acknowledged.items()
    }
    for store in stores:
        await store.close()
