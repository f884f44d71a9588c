import asyncio
from dataclasses import replace
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from eventkernel.errors import KernelError, StoreMismatch, StoreUnavailable, UpcastFailed
from eventkernel.filters import Query
from eventkernel.ports import BusMessage, ParkedEvent
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.parked_lanes import drop_parked, retry_parked
from eventkernel.testing.counter import (
    CODEC,
    COUNTER_SUMS,
    COUNTER_VIEW,
    Add,
    Close,
    Open,
    decode,
    new_counter,
    request,
)
from eventkernel.testing.faulty import Faults, FaultySubscription, FaultyViewStore
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.view_store import MemoryViewStore

TOPIC = "counters"
VIEWS = (COUNTER_VIEW, COUNTER_SUMS)


class Seen:
    """A ``ProjectorObserver`` that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def applied(self, view: str, events: int, duplicates: int) -> None:
        self.told.append(("applied", view, events, duplicates))

    def parked(self, view: str, stream: Any, error: str) -> None:
        self.told.append(("parked", view, stream))

    def gap(self, view: str, stream: Any, missing: int) -> None:
        self.told.append(("gap", view, missing))

    def broken(self, error: Any) -> None:
        self.told.append(("broken",))

    def failed(self, error: KernelError) -> None:
        self.told.append(("failed",))


async def write(world: Any, *amounts: int, stream: Any = None) -> Any:
    handler = world.handler()
    begun = stream is not None
    stream = stream or new_counter()
    if not begun:
        await handler.handle(request(stream, Open()))
    for amount in amounts:
        await handler.handle(request(stream, Add(amount)))
    return stream


async def put(world: Any, *events: Any) -> None:
    """Onto the bus by hand, in this order."""
    messages = [to_message(e, topic=TOPIC, source="/counters", wire_name=CODEC.wire_name) for e in events]
    await MemoryEventPublisher(world.bus).publish(messages)


async def rows(views: Any) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = {}
    async with views.reading() as reading:
        for view in VIEWS:
            stored = await reading.select(view, Query("default", limit=1_000))
            found[view.name] = {view.key_of(row.values): dict(row.values) for row in stored}
    return found


async def folded(world: Any) -> dict[str, dict[Any, Any]]:
    """What the rows must be: all streams of the journal, folded into a store of their own."""
    fresh = MemoryViewStore()
    await fresh.prepare(VIEWS)
    await world.projector(views=fresh).apply({stream: world.stored(stream) for stream in world.journal.streams})
    return await rows(fresh)


async def drain(projector: Any) -> None:
    while await projector.run_once():
        pass


async def version_of(views: Any, stream: Any, view: Any = COUNTER_VIEW) -> int:
    async with views.reading() as reading:
        return int((await reading.checkpoints(view, [stream]))[stream].version)


async def test_rows_are_the_fold_of_the_events(world: Any) -> None:
    one, two = await write(world, 3, 4), await write(world, 10)
    await world.relay().run_once()
    await drain(world.projector())
    found = await rows(world.views)
    assert found["counter_view"] == {
        (one.id,): {"id": one.id, "status": "OPEN", "total": 7},
        (two.id,): {"id": two.id, "status": "OPEN", "total": 10},
    }
    assert found["counter_sums"] == {("OPEN",): {"status": "OPEN", "counters": 2, "total": 17}}
    assert found == await folded(world)


async def test_duplicates_are_dropped(world: Any) -> None:
    stream = await write(world, 1, 2)
    events, seen = world.stored(stream), Seen()
    await put(world, *events, *events)
    projector = world.projector(observer=seen)
    await drain(projector)
    await put(world, *events)
    await drain(projector)
    assert await rows(world.views) == await folded(world)
    assert ("applied", "counter_view", 0, 3) in seen.told


async def test_a_gap_is_filled_from_the_journal(world: Any) -> None:
    streams = [await write(world, 1, 2, 3) for _ in range(3)]
    seen = Seen()
    await put(world, *(world.stored(stream)[3] for stream in streams))
    await drain(world.projector(observer=seen))
    assert await rows(world.views) == await folded(world)
    assert seen.told.count(("gap", "counter_view", 3)) == 3


async def test_events_out_of_order_end_in_the_same_rows(world: Any) -> None:
    stream = await write(world, 1, 2, 3)
    await put(world, *reversed(world.stored(stream)))
    await drain(world.projector())
    assert await rows(world.views) == await folded(world)


async def test_a_gap_that_the_journal_cannot_fill_parks_that_stream_alone(world: Any) -> None:
    stream, other = await write(world, 1), await write(world, 5)
    first, second = world.stored(stream)
    await put(world, first, replace(second, version=9), *world.stored(other))
    seen = Seen()
    await drain(world.projector(observer=seen))
    assert ("parked", "counter_view", stream) in seen.told
    assert await version_of(world.views, stream) == 1
    assert await version_of(world.views, other) == 2


async def test_another_event_under_a_known_version_is_a_divergence_and_parks_the_stream(world: Any) -> None:
    stream, other = await write(world, 1), await write(world, 5)
    first, second = world.stored(stream)
    projector = world.projector()
    await put(world, first, second)
    await drain(projector)
    await put(world, replace(second, event_id=uuid4()), *world.stored(other))
    await drain(projector)
    async with world.views.transaction() as transaction:
        (lane,) = (await transaction.parked(COUNTER_VIEW, [stream])).values()
    assert "expected event" in lane[0].error
    assert await version_of(world.views, other) == 2


async def test_two_events_under_one_version_in_one_batch_are_a_divergence_too(world: Any) -> None:
    stream = await write(world, 1)
    first, second = world.stored(stream)
    await put(world, first, second, replace(second, event_id=uuid4()))
    seen = Seen()
    await drain(world.projector(observer=seen))
    assert await version_of(world.views, stream) == 2
    assert ("parked", "counter_view", stream) in seen.told


async def test_poison_parks_its_stream_in_order_and_others_flow(world: Any) -> None:
    poison, other = await write(world, 1, 2), await write(world, 5)
    seen = Seen()

    def picky(event: Any) -> Any:
        if event.stream == poison and event.version == 2:
            raise UpcastFailed("Added", version=1, cause="an enum nobody knows")
        return decode(event)

    projector = world.projector(decode=picky, observer=seen)
    await put(world, *world.stored(poison), *world.stored(other))
    await drain(projector)
    await write(world, 3, stream=poison)
    await put(world, world.stored(poison)[3])
    await drain(projector)
    async with world.views.transaction() as transaction:
        lane = (await transaction.parked(COUNTER_VIEW, [poison]))[poison]
    assert [entry.event.version for entry in lane] == [2, 3, 4]
    assert [bool(entry.error) for entry in lane] == [True, False, False]
    assert await version_of(world.views, poison) == 1
    assert await version_of(world.views, other) == 2
    assert seen.told.count(("parked", "counter_view", poison)) == 1


async def test_a_fold_that_breaks_is_poison(world: Any) -> None:
    stream, other = await write(world, 1), await write(world, 2)

    def broken(state: Any, event: Any, recorded: Any) -> Any:
        if recorded.stream == stream:
            raise ZeroDivisionError
        return COUNTER_VIEW.fold(state, event, recorded)

    await put(world, *world.stored(stream), *world.stored(other))
    await drain(world.projector(declared=(replace(COUNTER_VIEW, fold=broken), COUNTER_SUMS)))
    assert await version_of(world.views, stream) == 0
    assert await version_of(world.views, stream, COUNTER_SUMS) == 2
    assert await version_of(world.views, other) == 2


async def test_a_row_that_the_store_refuses_parks_its_stream_in_its_view_and_nothing_else(world: Any) -> None:
    bad, other = await write(world, 1, 2), await write(world, 2)
    views = FaultyViewStore(world.views, Faults())
    views.refused[bad] = "counter_sums"
    await put(world, *world.stored(bad), *world.stored(other))
    seen = Seen()
    await drain(world.projector(views=views, observer=seen))
    assert await version_of(world.views, bad, COUNTER_VIEW) == 3
    assert await version_of(world.views, bad, COUNTER_SUMS) == 0
    assert await version_of(world.views, other, COUNTER_SUMS) == 2
    assert [told for told in seen.told if told[0] == "parked"] == [("parked", "counter_sums", bad)]


async def test_a_lane_is_folded_again_once_its_cause_is_repaired(world: Any) -> None:
    bad = await write(world, 1, 2)
    views = FaultyViewStore(world.views, Faults())
    views.refused[bad] = None
    projector = world.projector(views=views)
    await put(world, *world.stored(bad))
    await drain(projector)
    await write(world, 3, 4, stream=bad)
    views.refused.clear()
    tools = {"decode": decode, "journal": world.store, "clock": SystemClock()}
    dry = await retry_parked(world.views, COUNTER_VIEW, bad, dry_run=True, **tools)
    assert (dry.from_version, dry.to_version, dry.still_parked) == (0, 3, 0)
    assert [change.after and change.after["total"] for change in dry.changes] == [3]
    assert await version_of(world.views, bad) == 0
    for view in VIEWS:
        real = await retry_parked(world.views, view, bad, **tools)
        assert (real.to_version, real.still_parked, real.error) == (3, 0, "")
    await put(world, *world.stored(bad)[3:])
    await drain(projector)
    assert await rows(world.views) == await folded(world)


async def test_a_retry_fills_gaps_before_the_lane_and_keeps_what_still_fails(world: Any) -> None:
    bad = await write(world, 1, 2, 3)
    views = FaultyViewStore(world.views, Faults())
    views.refused[bad] = None
    await put(world, world.stored(bad)[2], world.stored(bad)[3])
    await drain(world.projector(views=views))

    def picky(event: Any) -> Any:
        if event.version == 4:
            raise UpcastFailed("Added", version=1, cause="still unknown")
        return decode(event)

    result = await retry_parked(world.views, COUNTER_VIEW, bad, decode=picky, journal=world.store, clock=SystemClock())
    assert (result.to_version, result.still_parked) == (3, 1)
    assert "UpcastFailed at Added (schema version" in result.error
    async with world.views.transaction() as transaction:
        (entry,) = (await transaction.parked(COUNTER_VIEW, [bad]))[bad]
    assert (entry.event.version, "still unknown" in entry.error) == (4, False)
    assert await drop_parked(world.views, COUNTER_VIEW, bad) == 1
    assert await drop_parked(world.views, COUNTER_VIEW, bad) == 0


async def test_a_retry_of_no_lane_changes_nothing(world: Any) -> None:
    stream = await write(world, 1)
    result = await retry_parked(
        world.views, COUNTER_VIEW, stream, decode=decode, journal=world.store, clock=SystemClock()
    )
    assert (result.from_version, result.to_version, result.changes) == (0, 0, ())


async def test_records_that_are_no_events_are_named_and_passed_over(world: Any) -> None:
    stream, seen = await write(world, 1), Seen()
    events = world.stored(stream)
    await MemoryEventPublisher(world.bus).publish([BusMessage(TOPIC, b"x", b"", (("ce_id", b"1"),))])
    await put(world, *events)
    await drain(world.projector(observer=seen))
    assert ("broken",) in seen.told
    assert await version_of(world.views, stream) == 2


@pytest.mark.parametrize("fault", ["begin_failed", "rolled_back", "committed_unknown"])
async def test_a_store_failure_repeats_the_batch_and_nothing_is_applied_twice(world: Any, fault: str) -> None:
    await write(world, 1, 2)
    await world.relay().run_once()
    faults = Faults()
    views = FaultyViewStore(world.views, faults)
    subscription = world.subscription()
    projector = world.projector(subscription, views)
    faults.script(fault)
    with pytest.raises(KernelError):
        await projector.run_once()
    await subscription.rewind()
    await drain(projector)
    assert await rows(world.views) == await folded(world)


async def test_a_batch_is_not_left_behind_when_the_rewind_fails_too(world: Any) -> None:
    stream = await write(world, 1, 2)
    await world.relay().run_once()
    faults, seen = Faults(), Seen()
    faults.script("rolled_back")
    faults.script("rewind_failed", 3)
    projector = world.projector(
        FaultySubscription(world.subscription(), faults),
        FaultyViewStore(world.views, faults),
        clock=world.clock,
        observer=seen,
        poll_seconds=0.001,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(projector.run(stop))
    for _ in range(400):
        await asyncio.sleep(0)
        await world.clock.advance(0.1)
        if await version_of(world.views, stream) == 3:
            break
    stop.set()
    await running
    assert await version_of(world.views, stream) == 3
    assert seen.told.count(("failed",)) == 4


class Polls:
    """A subscription that remembers how often it was asked, and can fail once."""

    def __init__(self, inner: Any, fails_at: int = 0) -> None:
        self.inner, self.fails_at, self.asked = inner, fails_at, 0

    async def poll(self, records_max: int, timeout_seconds: float) -> Any:
        self.asked += 1
        if self.asked == self.fails_at:
            raise StoreUnavailable("bus", "away for a moment")
        return await self.inner.poll(records_max, timeout_seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_behind_a_full_batch_the_next_one_is_read_and_folded_before_it_is_asked_for(world: Any) -> None:
    streams = [await write(world, 1, 2, 3) for _ in range(4)]
    for stream in streams:
        await put(world, *world.stored(stream))
    subscription = Polls(world.subscription())
    projector = world.projector(subscription, records_max=5)
    assert await projector.run_once() == 5
    assert subscription.asked == 2
    # Only what was asked for is applied.
    assert sum([await version_of(world.views, stream) for stream in streams]) == 5
    await drain(projector)
    assert await rows(world.views) == await folded(world)


async def test_a_batch_that_is_not_full_is_all_there_is(world: Any) -> None:
    await put(world, *world.stored(await write(world, 1, 2)))
    subscription = Polls(world.subscription())
    assert await world.projector(subscription, records_max=5).run_once() == 3
    assert subscription.asked == 1


async def test_what_was_read_ahead_is_read_again_when_the_batch_before_it_fails(world: Any) -> None:
    for _ in range(4):
        await put(world, *world.stored(await write(world, 1, 2, 3)))
    faults = Faults()
    subscription = world.subscription()
    projector = world.projector(subscription, FaultyViewStore(world.views, faults), records_max=5)
    await projector.run_once()
    faults.script("rolled_back")
    with pytest.raises(StoreUnavailable):
        await projector.run_once()
    await subscription.rewind()
    await drain(projector)
    assert await rows(world.views) == await folded(world)


async def test_a_bus_that_fails_while_a_batch_is_written_takes_nothing_from_it(world: Any) -> None:
    streams = [await write(world, 1, 2, 3) for _ in range(3)]
    for stream in streams:
        await put(world, *world.stored(stream))
    subscription = Polls(world.subscription(), fails_at=2)
    projector = world.projector(subscription, records_max=5)
    with pytest.raises(StoreUnavailable):
        await projector.run_once()
    assert sum([await version_of(world.views, stream) for stream in streams]) == 5
    await subscription.rewind()
    await drain(projector)
    assert await rows(world.views) == await folded(world)


async def test_a_store_that_another_has_moved_meanwhile_decides(world: Any) -> None:
    streams = [await write(world, 1) for _ in range(3)]
    for stream in streams:
        await put(world, *world.stored(stream))
    subscription, seen = world.subscription(), Seen()
    projector = world.projector(subscription, observer=seen)
    await drain(projector)
    new = [await write(world, 4, 5, stream=stream) for stream in streams]
    other = world.projector(world.subscription("others"))
    await drain(other)
    for stream in new:
        await put(world, *world.stored(stream)[2:])
    await drain(other)
    await drain(projector)
    assert ("applied", "counter_view", 0, 6) in seen.told
    assert await rows(world.views) == await folded(world)


async def test_a_stream_that_waits_in_a_lane_costs_the_others_nothing_that_is_known_of_them(world: Any) -> None:
    poison, other = await write(world, 1), await write(world, 5)
    await put(world, *world.stored(poison), *world.stored(other))
    projector = world.projector()
    await drain(projector)
    for stream in (poison, other):
        await write(world, 2, stream=stream)
    async with world.views.transaction() as transaction:
        await transaction.park(COUNTER_VIEW, [ParkedEvent(world.stored(poison)[2], "by hand", SystemClock().now())])
    await put(world, world.stored(poison)[2], world.stored(other)[2])
    await drain(projector)
    assert projector._states.known(COUNTER_VIEW, poison) is None
    assert projector._states.known(COUNTER_VIEW, other)[0].version == 3
    assert await version_of(world.views, poison) == 2
    assert await version_of(world.views, poison, COUNTER_SUMS) == 3


async def test_views_that_fold_alike_are_folded_once(world: Any) -> None:
    stream, folds = await write(world, 1, 2), 0

    def counted(state: Any, event: Any, recorded: Any) -> Any:
        nonlocal folds
        folds += 1
        return COUNTER_VIEW.fold(state, event, recorded)

    views = tuple(replace(view, fold=counted, codec=COUNTER_VIEW.codec) for view in VIEWS)
    first, *others = world.stored(stream)
    alike = tuple(replace(view, initial=COUNTER_VIEW.initial) for view in views)
    projector = world.projector(declared=alike)
    for events in ([first], others):
        await put(world, *events)
        await drain(projector)
    assert folds == 3
    assert await rows(world.views) == await folded(world)


async def test_stopping_does_not_wait_for_the_backoff(world: Any) -> None:
    faults = Faults()
    faults.script("poll_failed")
    subscription = FaultySubscription(world.subscription(), faults)
    projector = world.projector(subscription, clock=world.clock, poll_seconds=0.001)
    stop = asyncio.Event()
    running = asyncio.create_task(projector.run(stop))
    for _ in range(5):
        await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await running


async def test_a_store_that_is_the_wrong_one_ends_it(world: Any) -> None:
    await write(world, 1)
    await world.relay().run_once()
    with pytest.raises(StoreMismatch):
        await world.projector(views=MemoryViewStore()).run(asyncio.Event())


async def test_a_crash_between_commit_and_offset_repeats_events_and_not_their_effect(world: Any) -> None:
    await write(world, 1, 2)
    await world.relay().run_once()
    faults = Faults()
    subscription = FaultySubscription(world.subscription(), faults)
    faults.script("commit_failed")
    with pytest.raises(KernelError):
        await world.projector(subscription).run_once()
    await subscription.close()
    seen = Seen()
    await drain(world.projector(observer=seen))
    assert ("applied", "counter_view", 0, 3) in seen.told
    assert await rows(world.views) == await folded(world)


@pytest.mark.parametrize("seed", range(25))
async def test_two_projectors_under_rebalances_redelivery_and_faults_end_in_the_fold(world: Any, seed: int) -> None:
    random = Random(seed)
    names = ["poll_failed", "poll_again", "commit_failed", "rewind_failed"]
    names += ["begin_failed", "rolled_back", "committed_unknown"]
    faults = Faults(seed, **{name: random.choice([0.0, 0.1, 0.3]) for name in names})
    handler = world.handler()
    streams = [await write(world) for _ in range(8)]
    for _ in range(80):
        stream = random.choice(streams)
        command = Close() if random.random() < 0.02 else Add(random.randrange(9))
        if world.journal.streams[stream].events[-1].type != "Closed":
            await handler.handle(request(stream, command))
    relays = Faults(seed, publish_unacknowledged=0.3, advance_unknown=0.3)
    relay = world.relay(relays, events_max=7, readback_records_max=random.choice([0, 100]))
    finished = asyncio.Event()

    async def relaying() -> None:
        while sum(stored.head - stored.published for stored in world.journal.streams.values()):
            try:
                await relay.run_once()
            except KernelError:
                relay._must_read_back = True
            await asyncio.sleep(0)
        finished.set()

    async def projecting() -> None:
        views = FaultyViewStore(world.views, faults)
        subscription = FaultySubscription(world.subscription(), faults)
        projector = world.projector(subscription, views, records_max=random.choice([1, 5, 100]))
        rewind = False
        while True:
            ending = finished.is_set()
            try:
                if rewind:
                    await subscription.rewind()
                    rewind = False
                taken = await projector.run_once()
            except KernelError:
                rewind = True
                projector._states.clear()
                continue
            if ending and not taken:
                break
            if random.random() < 0.1:
                await subscription.close()
                subscription = FaultySubscription(world.subscription(), faults)
                projector._subscription = subscription
            await asyncio.sleep(0)
        await subscription.close()

    async with asyncio.timeout(30):
        await asyncio.gather(relaying(), projecting(), projecting())
        await drain(world.projector())
    assert await rows(world.views) == await folded(world)
