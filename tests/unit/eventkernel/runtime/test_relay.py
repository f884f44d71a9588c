import asyncio
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from eventkernel.errors import KernelError, PublishFailed, StoreMismatch, StoreUnavailable
from eventkernel.ports import BusMessage
from eventkernel.runtime.bus_knowledge import BusKnowledge
from eventkernel.runtime.cloudevents import to_message
from eventkernel.testing.counter import Add, Open, new_counter, request
from eventkernel.testing.faulty import Crash, Faults
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.shard_leases import MemoryShardLeases

TOPIC = "counters"


async def write(world: Any, count: int, stream: Any = None) -> Any:
    """A counter of so many events."""
    handler, begun = world.handler(), stream in world.journal.streams
    stream = stream or new_counter()
    for number in range(count):
        await handler.handle(request(stream, Add(1) if begun or number else Open()))
    return stream


def waiting(world: Any) -> int:
    return sum(stored.head - stored.published for stored in world.journal.streams.values())


def firsts(world: Any) -> dict[Any, list[int]]:
    return {stream: list(dict.fromkeys(versions)) for stream, versions in world.published().items()}


def complete(world: Any) -> dict[Any, list[int]]:
    return {stream: list(range(1, stored.head + 1)) for stream, stored in world.journal.streams.items()}


async def test_every_event_goes_onto_the_bus_once_and_in_order(world: Any) -> None:
    for count in (1, 3, 7):
        await write(world, count)
    relay = world.relay()
    assert await relay.run_once() == 11
    assert await relay.run_once() == 0
    assert world.published() == complete(world)
    assert waiting(world) == 0


async def test_the_record_says_what_consumers_need(world: Any) -> None:
    stream = await write(world, 1)
    await world.relay().run_once()
    (record,) = [record for records in world.bus.partitions(TOPIC) for record in records]
    headers = dict(record.headers)
    assert record.key == stream.key.encode()
    assert headers["ce_type"] == b"example.counters.v1.Opened"
    assert headers["ce_subject"] == stream.id.encode()
    assert headers["ce_id"].decode() == str(world.stored(stream)[0].event_id)


@pytest.mark.parametrize(
    ("fault", "duplicates"),
    [
        ("outbox_failed", False),
        ("publish_refused", False),
        ("publish_cut", False),
        ("publish_unacknowledged", False),
        ("advance_failed", False),
        ("advance_unknown", False),
        ("publish_holed", True),
    ],
)
async def test_after_a_failure_it_begins_at_the_cursor_and_skips_what_is_there(
    world: Any, fault: str, duplicates: bool
) -> None:
    for count in (2, 5, 9):
        await write(world, count)
    relay = world.relay()
    world.faults.script(fault)
    with pytest.raises(KernelError):
        await relay.run_once()
    for _ in range(3):
        await relay.run_once()
    assert waiting(world) == 0
    assert {stream: sorted(set(versions)) for stream, versions in world.published().items()} == complete(world)
    if not duplicates:
        assert world.published() == complete(world)


async def test_the_cursor_never_moves_before_the_acknowledgement(world: Any) -> None:
    await write(world, 3)
    for fault in ("publish_refused", "publish_cut", "publish_holed", "publish_unacknowledged"):
        world.faults.script(fault)
        with pytest.raises(PublishFailed):
            await world.relay().run_once()
        assert waiting(world) == 3


async def test_a_relay_that_dies_between_publishing_and_its_cursor_leaves_no_duplicates_to_its_successor(
    world: Any,
) -> None:
    for count in (4, 6):
        await write(world, count)
    world.faults.script("publish_crash")
    with pytest.raises(Crash):
        await world.relay().run_once()
    assert waiting(world) == 10
    stream = await write(world, 2)
    await world.relay().run_once()
    assert waiting(world) == 0
    assert world.published() == complete(world)
    assert world.published()[stream] == [1, 2]


async def test_a_version_beyond_a_hole_is_published_again_after_the_hole(world: Any) -> None:
    """A publisher may give up one record of a key and deliver a later one: skipping by the highest version loses it."""
    stream = await write(world, 3)
    relay = world.relay()
    await relay._outbox.pending(range(4), 10)
    (run,) = await relay._outbox.read(await relay._outbox.pending(range(4), 10), 100)
    last = to_message(run.events[2], topic=TOPIC, source="/counters", wire_name=lambda name, version: name)
    await MemoryEventPublisher(world.bus).publish([last])
    await relay.run_once()
    assert sorted(set(world.published()[stream])) == [1, 2, 3]


async def test_a_stream_that_the_bus_will_not_take_holds_up_itself_alone(world: Any) -> None:
    poison = await write(world, 2)
    others = [await write(world, 2) for _ in range(5)]
    relay = world.relay()
    relay._publisher.poison = poison.key.encode()
    for _ in range(2):
        with pytest.raises(PublishFailed):
            await relay.run_once()
    assert {stream for stream, stored in world.journal.streams.items() if stored.published} == set(others)
    relay._publisher.poison = None
    await relay.run_once()
    assert world.published() == complete(world)


async def test_a_bus_that_is_down_is_not_asked_for_every_stream(world: Any) -> None:
    for _ in range(20):
        await write(world, 1)
    relay = world.relay(apart_failures_max=2)
    world.faults.script("publish_refused", 100)
    for _ in range(2):
        with pytest.raises(PublishFailed):
            await relay.run_once()
    assert world.faults.struck["publish_refused"] == 1 + 2


