"""Rebuilds on PostgreSQL, with projectors of several processes at work: no answer goes backwards, and all agree."""

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from eventkernel.filters import Query
from eventkernel.ports import ViewStore
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel.runtime.projector import Projector
from eventkernel.runtime.rebuild_admin import Wish, rebuilds, start_rebuilds
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_compare import Pair, compare
from eventkernel.runtime.rebuild_fill import FillSettings
from eventkernel.runtime.rebuild_record import Phase
from eventkernel.runtime.rebuild_switch import roll_back
from eventkernel.runtime.rebuilder import Rebuilder, RebuilderSettings
from eventkernel.testing.counter import COUNTER_SUMS, COUNTER_VIEW, COUNTERS, Add, Open, decode, new_counter, request
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.stream_directory import MemoryStreamDirectory
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore

if TYPE_CHECKING:
    from eventkernel.ids import StreamId

VIEWS = (COUNTER_VIEW, COUNTER_SUMS)
COUNTERS_MADE = 60
ADDITIONS = 200
SECONDS = 60.0


class Shop:
    """Writers and projectors over one journal; each view store is another process."""

    def __init__(self, bus: MemoryBus) -> None:
        self.journal = MemoryJournal()
        self.bus = bus
        self.streams: list[StreamId] = []
        self.finished = asyncio.Event()

    def sources(self, views: ViewStore) -> Sources[Any]:
        directory = MemoryStreamDirectory(self.journal)
        return Sources(views, MemoryEventStore(self.journal), directory, decode, SystemClock())

    async def write(self) -> None:
        random = Random(7)
        store = MemoryEventStore(self.journal)
        handler = CommandHandler(COUNTERS, store, MemorySnapshotStore(), SystemClock(), AggregateCache(100))
        for _ in range(COUNTERS_MADE):
            stream = new_counter()
            await handler.handle(request(stream, Open()))
            self.streams.append(stream)
        for _ in range(ADDITIONS):
            await handler.handle(request(random.choice(self.streams), Add(1)))
            await asyncio.sleep(0)

    async def project(self, views: ViewStore, share: int) -> None:
        """Half of the streams each, some at a time, again and again until all is written."""
        subscription = MemoryEventSubscription(self.bus, "views", ["counters"])
        store = MemoryEventStore(self.journal)
        projector = Projector(VIEWS, subscription, views, journal=store, decode=decode, clock=SystemClock())
        last = False
        while not last:
            last = self.finished.is_set()
            await asyncio.sleep(0)
            mine = sorted(stream for stream in self.journal.streams if hash(stream) % 2 == share)
            for at in range(0, len(mine), 10):
                await projector.apply({s: list(self.journal.streams[s].events) for s in mine[at : at + 10]})
        await subscription.close()

    async def read(self, views: ViewStore) -> None:
        seen: dict[StreamId, int] = {}
        while not self.finished.is_set():
            async with views.reading() as reading:
                found = await reading.select(COUNTER_VIEW, Query("default", limit=1_000))
                at = await reading.checkpoints(COUNTER_VIEW, sorted(self.streams))
            assert {row.stream for row in found} >= {stream for stream, version in seen.items() if version}
            assert not [stream for stream, checkpoint in at.items() if checkpoint.version < seen.get(stream, 0)]
            seen = {stream: checkpoint.version for stream, checkpoint in at.items()}

    async def rebuild(self, views: ViewStore) -> None:
        settings = RebuilderSettings(beat_seconds=0.05, fill=FillSettings(workers=4, events_max=50, streams_max=10))
        worker = Rebuilder("one", self.sources(views), VIEWS, settings=settings)
        for _ in range(3):
            wish = Wish("operator-1", switch_when_equal=True)
            await start_rebuilds(views, VIEWS, wish, clock=SystemClock())
            while await worker.run_once(asyncio.Event()):
                pass
            for _, _, rebuild in await rebuilds(views, VIEWS):
                assert rebuild is not None
                assert (rebuild.phase, rebuild.error) == (Phase.SWITCHED, ""), rebuild
        await roll_back(self.sources(views), COUNTER_SUMS)


async def test_views_are_rebuilt_switched_and_rolled_back_under_projectors_and_readers(
    settings: PostgresSettings,
) -> None:
    stores = [await PostgresViewStore.open(settings) for _ in range(3)]
    try:
        for store in stores:
            await store.prepare(VIEWS)
        bus = MemoryBus()
        await bus.create_topic("counters", 1)
        shop = Shop(bus)
        one, two, three = stores
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            others = [
                group.create_task(work) for work in (shop.project(one, 0), shop.project(two, 1), shop.read(three))
            ]
            await asyncio.gather(shop.write(), shop.rebuild(three))
            shop.finished.set()
            await asyncio.wait(others)
        for view, generation, _ in await rebuilds(one, VIEWS):
            answering = view.of_generation(generation)
            found = await compare(shop.sources(one), Pair(answering, answering, {}))
            assert found.agrees
            async with two.reading() as reading:
                at = await reading.checkpoints(view, shop.streams)
            assert {s: c.version for s, c in at.items()} == {s: shop.journal.streams[s].head for s in shop.streams}
    finally:
        for store in stores:
            await store.close()
