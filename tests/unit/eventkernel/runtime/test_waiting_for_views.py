"""Readers that wait for a view share their looks at it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.runtime.consistency import ViewProgress, wait_for
from eventkernel.testing.counter import COUNTER_VIEW, Open, new_counter, request
from eventkernel.testing.faulty import FaultyViewStore

READERS = 50


class Looked(FaultyViewStore):
    """A view store that counts its readings, and fails when told to."""

    looks = 0
    failing = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        self.looks += 1
        if self.failing:
            raise StoreUnavailable("views", "down")
        async with super().reading() as reading:
            yield reading


@pytest.fixture
def views(world: Any) -> Looked:
    return Looked(world.views, world.faults)


async def opened(world: Any) -> StreamId:
    stream: StreamId = new_counter()
    await world.handler().handle(request(stream, Open()))
    await world.relay().run_once()
    return stream


def waiting(world: Any, views: Looked, progress: ViewProgress, stream: StreamId) -> "asyncio.Task[None]":
    wanted = {stream: 1}
    return asyncio.create_task(
        wait_for(views, COUNTER_VIEW, wanted, clock=world.clock, deadline_seconds=30, progress=progress)
    )


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_many_that_wait_cost_one_look(world: Any, views: Looked) -> None:
    progress, streams = ViewProgress(), [await opened(world) for _ in range(READERS)]
    readers = [waiting(world, views, progress, stream) for stream in streams]
    await turns()
    before = views.looks
    await world.clock.advance(0.011)
    await turns()
    assert (before, views.looks) == (READERS, READERS + 1)
    await world.projector().run_once()
    progress.notify()
    async with asyncio.timeout(30):
        await asyncio.gather(*readers)
    assert views.looks == READERS + 2


async def test_one_that_comes_when_the_last_has_left_is_looked_for(world: Any, views: Looked) -> None:
    progress, projector = ViewProgress(), world.projector()
    for _ in range(3):
        stream = await opened(world)
        reader = waiting(world, views, progress, stream)
        await turns()
        assert await projector.run_once()
        progress.notify()
        async with asyncio.timeout(30):
            await reader


async def test_a_look_that_fails_is_told_to_all_who_wait(world: Any, views: Looked) -> None:
    progress = ViewProgress()
    readers = [waiting(world, views, progress, await opened(world)) for _ in range(3)]
    await turns()
    views.failing = True
    progress.notify()
    async with asyncio.timeout(30):
        failed = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(error) for error in failed] == [StoreUnavailable] * 3


async def test_nobody_looks_any_more_when_all_have_given_up(world: Any, views: Looked) -> None:
    progress, stream = ViewProgress(), await opened(world)
    reader = waiting(world, views, progress, stream)
    await turns()
    reader.cancel()
    await asyncio.wait({reader})
    before = views.looks
    progress.notify()
    await world.clock.advance(10)
    await turns()
    assert views.looks == before
