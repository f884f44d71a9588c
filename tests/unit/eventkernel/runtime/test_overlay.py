"""A token is looked for on the bus, in the cache, in the view, and last in the journal; and memory never changes an answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from eventkernel.errors import TokenNotReached
from eventkernel.filters import Order, Query
from eventkernel.ports import Checkpoint, StreamChange, TopicPartition
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.corrections import note_correction
from eventkernel.runtime.overlay import Overlay, OverlayFull, OverlaySettings
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.runtime.row_cache import RowCache, Standing
from eventkernel.runtime.telling_event_store import TellingEventStore
from eventkernel.testing.counter import (
    COUNTER_SUMS,
    COUNTER_VIEW,
    Add,
    Close,
    Open,
    Shown,
    decode,
    new_counter,
    request,
)
from eventkernel.view import changes
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import SystemClock

TOPIC = "counters"
EVERY = Query("default", order=Order(("id",)), limit=100)


@dataclass
class Told:
    """``OverlayObserver``: what was told."""

    events: int = 0
    refused: int = 0

    def journal_read(self, events: int) -> None:
        self.events += events

    def degraded(self) -> None:
        self.refused += 1


@dataclass
class Side:
    """A query side whose bus and views are those of a world."""

    world: Any
    bus_seconds: float = 0.0
    events_max: int = 1_000
    tail: Any = MemoryBusTail

    def __post_init__(self) -> None:
        self.cache: RowCache[Any] = RowCache(decode)
        self.told = Told()
        self.progress = ViewProgress()
        self.tail = OverlayTail(
            self.tail(self.world.bus),
            topic=TOPIC,
            group="views",
            clock=SystemClock(),
            settings=OverlayTailSettings(committed_seconds=0, events_max=self.events_max),
        )
        self.overlay = Overlay(
            self.world.views,
            self.tail,
            self.world.store,
            decode=decode,
            cache=self.cache,
            clock=SystemClock(),
            progress=self.progress,
            settings=OverlaySettings(bus_seconds=self.bus_seconds),
            observer=self.told,
        )

    async def shown(self, stream: Any, version: int = 0) -> Any:
        """The counter's row through the overlay, with a token for a version if there is one."""
        async with self.overlay.reading(COUNTER_VIEW, {stream: version} if version else {}) as reading:
            row = await reading.get(COUNTER_VIEW, stream.tenant, (stream.id,))
        return row and (row.values["status"], row.values["total"])


async def store(world: Any, *commands: Any, stream: Any = None, events: Any = None) -> Any:
    stream = stream or new_counter()
    handler = world.handler(store=events)
    for command in commands:
        await handler.handle(request(stream, command))
    return stream


async def test_a_token_on_the_bus_is_reached_without_the_journal(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2), Add(3))
    await world.relay().run_once()
    assert await side.shown(stream, 3) == ("OPEN", 5)
    assert side.overlay.journal_reads == 0


async def test_a_token_that_the_bus_lacks_is_read_from_the_journal_up_to_its_version_and_counted(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2), Add(3))
    assert await side.shown(stream, 2) == ("OPEN", 2)
    assert (side.overlay.journal_reads, side.told.events) == (1, 2)
    assert await side.shown(stream, 3) == ("OPEN", 5)
    assert (side.overlay.journal_reads, side.told.events) == (2, 3)


async def test_a_version_read_from_the_journal_is_kept_until_the_cache_is_flushed(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2))
    for reads in (1, 1):
        assert await side.shown(stream, 2) == ("OPEN", 2)
        assert side.overlay.journal_reads == reads
    side.cache.clear()
    assert await side.shown(stream, 2) == ("OPEN", 2)
    assert side.overlay.journal_reads == 2


async def test_the_bus_gets_a_moment_before_the_journal_is_asked(world: Any) -> None:
    side = Side(world, bus_seconds=20)
    stream = await store(world, Open())
    asked = asyncio.create_task(side.shown(stream, 1))
    await asyncio.wait({asked}, timeout=0.02)
    assert not asked.done()
    await world.relay().run_once()
    assert await asked == ("OPEN", 0)
    assert side.overlay.journal_reads == 0


