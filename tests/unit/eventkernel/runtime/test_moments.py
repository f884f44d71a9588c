"""Moments of a long stream are searched for, not read up to."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from eventkernel.ids import StreamId
from eventkernel.ports import EventStore, Loaded
from eventkernel.runtime import repository as repository_module
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.runtime.moments import WINDOW_EVENTS, head_of, last_within, until
from eventkernel.testing.counter import COUNTERS, Add, Open, new_counter, request

EVENTS = 1_000
SPAN = 100
SEARCHED = 4 + WINDOW_EVENTS
"""Halving 1,000 four times leaves a window."""


@dataclass(slots=True)
class Counted:
    """An event store that counts what it reads."""

    below: EventStore
    events: int = 0
    calls: int = field(default=0)

    async def load(self, stream: StreamId, **bounds: Any) -> Loaded:
        loaded = await self.below.load(stream, **bounds)
        self.events += len(loaded.events)
        self.calls += 1
        return loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


@pytest.fixture
async def stream(world: Any) -> StreamId:
    handler, stream = world.handler(limits=HandlerLimits(snapshot_every_events=SPAN, snapshots_kept=0)), new_counter()
    await handler.handle(request(stream, Open()))
    for number in range(1, EVENTS):
        await world.clock.advance(60)
        await handler.handle(request(stream, Add(1 if number % 2 else -1)))
    await handler.drain()
    return stream


@pytest.mark.parametrize("version", [1, 99, 100, 457, 640, 999, 1_000])
@pytest.mark.parametrize("recorded", [False, True])
async def test_a_time_costs_a_search_and_one_span_of_snapshots(
    world: Any, stream: StreamId, monkeypatch: pytest.MonkeyPatch, version: int, recorded: bool
) -> None:
    monkeypatch.setattr(repository_module, "PAGE_EVENTS_MAX", 20)
    counted = Counted(world.store)
    repository: Any = CommandHandler(COUNTERS, counted, world.snapshots, world.clock, AggregateCache(1)).repository
    meta = world.stored(stream)[version - 1].meta
    moment = meta.recorded_at if recorded else meta.occurred_at
    assert (await repository.at_time(stream, moment, recorded=recorded)).version == version
    assert counted.events <= 20 + SEARCHED + SPAN


async def test_the_end_of_a_part_is_found_wherever_it_lies(world: Any, stream: StreamId) -> None:
    events = world.stored(stream)
    head = await head_of(world.store, stream)
    for version in (1, 2, 63, 64, 65, 500, 998, 999, 1_000):
        assert await last_within(world.store, stream, until(events[version - 1].meta.occurred_at), head) == version
    assert await last_within(world.store, stream, lambda _: False, head) == 0
    assert await last_within(world.store, new_counter(), lambda _: True, 0) == 0


async def test_a_search_reads_as_many_events_as_halves_and_a_window(world: Any, stream: StreamId) -> None:
    counted: Any = Counted(world.store)
    await last_within(counted, stream, until(world.stored(stream)[700].meta.recorded_at, recorded=True), EVENTS)
    assert counted.events <= SEARCHED
    assert counted.calls <= 5