async def test_records_that_are_no_events_do_not_stop_it(world: Any) -> None:
    junk = [
        BusMessage(TOPIC, b"\xff\xfe", b"", ()),
        BusMessage(TOPIC, b"key", b"", (("ce_sequence", b"one"),)),
        BusMessage(TOPIC, b"default/counter-1", b"", (("ce_sequence", b"0"),)),
    ]
    await MemoryEventPublisher(world.bus).publish(junk)
    await write(world, 2)
    assert await world.relay().run_once() == 2


async def test_shards_that_come_new_are_read_back_first(world: Any) -> None:
    leases = MemoryShardLeases(world.clock)
    await leases.acquire("other", 4, 10.0)
    first = world.relay(leases=leases)
    await first.run_once()
    await leases.acquire("other", 4, 10.0)
    await world.clock.advance(4)
    await first.run_once()
    assert len(first._shards) == 2
    for _ in range(8):
        await write(world, 2)
    while await first.run_once():
        pass
    assert not first._must_read_back
    world.faults.script("publish_crash")
    gone = world.relay()
    with pytest.raises(Crash):
        await gone.run_once()
    await leases.release("other")
    await world.clock.advance(4)
    while await first.run_once():
        pass
    assert len(first._shards) == 4
    assert world.published() == complete(world)


async def test_without_a_lease_nothing_is_published(world: Any) -> None:
    class Away(MemoryShardLeases):
        async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Any:
            raise StoreUnavailable("leases", "down")

    await write(world, 1)
    with pytest.raises(StoreUnavailable):
        await world.relay(leases=Away(world.clock)).run_once()
    assert world.published() == {}


async def test_leases_are_renewed_when_the_clock_jumps_back(world: Any) -> None:
    acquired: list[str] = []

    class Counting(MemoryShardLeases):
        async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Any:
            acquired.append(owner)
            return await super().acquire(owner, shard_count, ttl_seconds)

    relay = world.relay(leases=Counting(world.clock))
    await relay.run_once()
    await relay.run_once()
    assert len(acquired) == 1
    world.clock.set(world.clock.now() - timedelta(days=1))
    await relay.run_once()
    assert len(acquired) == 2


async def test_running_it_waits_out_failures_reports_the_depth_and_releases_its_leases(world: Any) -> None:
    seen: list[Any] = []

    class Observer:
        def published(self, events: int, skipped: int) -> None:
            seen.append(("published", events, skipped))

        def failed(self, error: KernelError) -> None:
            seen.append("failed")

        def depth(self, depth: Any) -> None:
            seen.append(("depth", depth.events))

    leases = MemoryShardLeases(world.clock)
    await write(world, 3)
    world.faults.script("publish_unacknowledged")
    relay, stop = world.relay(observer=Observer(), leases=leases), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    for _ in range(80):  # cursors move beside the rounds, and the depth is asked every five seconds
        await asyncio.sleep(0)
        await world.clock.advance(0.1)
    assert ("published", 0, 3) in seen
    assert seen[0] == "failed"
    assert ("depth", 0) in seen
    stop.set()
    await running
    assert len(await leases.acquire("next", 4, 1.0)) == 4


async def test_a_poke_wakes_it_at_once(world: Any) -> None:
    relay, stop = world.relay(poll_seconds=1000.0), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    for _ in range(10):
        await asyncio.sleep(0)
    stream = await write(world, 1)
    relay.poke(stream)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.published() == {stream: [1]}
    stop.set()
    await running


async def test_a_store_that_is_the_wrong_one_ends_it(world: Any) -> None:
    class Wrong(MemoryShardLeases):
        async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Any:
            raise StoreMismatch("leases", expected="schema 3", actual="schema 4")

    with pytest.raises(StoreMismatch):
        await world.relay(leases=Wrong(world.clock)).run(asyncio.Event())


def test_what_is_known_of_the_bus_is_one_run_without_a_hole() -> None:
    known, stream = BusKnowledge(2), new_counter()
    known.saw(stream, [7])
    assert known.reaches(stream, 5) == 5
    known.saw(stream, [6, 7, 8, 7])
    assert [known.reaches(stream, cursor) for cursor in (4, 5, 6, 8, 9)] == [4, 8, 8, 8, 9]
    for _ in range(2):
        known.saw(new_counter(), [1])
    assert known.reaches(stream, 5) == 5


@pytest.mark.parametrize("seed", range(40))
async def test_two_relays_under_faults_leave_first_occurrences_in_order_and_no_gap(world: Any, seed: int) -> None:
    random = Random(seed)
    names = ["publish_refused", "publish_cut", "publish_unacknowledged", "publish_crash", "outbox_failed"]
    names += ["advance_failed", "advance_unknown"]
    faults = Faults(seed, turns=1.0, **{name: random.choice([0.0, 0.1]) for name in names})
    streams = [new_counter() for _ in range(6)]
    written = asyncio.Event()

    async def writer() -> None:
        handler = world.handler()
        for stream in streams:
            await handler.handle(request(stream, Open()))
        for _ in range(60):
            await handler.handle(request(random.choice(streams), Add(1)))
            if random.random() < 0.5:
                await asyncio.sleep(0)
        written.set()

    async def relaying() -> None:
        relay = world.relay(faults, events_max=random.choice([1, 3, 50]), streams_max=random.choice([1, 3, 100]))
        while True:
            finished = written.is_set()
            try:
                moved = await relay.run_once()
            except KernelError:
                continue
            except Crash:
                relay = world.relay(faults)
                continue
            if finished and not moved and not waiting(world):
                return
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(writer(), relaying(), relaying())
    assert firsts(world) == complete(world)