async def test_a_view_that_gets_there_first_serves_as_well_as_the_bus(world: Any) -> None:
    side = Side(world, bus_seconds=20)
    stream = await store(world, Open())
    asked = asyncio.create_task(side.shown(stream, 1))
    await asyncio.wait({asked}, timeout=0.02)
    await world.projector().apply({stream: world.stored(stream)})
    side.progress.notify()
    assert await asked == ("OPEN", 0)
    assert side.overlay.journal_reads == 0


async def test_once_the_bus_was_behind_nobody_waits_for_it_until_it_moves(world: Any) -> None:
    side = Side(world, bus_seconds=0.01)
    late = await store(world, Open())
    assert await side.shown(late, 1) == ("OPEN", 0)
    side.overlay._settings = replace(side.overlay._settings, bus_seconds=3_600)
    later = await store(world, Open())
    async with asyncio.timeout(20):
        assert await side.shown(later, 1) == ("OPEN", 0)
    await world.relay().run_once()
    await side.tail.catch_up()
    latest = await store(world, Open())
    asked = asyncio.create_task(side.shown(latest, 1))
    await asyncio.wait({asked}, timeout=0.02)
    assert not asked.done()
    await world.relay().run_once()
    assert await asked == ("OPEN", 0)


class HangingTail(MemoryBusTail):
    """A bus that is asked and says nothing, as one does that was frozen."""

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        await asyncio.Event().wait()
        return {}


async def test_a_bus_that_hangs_is_waited_for_no_longer_than_one_that_is_behind(world: Any) -> None:
    side = Side(world, bus_seconds=0.01, tail=HangingTail)
    following = asyncio.create_task(side.tail.run(asyncio.Event()))
    streams = [await store(world, Open()) for _ in range(20)]
    async with asyncio.timeout(20):
        shown = await asyncio.gather(*(side.shown(stream, 1) for stream in streams))
    assert shown == [("OPEN", 0)] * 20
    assert side.overlay.journal_reads == 20
    following.cancel()


class OneReading:
    """A view store with room for one reading."""

    def __init__(self, views: Any) -> None:
        self._views = views
        self._room = asyncio.Semaphore(1)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        async with self._room, self._views.reading() as reading:
            yield reading


