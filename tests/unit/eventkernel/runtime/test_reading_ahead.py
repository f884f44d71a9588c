"""A long stream's next page is read while one is folded; whoever stops folding stops reading."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from eventkernel.errors import EventUnreadable
from eventkernel.ports import Loaded
from eventkernel.runtime import repository as repository_module
from eventkernel.runtime.repository import Repository
from eventkernel.testing.counter import COUNTERS, Add, Open, new_counter, request
from eventkernel.testing.faulty import FaultyEventStore

EVENTS, PAGE = 10, 3


class Watched(FaultyEventStore):
    """Keeps what is asked for and what has ended; pages after the first wait until they are ``free``."""

    asked: list[int]
    ended: list[int]
    second: asyncio.Event
    free: asyncio.Event
    broken = False

    async def load(self, stream: Any, **options: Any) -> Loaded:
        self.asked.append(options["after"])
        try:
            if options["after"]:
                self.second.set()
                await self.free.wait()
            loaded = await super().load(stream, **options)
        finally:
            self.ended.append(options["after"])
        if self.broken:
            return Loaded([replace(event, type="Nothing") for event in loaded.events], loaded.position)
        return loaded


@pytest.fixture
async def watched(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(repository_module, "PAGE_EVENTS_MAX", PAGE)
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    for number in range(EVENTS - 1):
        await handler.handle(request(stream, Add(number)))
    await handler.drain()
    store = Watched(world.store, world.faults)
    store.asked, store.ended, store.second, store.free = [], [], asyncio.Event(), asyncio.Event()
    return store, Repository(COUNTERS, store, world.snapshots), stream


async def test_pages_follow_one_another_to_the_head(watched: Any) -> None:
    store, repository, stream = watched
    store.free.set()
    loaded = await repository.load(stream)
    assert (loaded.version, loaded.state.additions) == (EVENTS, EVENTS - 1)
    assert store.asked == [0, 3, 6, 9]


async def test_the_next_page_is_asked_for_before_one_is_folded(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, repository, stream = watched
    store.free.set()
    asked_when_folding: list[int] = []
    fold = repository._evolve

    def seen(aggregate: Any, events: Any) -> Any:
        asked_when_folding.append(len(store.asked))
        return fold(aggregate, events)

    monkeypatch.setattr(repository, "_evolve", seen)
    await repository.load(stream)
    assert asked_when_folding == [2, 3, 4, 4]


async def test_a_page_that_cannot_be_folded_ends_the_reading(watched: Any) -> None:
    store, repository, stream = watched
    store.broken = True
    with pytest.raises(EventUnreadable):
        await repository.load(stream)
    assert store.asked == store.ended == [0, 3]


async def test_a_caller_that_leaves_ends_the_reading(watched: Any) -> None:
    store, repository, stream = watched
    load = asyncio.ensure_future(repository.load(stream))
    await store.second.wait()
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert store.ended == [0, 3]


async def test_an_error_of_the_next_page_is_the_readers(watched: Any) -> None:
    store, repository, stream = watched
    store.free.set()

    async def failing(stream: Any, **options: Any) -> Loaded:
        if options["after"] == 6:
            raise ConnectionError("gone")
        return await Watched.load(store, stream, **options)

    store.load = failing
    with pytest.raises(ConnectionError, match="gone"):
        await repository.load(stream)
