import asyncio
from collections.abc import Sequence

import pytest

from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.journal import EVERYTHING, append, new_entry, new_stream
from eventkernel_cassandra.bounded import each
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.preparing import Prepared
from eventkernel_cassandra.session import Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.watch import Pace, Watch
from eventkernel_memory.clock import ManualClock

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(shard_count=2)
ROW = ("default/order-1", 0, 1)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tables = SimulatedStore(self.clock)
        self.seen: list[str] = []
        session = SimulatedSession(self.tables, self.see)
        self.store = CassandraEventStore(SimulatedSession(self.tables), STATEMENTS, LAYOUT, self.clock)
        self.outbox = CassandraOutbox(session, STATEMENTS, LAYOUT, self.clock, pace=Pace(rest_seconds=60.0))

    async def see(self, statement: Statement, values: object) -> None:
        self.seen.append(statement.name)

    async def round(self) -> int:
        """One round of a relay: the number of events."""
        runs = await self.outbox.read(await self.outbox.pending(range(2), EVERYTHING), EVERYTHING)
        await self.outbox.advance(runs)
        return sum(len(run.events) for run in runs)


async def test_a_stream_is_retired_when_it_has_rested_and_not_before() -> None:
    world, stream = World(), new_stream()
    position = await append(world.store, stream, Position(0), new_entry(stream))
    assert await world.round() == 1
    for _ in range(55):
        await world.clock.advance(1)
        assert await world.round() == 0
    position = await append(world.store, stream, position, new_entry(stream))
    await world.clock.advance(1)
    assert await world.round() == 1
    for _ in range(59):
        await world.clock.advance(1)
        await world.round()
    assert "retire" not in world.seen
    await world.clock.advance(2)
    await world.round()
    assert world.seen[-2:] == ["retire", "delete_pending"]
    assert await world.outbox.pending(range(2), EVERYTHING) == []


async def test_a_quiet_stream_is_looked_at_less_and_less_often_but_at_least_every_second() -> None:
    world, stream = World(), new_stream()
    await append(world.store, stream, Position(0), new_entry(stream))
    await world.round()
    world.seen.clear()
    for _ in range(200):
        await world.clock.advance(0.05)
        await world.round()
    looks = sum(name.startswith(("select_many_statics", "select_statics")) for name in world.seen)
    assert 15 <= looks <= 40


async def test_a_poke_brings_the_next_look_forward() -> None:
    world, stream = World(), new_stream()
    position = await append(world.store, stream, Position(0), new_entry(stream))
    await world.round()
    await world.clock.advance(30)
    await world.round()
    await append(world.store, stream, position, new_entry(stream))
    assert await world.round() == 0
    world.outbox.poke(stream)
    assert await world.round() == 1


async def test_pokes_spare_the_look_through_all_rows_for_a_while_and_what_was_not_poked_is_found_after_it() -> None:
    world, poked, silent = World(), new_stream(), new_stream()
    await world.round()
    await append(world.store, poked, Position(0), new_entry(poked))
    await append(world.store, silent, Position(0), new_entry(silent))
    world.seen.clear()
    world.outbox.poke(poked)
    assert await world.round() == 1
    assert "select_pending_of_shards" not in world.seen
    await world.clock.advance(0.3)
    world.outbox.poke(poked)
    assert await world.round() == 1
    assert "select_pending_of_shards" in world.seen


async def test_a_flood_of_pokes_leaves_room_for_what_nobody_poked_and_streams_without_events_do_no_harm() -> None:
    world, silent = World(), new_stream()
    await append(world.store, silent, Position(0), new_entry(silent))
    for _ in range(100):
        world.outbox.poke(new_stream())
    pending = await world.outbox.pending(range(2), 8)
    assert len(pending) == 7
    assert silent in [found.stream for found in pending]
    assert [len(run.events) for run in await world.outbox.read(pending, 100)] == [1]
    assert {name for name in world.seen if name.startswith(("retire", "pass", "delete"))} == set()


async def test_a_poke_finds_a_stream_in_the_bucket_to_which_it_was_followed() -> None:
    world, stream = World(), new_stream()
    layout = Layout(bucket_events=64, shard_count=2)
    store = CassandraEventStore(SimulatedSession(world.tables), STATEMENTS, layout, world.clock)
    world.outbox = CassandraOutbox(SimulatedSession(world.tables, world.see), STATEMENTS, layout, world.clock)
    position = Position(0)
    for _ in range(3):
        position = await append(store, stream, position, *(new_entry(stream) for _ in range(40)))
        for _ in range(3):
            await world.clock.advance(0.3)
            await world.round()
    world.seen.clear()
    await append(store, stream, position, new_entry(stream))
    world.outbox.poke(stream)
    assert await world.round() == 1
    assert "select_pending_of_shards" not in world.seen


