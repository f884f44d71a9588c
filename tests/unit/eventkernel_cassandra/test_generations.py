"""What no interleaving of writers and relays may do: lose an event. With a known mistake put back, one of them does."""

from collections.abc import Sequence

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.event_store import Appended, Position
from eventkernel.testing.contracts.journal import EVERYTHING, new_entry, unpublished
from eventkernel_cassandra.buckets import Place, Statics
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.exploring import Choices, Interleaving, every_history
from eventkernel_cassandra.generations import Judge, Meaning, announced, judge
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.session import Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import ManualClock

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(bucket_events=64, shard_count=1)
STREAM = StreamId("default", "order-1")
HASTY = Pace(rest_seconds=0.0, grace_seconds=0.0, look_seconds_max=0.0, serial_seconds=0.0)
RESTING = Pace(rest_seconds=60.0, grace_seconds=0.0, look_seconds_max=0.0)


def delete_when_nothing_is_pending(found: Statics, generation: int) -> Meaning:
    """The naive hint delete."""
    return Meaning.STALE if found.head == found.published else judge(found, generation)


def never_pass_by(found: Statics, generation: int) -> Meaning:
    """Deletes a late writer's row without making its append impossible."""
    meaning = judge(found, generation)
    return Meaning.STALE if meaning is Meaning.LATE else meaning


class World:
    """A store, a writer of two events, and relays that share what they published."""

    def __init__(self, choices: Choices, rules: Judge = judge, pace: Pace = HASTY, *, poked: bool = False) -> None:
        self.clock = ManualClock()
        self.store = SimulatedStore(self.clock)
        self.steps = Interleaving(choices)
        self.rules = rules
        self.pace = pace
        self.poked = poked
        self.bus: list[int] = []
        self.acknowledged = 0

    async def write(self, name: str, appends: int) -> None:
        session = SimulatedSession(self.store, self.steps.gate(name))
        store = CassandraEventStore(session, STATEMENTS, LAYOUT, self.clock)
        position = Position(0)
        for _ in range(appends):
            outcome = await store.append(STREAM, position, [new_entry(STREAM)])
            if not isinstance(outcome, Appended):
                return
            position = outcome.position
            self.acknowledged = max(self.acknowledged, position.version)

    async def relay(self, name: str, rounds: int) -> None:
        outbox = self.outbox(SimulatedSession(self.store, self.steps.gate(name)))
        for _ in range(rounds):
            if self.poked:
                outbox.poke(STREAM)
            await self.publish(outbox)

    async def publish(self, outbox: CassandraOutbox) -> int:
        runs = await outbox.read(await outbox.pending([0], EVERYTHING), EVERYTHING)
        for run in runs:
            self.bus += [event.version for event in run.events]
        await outbox.advance(runs)
        return len(runs)

    async def all_is_published(self) -> bool:
        """Whether relays that come later find what is left, and everything first came in order."""
        outbox = self.outbox(SimulatedSession(self.store))
        while await self.publish(outbox):
            pass
        partition = self.store.journal.get((STREAM.key, 0))
        head = (partition.head or 0) if partition else 0
        return head >= self.acknowledged and list(dict.fromkeys(self.bus)) == list(range(1, head + 1))

    def outbox(self, session: SimulatedSession) -> CassandraOutbox:
        return CassandraOutbox(session, STATEMENTS, LAYOUT, self.clock, pace=self.pace, judge=self.rules)

    def is_discoverable(self) -> bool:
        """The invariant: what is not published stands under an odd generation, and its pending row is there."""
        return all(
            partition.head == partition.published
            or (
                partition.gen is not None
                and partition.gen % 2 == 1
                and (*place, partition.gen) in self.store.pending[0]
            )
            for place, partition in self.store.journal.items()
            if partition.head
        )


async def explore(
    rules: Judge, pace: Pace, *, writers: int, appends: int, rounds: int, poked: bool = False
) -> tuple[int, list[str] | None]:
    """Every interleaving: how many there were, and the first that loses an event."""
    histories = 0
    for choices in every_history():
        world = World(choices, rules, pace, poked=poked)
        writing = [world.write(f"writer {number}", appends) for number in range(writers)]
        results = await world.steps.run(*writing, world.relay("relay", rounds))
        assert results == [None] * (writers + 1)
        histories += 1
        if not (world.is_discoverable() and await world.all_is_published()):
            return histories, world.steps.order
    return histories, None