class HangingJournal:
    """A journal that is asked and says nothing until ``goes_on``."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def load(self, stream: Any, **limits: Any) -> Any:
        self.asked.set()
        await self.goes_on.wait()
        return await self._events.load(stream, **limits)


async def test_while_the_journal_is_waited_for_others_may_read(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2))
    views, journal = OneReading(world.views), HangingJournal(world.store)
    side.overlay._views, side.overlay._journal = views, journal  # type: ignore[assignment]
    asked = asyncio.create_task(side.shown(stream, 2))
    async with asyncio.timeout(20):
        await journal.asked.wait()
        async with views.reading() as reading:
            assert await reading.get(COUNTER_VIEW, "default", (stream.id,)) is None
        journal.goes_on.set()
        assert await asked == ("OPEN", 2)
    assert side.overlay.journal_reads == 1


async def test_a_deadline_leaves_time_for_the_journal(world: Any) -> None:
    side = Side(world, bus_seconds=3_600)
    stream = await store(world, Open())
    async with asyncio.timeout(20):
        async with side.overlay.reading(COUNTER_VIEW, {stream: 1}, deadline_seconds=0.02) as reading:
            assert await reading.get(COUNTER_VIEW, "default", (stream.id,)) is not None
    assert side.overlay.journal_reads == 1


async def test_a_version_that_nobody_has_written_is_refused_with_the_one_there_is(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(1))
    with pytest.raises(TokenNotReached) as refused:
        await side.shown(stream, 3)
    assert (refused.value.wanted, refused.value.reached) == (3, 2)


async def test_an_event_that_cannot_be_folded_shows_what_is_before_it_and_its_token_is_not_reached(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2))
    stored = world.journal.streams[stream].events
    stored[1] = replace(stored[1], type="Nonsense")
    await world.relay().run_once()
    await side.tail.catch_up()
    assert await side.shown(stream) == ("OPEN", 0)
    with pytest.raises(TokenNotReached) as refused:
        await side.shown(stream, 2)
    assert refused.value.reached == 1


async def test_what_the_command_side_of_the_process_stores_is_in_lists_at_once(world: Any) -> None:
    side = Side(world)
    await side.tail.catch_up()
    events = TellingEventStore(world.store, side.overlay.appended)
    streams = [await store(world, Open(), Add(number), events=events) for number in range(3)]
    async with side.overlay.reading(COUNTER_VIEW, {streams[2]: 2}) as reading:
        found = await reading.select(COUNTER_VIEW, EVERY)
    assert sorted(row.values["total"] for row in found) == [0, 1, 2]
    assert side.overlay.journal_reads == 0


async def test_sums_change_by_what_is_pending(world: Any) -> None:
    side = Side(world)
    one, other = await store(world, Open(), Add(5)), await store(world, Open(), Add(7))
    await world.relay().run_once()
    await world.projector().run_once()
    await store(world, Close(), stream=one)
    await store(world, Add(1), stream=other)
    await world.relay().run_once()
    await side.tail.catch_up()
    async with side.overlay.reading(COUNTER_SUMS, {}) as reading:
        query = Query("default", order=Order(("status",)), limit=10)
        found = [tuple(row.values.values()) for row in await reading.select(COUNTER_SUMS, query)]
    assert found == [("CLOSED", 1, 5), ("OPEN", 1, 8)]
    assert reading.events_overlaid == 2


async def test_a_snapshot_that_is_newer_than_the_overlay_has_the_say(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2))
    await world.relay().run_once()
    await side.tail.catch_up()
    await store(world, Add(3), stream=stream)
    await world.projector().apply({stream: world.stored(stream)})
    async with side.overlay.reading(COUNTER_VIEW, {}) as reading:
        row = await reading.get(COUNTER_VIEW, "default", (stream.id,))
        (listed,) = await reading.select(COUNTER_VIEW, EVERY)
        assert await reading.count(COUNTER_VIEW, EVERY) == 1
    assert row is not None
    assert (row.values["total"], listed.values["total"], reading.events_overlaid) == (5, 5, 0)


async def test_a_reading_is_refused_while_too_much_is_pending(world: Any) -> None:
    side = Side(world, events_max=1)
    await store(world, Open())
    await world.relay().run_once()
    await side.tail.catch_up()
    async with AsyncExitStack() as stack:
        with pytest.raises(OverlayFull):
            await stack.enter_async_context(side.overlay.reading(COUNTER_VIEW, {}))
    assert side.told.refused == 1
    await world.projector().run_once()
    await side.tail.catch_up()
    async with side.overlay.reading(COUNTER_VIEW, {}) as reading:
        assert len(await reading.select(COUNTER_VIEW, EVERY)) == 1


async def test_the_projector_writes_the_cache_through(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(4))
    await world.relay().run_once()
    projector = world.projector()
    projector._on_folded = side.cache.projected
    await projector.run_once()
    kept = side.cache.find(COUNTER_VIEW, stream, 2)
    assert kept is not None
    assert kept.state == Shown(stream.id, "OPEN", 4)
    assert (side.cache.hits, side.cache.misses) == (1, 0)
    assert side.cache.rows(COUNTER_VIEW, stream, 2) == {(stream.id,): {"id": stream.id, "status": "OPEN", "total": 4}}


async def corrected(world: Any, stream: Any, status: str) -> None:
    """Mend the stream's row in its place, as a rebuild of the stream does in some other process."""
    async with world.views.transaction() as transaction:
        known = (await transaction.load(COUNTER_VIEW, [stream]))[stream]
        old = COUNTER_VIEW.codec.decode(known.state)
        new = replace(old, status=status)
        at = Checkpoint(known.version, known.event_id, COUNTER_VIEW.codec.encode(new))
        put = changes(COUNTER_VIEW, old, new)
        await transaction.save(COUNTER_VIEW, [StreamChange(stream, known.version, at, put)])
        await note_correction(transaction, COUNTER_VIEW, SystemClock())