async def test_an_append_in_doubt_is_brought_to_an_end_by_a_serial_read_now_and_then() -> None:
    world, stream = World(), new_stream()
    await append(world.store, stream, Position(0), new_entry(stream))
    await world.round()
    await world.clock.advance(6)
    await world.round()
    assert "select_statics_serially" in world.seen


async def test_a_late_writer_is_passed_by_after_the_grace() -> None:
    world = World()
    world.tables.run(STATEMENTS.insert_pending, [0, *ROW])
    await world.round()
    await world.clock.advance(9)
    await world.round()
    assert "pass_by" not in world.seen
    await world.clock.advance(2)
    await world.round()
    assert world.seen[-2:] == ["pass_by", "delete_pending"]
    assert world.tables.journal[ROW[:2]].gen == 2


async def test_more_streams_than_a_round_takes_all_have_their_turn() -> None:
    world = World()
    streams = [new_stream() for _ in range(50)]
    for stream in streams:
        await append(world.store, stream, Position(0), new_entry(stream))
    stuck = set(streams[:0])  # nothing is ever published, as when the bus takes none of them
    for _ in range(30):
        pending = await world.outbox.pending(range(2), 7)
        assert len(pending) <= 7
        stuck |= {each_pending.stream for each_pending in pending}
    assert stuck == set(streams)


async def test_a_busy_stream_leaves_room_for_the_others_and_takes_what_they_leave() -> None:
    world = World()
    streams = sorted(new_stream() for _ in range(4))
    for stream, count in zip(streams, (60, 1, 2, 30), strict=True):
        await append(world.store, stream, Position(0), *(new_entry(stream) for _ in range(count)))
    pending = await world.outbox.pending(range(2), EVERYTHING)
    for events_max, counts in ((40, [27, 1, 2, 10]), (3, [1, 1, 1]), (1, [1]), (1_000, [60, 1, 2, 30])):
        runs = await world.outbox.read(sorted(pending, key=lambda p: p.stream), events_max)
        assert [len(run.events) for run in runs] == counts


async def test_a_watch_forgets_the_oldest_when_it_is_full_and_survives_a_clock_that_jumps() -> None:
    clock = ManualClock()
    watch = Watch(clock, Pace(), rows_max=2)
    rows = [("a", 0, 1), ("b", 0, 1), ("c", 0, 1)]
    for row in rows:
        watch.saw_activity(row)
    await clock.advance(0.0)
    assert watch.is_due(rows[0])
    await clock.advance(30)
    watch.saw_quiet(rows[2])
    assert not watch.is_due(rows[2])
    clock.set(clock.now().replace(year=2020))
    assert watch.is_due(rows[2])


async def test_calls_are_bounded_keep_their_order_and_all_end_before_an_error_is_raised() -> None:
    running = most = ended = 0

    async def call(number: int) -> int:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        ended += 1
        if number in (3, 5):
            raise ValueError(number)
        return -number

    assert await each(4, call, [1, 2, 4, 6, 7, 8]) == [-1, -2, -4, -6, -7, -8]
    assert most == 4
    ended = 0
    with pytest.raises(ValueError, match="3"):
        await each(4, call, range(10))
    assert ended == 10
    assert await each(4, call, []) == []


async def test_the_layout_of_an_append_is_what_the_statement_binds() -> None:
    bound: list[tuple[Statement, int]] = []

    async def see(statement: Statement, values: Sequence[Value]) -> None:
        bound.append((statement, len(values)))

    store = CassandraEventStore(SimulatedSession(SimulatedStore(ManualClock()), see), STATEMENTS, LAYOUT, ManualClock())
    stream = new_stream()
    position = await append(store, stream, Position(0), new_entry(stream))
    await append(store, stream, position, *(new_entry(stream) for _ in range(64)))
    assert [statement.name for statement, _ in bound] == ["insert_pending", "append_first:1", "append:64"]
    for statement, count in bound:
        assert statement.cql.count("?") == count


async def test_a_statement_is_prepared_once_for_all_who_need_it_first() -> None:
    asked: list[Statement] = []
    refuse = True

    async def prepare(statement: Statement) -> str:
        asked.append(statement)
        await asyncio.sleep(0)
        if refuse:
            raise ValueError(statement.name)
        return statement.cql

    prepared, statement = Prepared(prepare), STATEMENTS.retire
    first = await asyncio.gather(*(prepared.get(statement) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in first] == [ValueError] * 5
    assert prepared.now(statement) is None
    refuse = False
    waiting = [asyncio.create_task(prepared.get(statement)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert answers[1:] == [statement.cql] * 4
    assert prepared.now(statement) == statement.cql
    assert len(asked) == 2