@pytest.mark.parametrize("pace", [HASTY, RESTING], ids=["hasty", "resting"])
async def test_no_interleaving_of_a_writer_and_a_relay_loses_an_event(pace: Pace) -> None:
    histories, lost = await explore(judge, pace, writers=1, appends=2, rounds=2)
    assert lost is None
    assert histories > 50


@pytest.mark.parametrize("pace", [HASTY, RESTING], ids=["hasty", "resting"])
async def test_no_interleaving_with_a_relay_that_pokes_send_to_a_stream_loses_an_event(pace: Pace) -> None:
    histories, lost = await explore(judge, pace, writers=1, appends=2, rounds=3, poked=True)
    assert lost is None
    assert histories > 50


async def test_no_interleaving_of_two_writers_and_a_relay_loses_an_event() -> None:
    histories, lost = await explore(judge, HASTY, writers=2, appends=1, rounds=1)
    assert lost is None
    assert histories > 100


@pytest.mark.parametrize("mistake", [delete_when_nothing_is_pending, never_pass_by])
async def test_with_a_pending_row_deleted_too_early_some_interleaving_loses_an_event(mistake: Judge) -> None:
    _, lost = await explore(mistake, HASTY, writers=1, appends=1, rounds=1)
    assert lost is not None
    assert lost[-1].startswith(("relay: delete_pending", "writer 0: append"))


async def test_a_writer_frozen_before_its_append_is_refused_after_the_generation_passed_it_and_then_goes_on() -> None:
    world = World(Choices())
    announced_row = (STREAM.key, 0, 1)

    async def relay_for_a_day() -> None:
        outbox = world.outbox(SimulatedSession(world.store))
        while announced_row in world.store.pending[0]:
            await world.publish(outbox)

    seen: list[str] = []

    async def gate(statement: Statement, _values: Sequence[Value]) -> None:
        seen.append(statement.name)
        if seen == ["insert_pending", "append_first:1"]:
            await relay_for_a_day()

    store = CassandraEventStore(SimulatedSession(world.store, gate), STATEMENTS, LAYOUT, world.clock)
    outcome = await store.append(STREAM, Position(0), [new_entry(STREAM)])
    assert isinstance(outcome, Appended)
    assert outcome.position == Position(1, Place(0, 3))
    assert seen == ["insert_pending", "append_first:1", "insert_pending", "append_first:1"]
    runs = await unpublished(world.outbox(SimulatedSession(world.store)), 1, STREAM)
    assert [event.version for event in runs[STREAM].events] == [1]


async def test_a_position_of_an_older_generation_costs_one_more_round_and_nothing_else() -> None:
    world = World(Choices())
    store = CassandraEventStore(SimulatedSession(world.store), STATEMENTS, LAYOUT, world.clock)
    outcome = await store.append(STREAM, Position(0), [new_entry(STREAM)])
    assert isinstance(outcome, Appended)
    old = outcome.position
    assert await world.all_is_published()
    assert world.store.journal[STREAM.key, 0].gen == 2
    assert world.store.pending[0] == set()
    outcome = await store.append(STREAM, old, [new_entry(STREAM)])
    assert isinstance(outcome, Appended)
    assert outcome.position == Position(2, Place(0, 3))
    assert world.is_discoverable()


async def test_an_append_gives_up_when_the_generation_never_stays() -> None:
    world = World(Choices())
    row = [shard_of(STREAM, 1), STREAM.key, 0]

    async def pass_it_by(statement: Statement, _values: Sequence[Value]) -> None:
        if statement.name == "append_first:1":
            partition = world.store.journal.get((STREAM.key, 0))
            found = partition.gen if partition else None
            world.store.run(STATEMENTS.pass_by, [announced(found or 0) + 1, *row[1:], found])

    store = CassandraEventStore(SimulatedSession(world.store, pass_it_by), STATEMENTS, LAYOUT, world.clock)
    with pytest.raises(StoreUnavailable, match="generation moved"):
        await store.append(STREAM, Position(0), [new_entry(STREAM)])
    assert world.store.journal[STREAM.key, 0].head is None


@pytest.mark.parametrize(
    ("generation", "meaning"),
    [(5, Meaning.STALE), (4, Meaning.STALE), (3, Meaning.ACTIVE), (2, Meaning.LATE), (1, Meaning.AHEAD)],
)
def test_a_row_means_what_its_generation_says_beside_the_streams(generation: int, meaning: Meaning) -> None:
    for published in (0, 7):
        assert judge(Statics(7, published, generation), 3) is meaning