async def test_what_another_process_mends_is_not_overlaid_with_what_was_kept_before(world: Any) -> None:
    side = Side(world)
    streams = [await store(world, Open(), Add(2)) for _ in range(2)]
    await world.relay().run_once()
    for stream in streams:
        assert await side.shown(stream, 2) == ("OPEN", 2)
    await world.projector().run_once()
    await side.tail.catch_up()  # what is stored is pending no more; its states are kept
    assert side.tail.events == 0
    pending, quiet = streams
    await store(world, Add(3), stream=pending)
    await world.relay().run_once()
    assert await side.shown(pending, 3) == ("OPEN", 5)
    for stream in streams:
        await corrected(world, stream, "MENDED")
    assert await side.shown(pending, 3) == ("MENDED", 5)
    assert await side.shown(quiet, 2) == ("MENDED", 2)
    async with side.overlay.reading(COUNTER_VIEW, {}) as reading:
        page = await reading.select(COUNTER_VIEW, EVERY)
    assert [row.values["status"] for row in page] == ["MENDED", "MENDED"]
    await world.projector().run_once()
    assert await side.shown(pending, 3) == ("MENDED", 5)


async def test_a_reading_from_before_a_correction_brings_back_nothing(world: Any) -> None:
    side = Side(world)
    stream = await store(world, Open(), Add(2))
    await world.relay().run_once()
    await world.projector().run_once()
    await side.tail.catch_up()
    await store(world, Add(3), stream=stream)
    await world.relay().run_once()
    await side.tail.catch_up()
    async with world.views.reading() as before:
        await corrected(world, stream, "MENDED")
        assert await side.shown(stream, 3) == ("MENDED", 5)
        await store(world, Add(1), stream=stream)
        await world.relay().run_once()
        await side.tail.catch_up()
        await side.overlay.layer(before, COUNTER_VIEW)
    assert await side.shown(stream, 4) == ("MENDED", 6)


async def test_a_cache_answers_with_what_is_new_enough_and_with_nothing_else(world: Any) -> None:
    cache: RowCache[Any] = RowCache(decode, states_max=2)
    streams = [new_counter() for _ in range(3)]
    for stream in streams:
        cache.keep(COUNTER_VIEW, stream, Standing(2, None, Shown(stream.id)))
    assert cache.find(COUNTER_VIEW, streams[0], 1) is None
    cache.keep(COUNTER_VIEW, streams[1], Standing(1, None, Shown("older")))
    kept = cache.find(COUNTER_VIEW, streams[1], 2)
    assert kept is not None
    assert kept.state == Shown(streams[1].id)
    assert cache.find(COUNTER_VIEW, streams[1], 3) is None
    assert cache.find(COUNTER_SUMS, streams[1], 1) is None
    assert (cache.hits, cache.misses) == (1, 3)


async def test_events_without_those_before_them_make_no_row(world: Any) -> None:
    cache: RowCache[Any] = RowCache(decode, streams_max=1)
    stream = await store(world, Open(), Add(1), Add(2))
    cache.appended(world.stored(stream)[1:])
    assert cache.find(COUNTER_VIEW, stream, 1) is None
    cache.appended(world.stored(stream)[:1])
    kept = cache.find(COUNTER_VIEW, stream, 3)
    assert kept is not None
    assert kept.state.total == 3
    other = await store(world, Open())
    cache.appended(world.stored(other))
    cache._states.clear()
    assert cache.find(COUNTER_VIEW, stream, 1) is None
