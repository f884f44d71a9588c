"""Cursors that move beside the rounds of a relay."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ports import OutboxRun
from eventkernel.runtime.cursors import Cursors
from eventkernel.testing.counter import Add, Open, new_counter, request
from eventkernel.testing.faulty import Faults
from eventkernel_memory.clock import ManualClock
from eventkernel_memory.outbox import MemoryOutbox

SHARDS = 4


class GatedOutbox(MemoryOutbox):
    """Every advance waits until it is let go; then it fails if it was told to."""

    def __init__(self, world: Any) -> None:
        super().__init__(world.journal, SHARDS)
        self.batches: list[list[tuple[int, int]]] = []
        self.go = asyncio.Event()
        self.fails = False

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        self.batches.append([(run.published, run.events[-1].version) for run in runs])
        await self.go.wait()
        if self.fails:
            raise StoreUnavailable("gated", "cursors not moved")
        return await super().advance(runs)


async def write(world: Any, stream: Any, count: int) -> None:
    for _ in range(count):
        begun = stream in world.journal.streams
        await world.handler().handle(request(stream, Add(1) if begun else Open()))


async def read(outbox: MemoryOutbox, cursors: Cursors) -> Sequence[OutboxRun]:
    pending = await outbox.pending(range(SHARDS), 100)
    return await outbox.read([replace(p, after=cursors.reached(p.stream)) for p in pending], 100)


async def test_what_comes_while_a_batch_is_under_way_is_moved_over_by_one_write_afterwards(world: Any) -> None:
    stream, outbox = new_counter(), GatedOutbox(world)
    cursors = Cursors(outbox, ManualClock(), seconds=0.0, events_max=100)
    for _ in range(4):
        await cursors.room()
        await write(world, stream, 2)
        cursors.add(await read(outbox, cursors))
        await asyncio.sleep(0)
    assert outbox.batches == [[(0, 2)]]
    outbox.go.set()
    assert await cursors.settled() == 8
    assert outbox.batches == [[(0, 2)], [(2, 8)]]
    assert world.journal.streams[stream].published == 8


async def test_a_batch_waits_for_more_unless_somebody_waits_for_it(world: Any) -> None:
    stream, outbox, clock = new_counter(), GatedOutbox(world), ManualClock()
    outbox.go.set()
    cursors = Cursors(outbox, clock, seconds=0.5, events_max=100)
    for _ in range(3):
        await write(world, stream, 1)
        cursors.add(await read(outbox, cursors))
        for _ in range(5):
            await asyncio.sleep(0)
    assert outbox.batches == []
    await clock.advance(0.5)
    for _ in range(10):
        await asyncio.sleep(0)
    assert outbox.batches == [[(0, 3)]]
    await write(world, stream, 1)
    cursors.add(await read(outbox, cursors))
    assert await cursors.settled() == 4
    assert outbox.batches[1:] == [[(3, 4)]]


async def test_no_round_begins_while_too_much_is_behind(world: Any) -> None:
    stream, outbox = new_counter(), GatedOutbox(world)
    cursors = Cursors(outbox, ManualClock(), seconds=0.0, events_max=3)
    await write(world, stream, 3)
    cursors.add(await read(outbox, cursors))
    waiting = asyncio.create_task(cursors.room())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    outbox.go.set()
    await waiting


async def test_after_a_failure_everything_is_found_again_where_the_cursor_stands(world: Any) -> None:
    stream, outbox = new_counter(), GatedOutbox(world)
    cursors = Cursors(outbox, ManualClock(), seconds=0.0, events_max=100)
    outbox.fails = True
    await write(world, stream, 2)
    cursors.add(await read(outbox, cursors))
    await asyncio.sleep(0)
    await write(world, stream, 1)
    cursors.add(await read(outbox, cursors))
    outbox.go.set()
    with pytest.raises(StoreUnavailable):
        await cursors.settled()
    assert cursors.reached(stream) == 0
    outbox.fails = False
    (run,) = await read(outbox, cursors)
    assert (run.published, len(run.events)) == (0, 3)
    cursors.add([run])
    assert await cursors.settled() == 3


async def test_where_another_relay_moved_the_cursor_what_waits_behind_it_is_given_up(world: Any) -> None:
    stream, outbox = new_counter(), GatedOutbox(world)
    cursors = Cursors(outbox, ManualClock(), seconds=0.0, events_max=100)
    await write(world, stream, 2)
    cursors.add(await read(outbox, cursors))
    await asyncio.sleep(0)
    await write(world, stream, 1)
    cursors.add(await read(outbox, cursors))
    other = MemoryOutbox(world.journal, SHARDS)
    await other.advance(await other.read(await other.pending(range(SHARDS), 10), 1))
    outbox.go.set()
    assert await cursors.settled() == 0
    (run,) = await read(outbox, cursors)
    assert (run.published, [event.version for event in run.events]) == (1, [2, 3])


async def test_a_run_read_before_its_cursor_moved_begins_where_it_moved_to(world: Any) -> None:
    stream, outbox = new_counter(), GatedOutbox(world)
    outbox.go.set()
    cursors = Cursors(outbox, ManualClock(), seconds=0.0, events_max=100)
    await cursors.room()
    await write(world, stream, 1)
    cursors.add(await read(outbox, cursors))
    await write(world, stream, 1)
    stale = await read(outbox, cursors)
    assert await cursors.settled() == 1
    cursors.add(stale)
    assert await cursors.settled() == 1
    assert outbox.batches == [[(0, 1)], [(1, 2)]]


@pytest.mark.parametrize("seed", range(30))
async def test_running_relays_under_faults_lose_nothing_and_keep_the_order(world: Any, seed: int) -> None:
    random = Random(seed)
    names = ["publish_refused", "publish_cut", "publish_unacknowledged", "outbox_failed"]
    names += ["advance_failed", "advance_unknown"]
    faults = Faults(seed, turns=2.0, **{name: random.choice([0.0, 0.1]) for name in names})
    streams, stop = [new_counter() for _ in range(6)], asyncio.Event()
    settings = {"poll_seconds": 0.01, "backoff_seconds_max": 0.01}
    relays = [
        world.relay(
            faults,
            events_max=random.choice([1, 3, 50]),
            cursors_behind_max=random.choice([1, 5, 100]),
            cursor_seconds=random.choice([0.0, 0.02]),
            **settings,
        )
        for _ in range(2)
    ]
    running = [asyncio.create_task(relay.run(stop)) for relay in relays]
    for number in range(60):
        stream = streams[number % 6] if number < 6 else random.choice(streams)
        await write(world, stream, 1)
        if random.random() < 0.5:
            await world.clock.advance(0.005)
    async with asyncio.timeout(60):
        while any(stored.head > stored.published for stored in world.journal.streams.values()):
            await world.clock.advance(0.01)
            await asyncio.sleep(0)
    stop.set()
    await asyncio.gather(*running)
    first = {stream: list(dict.fromkeys(versions)) for stream, versions in world.published().items()}
    assert first == {stream: list(range(1, stored.head + 1)) for stream, stored in world.journal.streams.items()}
