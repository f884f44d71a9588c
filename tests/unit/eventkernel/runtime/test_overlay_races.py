"""What becomes pending, is passed by the projector or is let go while a reading is under way changes no answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from eventkernel.filters import Order, Query
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay, OverlaySettings
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.runtime.row_cache import RowCache
from eventkernel.testing.counter import COUNTER_VIEW, Add, Open, decode, new_counter, request
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import SystemClock

TOPIC = "counters"
Meanwhile = Callable[[], Awaitable[None]]


class Interrupted:
    """A reading, beside whose look-ups something else happens before their answers come."""

    def __init__(self, below: Any, meanwhile: Meanwhile) -> None:
        self._below = below
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    async def get(self, *arguments: Any) -> Any:
        found = await self._below.get(*arguments)
        await self._meanwhile()
        return found


class InterruptedViews:
    """A view store whose readings are interrupted once."""

    def __init__(self, views: Any) -> None:
        self._views = views
        self.meanwhile: Meanwhile | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        async with self._views.reading() as below:
            yield Interrupted(below, self._once)

    async def _once(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()


class Side:
    """An overlay over such views, and a projector that commits nothing: what it has folded stays pending."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.views = InterruptedViews(world.views)
        self.tail = OverlayTail(
            MemoryBusTail(world.bus),
            topic=TOPIC,
            group="views",
            clock=SystemClock(),
            settings=OverlayTailSettings(committed_seconds=0),
        )
        self.cache = RowCache(decode)
        self.overlay: Overlay[Any] = Overlay(
            self.views,  # type: ignore[arg-type]
            self.tail,
            world.store,
            decode=decode,
            cache=self.cache,
            clock=SystemClock(),
            progress=ViewProgress(),
            settings=OverlaySettings(bus_seconds=0),
        )

    async def write(self, stream: Any, *commands: Any) -> None:
        for command in commands:
            await self.world.handler().handle(request(stream, command))
        await self.world.relay().run_once()

    async def project(self, stream: Any) -> None:
        await self.world.projector().apply({stream: list(self.world.stored(stream))})

    async def read_bus(self) -> None:
        """Another reader comes by, and the overlay catches up."""
        await self.tail.catch_up()
        async with self.overlay.reading(COUNTER_VIEW, {}):
            pass

    async def listed(self, stream: Any, version: int) -> list[int]:
        """The totals of all rows, where something happens once the reading has begun."""
        async with self.overlay.reading(COUNTER_VIEW, {stream: version}) as reading:
            meanwhile, self.views.meanwhile = self.views.meanwhile, None
            if meanwhile is not None:
                await meanwhile()
            rows = await reading.select(COUNTER_VIEW, Query(stream.tenant, order=Order(("id",)), limit=10))
            assert await reading.count(COUNTER_VIEW, Query(stream.tenant)) == len(rows)
        return [row.values["total"] for row in rows]

    async def total(self, stream: Any, version: int) -> int | None:
        async with self.overlay.reading(COUNTER_VIEW, {stream: version}) as reading:
            row = await reading.get(COUNTER_VIEW, stream.tenant, (stream.id,))
        return None if row is None else row.values["total"]


async def test_a_row_of_the_view_whose_stream_becomes_pending_meanwhile_is_still_found(world: Any) -> None:
    side, stream = Side(world), new_counter()
    await side.write(stream, Open(), Add(2))
    await side.project(stream)
    side.views.meanwhile = side.read_bus
    assert await side.total(stream, 2) == 2


async def test_a_row_that_was_pending_and_is_folded_further_meanwhile_is_still_found(world: Any) -> None:
    side, stream = Side(world), new_counter()
    await side.write(stream, Open(), Add(2))
    await side.project(stream)

    async def more() -> None:
        await side.write(stream, Add(3))
        await side.read_bus()

    side.views.meanwhile = more
    assert await side.total(stream, 2) in (2, 5)


async def test_a_stream_that_is_kept_and_comes_over_the_bus_meanwhile_is_listed_once(world: Any) -> None:
    side, stream = Side(world), new_counter()
    await side.tail.catch_up()
    await side.write(stream, Open(), Add(2))
    side.cache.appended(world.stored(stream))
    side.views.meanwhile = side.read_bus
    assert await side.listed(stream, 2) == [2]
