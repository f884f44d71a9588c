"""Times, re-constitution, records on the bus, waiting, components."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import Divergence, InvalidCommand, StoreMismatch, StoreUnavailable, TokenNotReached
from eventkernel.ports import BusRecord, Loaded, Position
from eventkernel.runtime import repository as repository_module
from eventkernel.runtime.aggregate import COMMANDS_KNOWN_MAX, Aggregate
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.cloudevents import BrokenRecord, from_record, to_message, version_of
from eventkernel.runtime.command_handler import HandlerLimits
from eventkernel.runtime.components import LoopComponent, WaitingComponent, run_until_stopped
from eventkernel.runtime.consistency import ViewProgress, wait_for
from eventkernel.runtime.times import DEFAULT_TIME_RULES, event_times
from eventkernel.runtime.waiting import first_of, until_available
from eventkernel.testing.counter import CODEC, COUNTER_VIEW, Add, Counter, Open, new_counter, request
from eventkernel.testing.faulty import FaultyEventStore, FaultyViewStore
from eventkernel_memory.clock import ManualClock, SystemClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
IMPORTER = Actor("loader", "import")


def at(moment: datetime) -> Aggregate[Any]:
    return Aggregate(new_counter(), Counter(), Position(1), moment, moment, moment)


# Times.


def times(
    given: datetime | None, *, last: datetime | None = None, actor: Actor = IMPORTER
) -> tuple[datetime, datetime]:
    aggregate = Aggregate(new_counter(), Counter(), Position(0)) if last is None else at(last)
    asked = request(aggregate.stream, Open(), actor=actor, effective_time=given)
    return event_times(DEFAULT_TIME_RULES, aggregate, asked, NOW)


def test_a_defaulted_time_is_now_and_never_before_the_streams_last() -> None:
    assert times(None) == (NOW, NOW)
    assert times(None, last=NOW - HOUR) == (NOW, NOW)
    assert times(None, last=NOW + HOUR) == (NOW + HOUR, NOW + HOUR)


def test_only_named_roles_may_backdate() -> None:
    assert times(NOW - HOUR) == (NOW - HOUR, NOW)
    with pytest.raises(InvalidCommand) as caught:
        times(NOW - HOUR, actor=Actor("x", "clerk"))
    assert caught.value.reason == "BACKDATING_NOT_ALLOWED"
    assert times(NOW - timedelta(seconds=60), actor=Actor("x", "clerk"))[0] == NOW - timedelta(seconds=60)


def test_nobody_writes_before_the_last_event_or_into_the_future() -> None:
    with pytest.raises(InvalidCommand) as caught:
        times(NOW - HOUR, last=NOW - HOUR / 2)
    assert caught.value.reason == "EFFECTIVE_TIME_BEFORE_LAST"
    with pytest.raises(InvalidCommand) as caught:
        times(NOW + HOUR)
    assert caught.value.reason == "EFFECTIVE_TIME_IN_FUTURE"


# Re-constitution.


async def counted(world: Any, additions: int, **limits: Any) -> Any:
    handler, stream = world.handler(limits=HandlerLimits(**limits)), new_counter()
    await handler.handle(request(stream, Open()))
    for number in range(additions):
        await world.clock.advance(60)
        await handler.handle(request(stream, Add(number)))
    await handler.drain()
    return stream


@pytest.mark.parametrize("page", [1_000, 10, 3, 2, 1])
async def test_every_version_and_time_can_be_had(world: Any, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(repository_module, "PAGE_EVENTS_MAX", page)
    stream = await counted(world, 9, snapshot_every_events=4)
    repository = world.handler().repository
    events = world.stored(stream)
    for version in range(11):
        found = await repository.at_version(stream, version)
        assert (found.version, found.state.additions) == (min(version, 10), max(0, min(version, 10) - 1))
    for event in events:
        for recorded in (False, True):
            moment = event.meta.recorded_at if recorded else event.meta.occurred_at
            assert (await repository.at_time(stream, moment, recorded=recorded)).version == event.version
    assert (await repository.at_time(stream, events[0].meta.occurred_at - HOUR)).version == 0


async def test_a_snapshot_of_another_schema_or_broken_is_ignored(world: Any) -> None:
    stream = await counted(world, 3, snapshot_every_events=4)
    (kept,) = world.snapshots._snapshots[stream].values()
    for broken in (replace(kept, schema="counter-0"), replace(kept, state=b"\xff")):
        await world.snapshots.save(stream, broken)
        assert (await world.handler().repository.load(stream)).state.total == 3


async def test_a_snapshot_of_events_that_are_no_more_is_ignored(world: Any) -> None:
    stream = await counted(world, 7, snapshot_every_events=4)
    del world.journal.streams[stream].events[5:]
    loaded = await world.handler().repository.load(stream)
    assert (loaded.version, loaded.state.additions) == (5, 4)


async def test_a_journal_with_a_hole_is_not_folded_over(world: Any) -> None:
    class Holed(FaultyEventStore):
        async def load(self, stream: Any, **options: Any) -> Loaded:
            loaded = await super().load(stream, **options)
            return Loaded([event for event in loaded.events if event.version != 2], loaded.position)

    stream = await counted(world, 3)
    with pytest.raises(Divergence):
        await world.handler(Holed(world.store, world.faults)).repository.load(stream)


async def test_command_ids_are_remembered_up_to_a_limit(world: Any) -> None:
    aggregate = world.handler().repository.empty(new_counter())
    meta = world.stored(await counted(world, 0))[0].meta
    for number in range(COMMANDS_KNOWN_MAX + 1):
        assert aggregate.commands is not None
        other = replace(meta, command_id=request(aggregate.stream, Open()).command_id)
        aggregate = aggregate.advanced(Counter(), other, Position(number + 1))
    assert aggregate.commands is None


def test_the_cache_drops_the_least_recently_used() -> None:
    cache, kept = AggregateCache(2), [at(NOW) for _ in range(3)]
    cache.keep(kept[0])
    cache.keep(kept[1])
    assert cache.get(kept[0].stream) is kept[0]
    cache.keep(kept[2])
    assert (len(cache), cache.get(kept[1].stream), cache.hits, cache.misses) == (2, None, 1, 1)


def test_the_cache_drops_the_least_recently_used_beyond_its_bytes() -> None:
    kept = [replace(at(NOW), folded_bytes=1_000) for _ in range(3)]
    each = kept[0].memory_bytes
    cache = AggregateCache(100, bytes_max=2 * each)
    for aggregate in (kept[0], kept[1], kept[0], kept[2]):
        cache.keep(aggregate)
    assert [cache.get(one.stream) is one for one in kept] == [True, False, True]
    assert cache.bytes == 2 * each


def test_an_aggregate_larger_than_the_cache_is_not_kept_and_displaces_nothing_but_its_old_self() -> None:
    small, other = at(NOW), at(NOW)
    cache = AggregateCache(100, bytes_max=2 * small.memory_bytes)
    cache.keep(small)
    cache.keep(other)
    cache.keep(replace(other, folded_bytes=1_000_000))
    assert (cache.get(small.stream), cache.get(other.stream)) == (small, None)
    assert cache.bytes == small.memory_bytes


def test_a_cache_that_was_emptied_holds_no_bytes() -> None:
    cache, kept = AggregateCache(100), [at(NOW) for _ in range(3)]
    for aggregate in kept:
        cache.keep(aggregate)
    cache.drop(kept[0].stream)
    assert cache.bytes == sum(one.memory_bytes for one in kept[1:])
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


async def test_an_aggregate_is_as_large_as_what_was_folded_into_it(world: Any) -> None:
    handler = world.handler()
    stream = await counted(world, 5)
    loaded = await handler.repository.load(stream)
    assert loaded.folded_bytes == sum(len(event.data) for event in world.stored(stream))
    assert loaded.memory_bytes > handler.repository.empty(stream).memory_bytes


# Records on the bus.


async def record(world: Any) -> BusRecord:
    (event,) = world.stored(await counted(world, 0))
    message = to_message(event, topic="t", source="/c", wire_name=CODEC.wire_name)
    found = BusRecord("t", 0, 7, message.key, message.value, message.headers)
    assert from_record(found) == event
    return found


async def test_anything_on_a_topic_is_an_event_or_a_broken_record(world: Any) -> None:
    good = await record(world)
    broken: list[BusRecord] = [replace(good, headers=())]
    for place, (name, _) in enumerate(good.headers):
        if name in ("ce_id", "ce_sequence", "ce_dataschema", "es_meta"):
            for value in (b"", b"\xff", b"{}", b"null", b"[1]", None):
                changed: Any = (*good.headers[:place], (name, value), *good.headers[place + 1 :])
                broken.append(replace(good, headers=changed))
            broken.append(replace(good, headers=(*good.headers[:place], *good.headers[place + 1 :])))
    bad_keys: list[Any] = [None, b"", b"no-tenant", b"\xff", b"T/counter-1", b"default/"]
    broken += [replace(good, key=key) for key in bad_keys]
    far = good.headers[-1][1].replace(b'"o":', b'"o":999999999999999')
    broken.append(replace(good, headers=(*good.headers[:-1], ("es_meta", far))))
    for each in broken:
        with pytest.raises(BrokenRecord):
            from_record(each)
    with pytest.raises(BrokenRecord):
        version_of(replace(good, headers=()))


# Waiting for a view.


async def until(true: Callable[[], Any]) -> None:
    """Let the event loop turn until something holds; a test that waits in vain fails by its count."""
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


async def waited(world: Any, version: int, seconds: float, *, clock: Any, progress: ViewProgress, stream: Any) -> None:
    await wait_for(
        world.views, COUNTER_VIEW, {stream: version}, clock=clock, deadline_seconds=seconds, progress=progress
    )


async def test_a_reader_waits_until_the_view_has_what_the_token_asks_for(world: Any) -> None:
    stream, progress = await counted(world, 1), ViewProgress()
    await world.relay().run_once()
    reader = asyncio.create_task(waited(world, 2, 30, clock=world.clock, progress=progress, stream=stream))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reader.done()
    await world.projector().run_once()
    progress.notify()
    async with asyncio.timeout(5):
        await reader


async def test_a_token_that_is_not_reached_says_how_far_the_view_is(world: Any) -> None:
    stream = await counted(world, 1)
    for seconds in (0, 0.02):
        with pytest.raises(TokenNotReached) as caught:
            await waited(world, 2, seconds, clock=SystemClock(), progress=ViewProgress(), stream=stream)
        assert (caught.value.wanted, caught.value.reached) == (2, 0)


async def test_a_clock_that_jumps_neither_shortens_nor_lengthens_the_wait(world: Any) -> None:
    stream, clock, progress = await counted(world, 1), ManualClock(), ViewProgress()
    reader = asyncio.create_task(waited(world, 2, 10, clock=clock, progress=progress, stream=stream))
    await asyncio.sleep(0)
    clock.set(clock.now() + timedelta(days=1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reader.done()
    reader.cancel()
    await asyncio.wait({reader})


async def test_after_a_pause_beyond_its_deadline_a_reader_looks_once_more(world: Any) -> None:
    stream, clock, gate = await counted(world, 1), ManualClock(), asyncio.Event()

    class Slow(FaultyViewStore):
        @asynccontextmanager
        async def reading(self) -> AsyncIterator[Any]:
            async with super().reading() as reading:
                await gate.wait()
                yield reading

    views = Slow(world.views, world.faults)
    wanted = {stream: 2}
    reader = asyncio.create_task(
        wait_for(views, COUNTER_VIEW, wanted, clock=clock, deadline_seconds=1, progress=ViewProgress())
    )
    for _ in range(5):
        await asyncio.sleep(0)
    await world.relay().run_once()
    await world.projector().run_once()
    await clock.advance(100)
    gate.set()
    async with asyncio.timeout(5):
        await reader


async def test_streams_of_other_kinds_are_not_waited_for(world: Any) -> None:
    other = replace(new_counter(), name="order-1")
    await waited(world, 5, 0, clock=world.clock, progress=ViewProgress(), stream=other)


# Waiting for a store, and components.


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    left = list(errors)

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    return attempt


async def test_a_store_that_is_away_is_waited_for_with_backoff(world: Any) -> None:
    heard: list[Any] = []
    attempt = failing(*(StoreUnavailable("views", "down") for _ in range(4)))
    clock = ManualClock()
    task = asyncio.create_task(until_available(attempt, clock=clock, name="query", on_waiting=heard.append))
    began = clock.now()
    waits: list[float] = []
    while not task.done():
        for _ in range(5):
            await asyncio.sleep(0)
        if len(heard) > len(waits):
            waits.append((clock.now() - began).total_seconds())
        await clock.advance(0.1)
    assert await task
    assert waits == pytest.approx([0.0, 0.1, 0.3, 0.7])


async def test_a_store_that_is_the_wrong_one_is_refused_at_once(world: Any) -> None:
    attempt = failing(StoreMismatch("views", expected="schema 3", actual="schema 4"))
    with pytest.raises(StoreMismatch):
        await until_available(attempt, clock=world.clock, name="query")


async def test_waiting_for_a_store_ends_with_the_process(world: Any) -> None:
    stop = asyncio.Event()
    attempt = failing(*(StoreUnavailable("views", "down") for _ in range(100)))
    task = asyncio.create_task(until_available(attempt, clock=world.clock, name="query", stop=stop))
    await asyncio.sleep(0)
    stop.set()
    assert not await task


async def test_the_first_of_several_ends_the_others() -> None:
    never = asyncio.Event()
    waiting = asyncio.create_task(never.wait())
    await first_of(waiting, asyncio.sleep(0))
    assert waiting.cancelled()


class Part:
    """A component that says what happens to it."""

    def __init__(self, name: str, said: list[str], *, start: Any = None, stop: Exception | None = None) -> None:
        self.name = name
        self._said = said
        self._start = start
        self._stop = stop

    async def start(self) -> None:
        if self._start is not None:
            await self._start()
        self._said.append(f"+{self.name}")

    async def stop(self) -> None:
        self._said.append(f"-{self.name}")
        if self._stop:
            raise self._stop


async def test_components_start_in_order_and_stop_in_reverse() -> None:
    said: list[str] = []
    later = asyncio.Event()
    running = asyncio.create_task(run_until_stopped([Part(name, said) for name in "abc"], later))
    await until(lambda: said == ["+a", "+b", "+c"])
    later.set()
    await running
    assert said == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_component_that_cannot_start_stops_those_before_it_and_is_the_error() -> None:
    said: list[str] = []
    parts = [
        Part("a", said, stop=RuntimeError("late")),
        Part("b", said, start=failing(StoreMismatch("x", expected="1", actual="2"))),
        Part("c", said),
    ]
    with pytest.raises(StoreMismatch):
        await run_until_stopped(parts, asyncio.Event())
    assert said == ["+a", "-a"]


async def test_a_start_that_waits_for_a_store_is_ended_by_the_stop(world: Any) -> None:
    said: list[str] = []
    away = Part("views", said, start=failing(*(StoreUnavailable("views", "down") for _ in range(100))))
    heard: list[Any] = []
    stop = asyncio.Event()
    parts: list[Any] = [Part("a", said), WaitingComponent(away, world.clock, on_waiting=heard.append), Part("c", said)]
    running = asyncio.create_task(run_until_stopped(parts, stop))
    await until(lambda: heard)
    stop.set()
    await running
    assert said == ["+a", "-a"]


async def test_a_cancelled_process_stops_its_components() -> None:
    said: list[str] = []
    running = asyncio.create_task(run_until_stopped([Part("a", said)], asyncio.Event()))
    await until(lambda: said)
    running.cancel()
    await asyncio.wait({running})
    assert (said, running.cancelled()) == (["+a", "-a"], True)


async def test_a_loop_that_ends_by_itself_stops_the_process_with_its_error() -> None:
    failed = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await run_until_stopped([LoopComponent("relay", run, failed)], failed)


async def test_a_loop_that_does_not_end_is_cut_off() -> None:
    stop = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    stop.set()
    part = LoopComponent("relay", run, asyncio.Event(), stop_seconds=0.01)
    await part.start()
    await part.stop()
