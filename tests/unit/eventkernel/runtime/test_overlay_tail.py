"""Following the bus beyond what the views have: what is kept, for how long, and what happens when it is too much."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ports import BusRecord, TopicPartition
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.testing.counter import CODEC, Add, Open, new_counter, request
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_publisher import MemoryEventPublisher

TOPIC = "counters"
SETTINGS = OverlayTailSettings(committed_seconds=0)


class BusOnAndOff(MemoryBusTail):
    """Answers only while it is on."""

    on = True

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        if not self.on:
            raise StoreUnavailable("bus", "off")
        return await super().end_offsets(topic)


def tail_of(world: Any, bus: Any = None, **settings: Any) -> OverlayTail:
    chosen = replace(SETTINGS, **settings)
    bus = bus or MemoryBusTail(world.bus)
    return OverlayTail(bus, topic=TOPIC, group="views", clock=world.clock, settings=chosen)


async def write(world: Any, count: int, stream: Any = None) -> Any:
    """A counter of so many events, on the bus."""
    stream = await store(world, count, stream)
    await world.relay().run_once()
    return stream


async def store(world: Any, count: int, stream: Any = None) -> Any:
    begun = stream is not None
    stream = stream or new_counter()
    for number in range(count):
        await world.handler().handle(request(stream, Add(1) if begun or number else Open()))
    return stream


def versions(tail: OverlayTail, stream: Any, after: int = 0) -> list[int]:
    return [event.version for event in tail.after(stream, after)]


async def test_it_keeps_what_lies_beyond_the_committed_offsets_and_joins_no_group(world: Any) -> None:
    read = await write(world, 2)
    await world.projector().run_once()
    unread = await write(world, 3)
    tail = tail_of(world)
    await tail.catch_up()
    assert (versions(tail, read), versions(tail, unread)) == ([], [1, 2, 3])
    committed = dict(world.bus.group("views").committed)
    members = len(world.bus.group("views").members)
    await write(world, 1, unread)
    await tail.catch_up()
    assert versions(tail, unread, 1) == [2, 3, 4]
    assert (dict(world.bus.group("views").committed), len(world.bus.group("views").members)) == (committed, members)


async def test_what_the_group_has_committed_is_let_go(world: Any) -> None:
    stream = await write(world, 3)
    tail = tail_of(world)
    await tail.catch_up()
    assert tail.events == 3
    await world.projector().run_once()
    await tail.catch_up()
    assert (tail.events, tail.bytes, versions(tail, stream)) == (0, 0, [])


async def test_a_reading_that_began_before_the_commit_keeps_its_events_and_later_ones_do_not(world: Any) -> None:
    stream = await write(world, 3)
    tail = tail_of(world)
    await tail.catch_up()
    with tail.reading():
        await world.projector().run_once()
        await tail.catch_up()
        assert versions(tail, stream) == [1, 2, 3]
        with tail.reading():
            await tail.catch_up()
        assert versions(tail, stream) == [1, 2, 3]
    assert tail.events == 0


async def test_repeats_on_the_bus_count_once(world: Any) -> None:
    stream = await write(world, 2)
    publisher = MemoryEventPublisher(world.bus)
    for event in world.stored(stream):
        await publisher.publish([to_message(event, topic=TOPIC, source="t", wire_name=CODEC.wire_name)])
    tail = tail_of(world)
    await tail.catch_up()
    assert (tail.events, versions(tail, stream)) == (2, [1, 2])


async def test_a_group_that_is_set_back_is_followed_back(world: Any) -> None:
    stream = await write(world, 3)
    tail = tail_of(world)
    await tail.catch_up()
    await world.projector().run_once()
    await tail.catch_up()
    assert tail.events == 0
    world.bus.group("views").committed.clear()
    await tail.catch_up()
    assert versions(tail, stream) == [1, 2, 3]
    await tail.catch_up()
    assert tail.events == 3


async def test_a_bus_that_begins_anew_is_read_anew(world: Any) -> None:
    await write(world, 3)
    tail = tail_of(world)
    await tail.catch_up()
    for records in world.bus.partitions(TOPIC):
        records.clear()
    new = await write(world, 1)
    await tail.catch_up()
    assert (tail.events, versions(tail, new)) == (1, [1])


async def test_records_that_are_no_events_are_passed_over(world: Any) -> None:
    stream = await write(world, 1)
    (records,) = [records for records in world.bus.partitions(TOPIC) if records]
    broken = replace(records[0], offset=1, headers=())
    records.append(broken)
    await write(world, 1, stream)
    tail = tail_of(world)
    await tail.catch_up()
    assert versions(tail, stream) == [1, 2]


@pytest.mark.parametrize("bound", [{"events_max": 2}, {"bytes_max": 3_000}])
async def test_at_the_bound_it_stands_still_says_so_and_goes_on_when_there_is_room(
    world: Any, bound: dict[str, int]
) -> None:
    await write(world, 2)
    tail = tail_of(world, **bound)
    await tail.catch_up()
    assert tail.full
    second = await write(world, 1)
    await tail.catch_up()
    assert (tail.events, tail.full, versions(tail, second)) == (2, True, [])
    await world.projector(records_max=2, subscription=(subscription := world.subscription())).run_once()
    await tail.catch_up()
    assert not tail.full
    assert tail.events == 1
    await subscription.rewind()  # the projector before has read on
    await world.projector(subscription=subscription).run_once()
    await tail.catch_up()
    assert tail.events == 0


async def test_what_the_command_side_tells_is_pending_at_once_and_met_on_the_bus_later(world: Any) -> None:
    tail = tail_of(world)
    await tail.catch_up()
    stream = await store(world, 2)
    tail.tell(world.stored(stream))
    assert versions(tail, stream) == [1, 2]
    await world.relay().run_once()
    await world.projector().run_once()
    # Committed before it was read here: it is read all the same, or it would never be let go.
    await tail.catch_up()
    await tail.catch_up()
    assert tail.events == 0


async def test_told_events_that_fill_the_memory_are_still_met_on_the_bus(world: Any) -> None:
    tail = tail_of(world, events_max=2)
    await tail.catch_up()
    stream = await store(world, 4)
    tail.tell(world.stored(stream))
    assert (tail.events, tail.full) == (2, True)
    await world.relay().run_once()
    await tail.catch_up()
    assert tail.full
    await world.projector().run_once()
    await tail.catch_up()
    await tail.catch_up()
    assert (tail.events, tail.full) == (0, False)


async def test_it_waits_for_a_bus_that_does_not_answer(world: Any) -> None:
    bus, stop = BusOnAndOff(world.bus), asyncio.Event()
    bus.on = False
    tail = tail_of(world, bus)
    running = asyncio.create_task(tail.run(stop))
    await world.clock.advance(1)
    assert not tail.following
    bus.on = True
    stream = await write(world, 1)
    arrived = tail.next_arrival()
    async with asyncio.timeout(20):
        while not arrived.is_set():
            await world.clock.advance(1)
    assert tail.following
    assert versions(tail, stream) == [1]
    stop.set()
    await running
    assert not tail.following


async def test_a_poke_makes_it_look_at_once(world: Any) -> None:
    tail, stop = tail_of(world), asyncio.Event()
    await write(world, 1)
    arrived = tail.next_arrival()
    running = asyncio.create_task(tail.run(stop))
    async with asyncio.timeout(20):
        await arrived.wait()
        await write(world, 1)
        arrived = tail.next_arrival()
        tail.poke()
        await arrived.wait()
    stop.set()
    await running


async def test_a_partition_whose_beginning_was_trimmed_is_read_from_what_is_left(world: Any) -> None:
    class Trimmed(MemoryBusTail):
        async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
            return await super().read(source, max(offset, 2), records_max)

    stream = await write(world, 3)
    tail = tail_of(world, Trimmed(world.bus))
    await tail.catch_up()
    assert versions(tail, stream, 2) == [3]
