import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import (
    IdempotencyMismatch,
    InvalidCommand,
    OutcomeUnknown,
    Overloaded,
    Refusal,
    StoreUnavailable,
    StreamNotFound,
    VersionConflict,
)
from eventkernel.ports import Position
from eventkernel.runtime.command_handler import HandlerLimits
from eventkernel.testing.counter import Add, Close, Counter, Open, new_counter, request
from eventkernel.testing.faulty import Crash, FaultyEventStore


async def together(*calls: Any) -> list[Any]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def add_many(handler: Any, stream: Any, amounts: Any) -> list[Any]:
    return await together(*(handler.handle(request(stream, Add(n))) for n in amounts))


async def test_a_command_stores_one_event_and_answers_with_the_aggregate_after_it(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    first = await handler.handle(request(stream, Open()))
    second = await handler.handle(request(stream, Add(5)))
    assert (first.aggregate.version, second.aggregate.version) == (1, 2)
    assert second.aggregate.state == Counter("OPEN", 5, 1)
    assert [event.type for event in world.stored(stream)] == ["Opened", "Added"]


async def test_the_first_command_must_create(world: Any) -> None:
    with pytest.raises(StreamNotFound):
        await world.handler().handle(request(new_counter(), Add(1)))


async def test_a_stream_that_does_not_exist_is_not_remembered(world: Any) -> None:
    handler = world.handler()
    for _ in range(3):
        with pytest.raises(StreamNotFound):
            await handler.handle(request(new_counter(), Add(1)))
    assert (len(handler._cache), handler._lanes) == (0, {})


async def test_refusals_store_nothing(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    with pytest.raises(Refusal, match="LIMIT"):
        await handler.handle(request(stream, Add(-1)))
    assert len(world.stored(stream)) == 1


async def test_the_same_command_again_gets_the_reply_of_its_version_however_late(world: Any) -> None:
    stream = new_counter()
    handler = world.handler()
    opening, adding = request(stream, Open()), request(stream, Add(3))
    replies = [await handler.handle(opening), await handler.handle(adding)]
    await handler.handle(request(stream, Add(4)))
    await handler.handle(request(stream, Close()))
    for again in (handler, world.handler()):
        for command, reply in zip((opening, adding), replies, strict=True):
            repeated = await again.handle(command)
            assert repeated.replayed
            assert repeated.aggregate.state == reply.aggregate.state
            assert repeated.aggregate.version == reply.aggregate.version
            assert repeated.aggregate.occurred_at == reply.aggregate.occurred_at
    assert len(world.stored(stream)) == 4


async def test_the_same_id_with_other_content_is_a_mismatch(world: Any) -> None:
    stream, command_id = new_counter(), uuid4()
    handler = world.handler()
    await handler.handle(request(stream, Open()))
    await handler.handle(request(stream, Add(3), command_id))
    for again in (handler, world.handler()):
        with pytest.raises(IdempotencyMismatch):
            await again.handle(request(stream, Add(4), command_id))
        with pytest.raises(IdempotencyMismatch):
            await again.handle(request(stream, Add(3), command_id, actor=Actor("other", "clerk")))


async def test_one_command_sent_twice_at_once_is_stored_once_and_both_are_answered(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    opening = request(stream, Open())
    replies = await asyncio.gather(*(handler.handle(opening) for _ in range(5)))
    assert [reply.replayed for reply in replies] == [False, True, True, True, True]
    assert {reply.aggregate.version for reply in replies} == {1}
    assert len(world.stored(stream)) == 1


async def test_two_contents_under_one_id_at_once_are_told_apart(world: Any) -> None:
    handler, stream, command_id = world.handler(), new_counter(), uuid4()
    await handler.handle(request(stream, Open()))
    one, two = await together(
        handler.handle(request(stream, Add(1), command_id)), handler.handle(request(stream, Add(2), command_id))
    )
    assert one.aggregate.state.total == 1
    assert isinstance(two, IdempotencyMismatch)


async def test_a_mismatch_with_a_command_that_was_not_stored_is_not_told(world: Any) -> None:
    """The id is free again when the first one lost to another writer and is refused."""
    stream, command_id = new_counter(), uuid4()
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    await other.handle(request(stream, Add(995)))
    one, two = await together(
        handler.handle(request(stream, Add(10), command_id)), handler.handle(request(stream, Add(2), command_id))
    )
    assert isinstance(one, Refusal)
    assert two.aggregate.state.total == 997


async def test_commands_that_queue_up_are_stored_together_in_their_order(world: Any) -> None:
    appended: list[int] = []

    class Observer:
        def appended(self, events: int) -> None:
            appended.append(events)

        def conflict(self) -> None:
            raise AssertionError

        unknown = conflict

    handler, stream = world.handler(observer=Observer()), new_counter()
    await handler.handle(request(stream, Open()))
    replies = await add_many(handler, stream, range(1, 41))
    assert [reply.aggregate.version for reply in replies] == list(range(2, 42))
    assert [reply.aggregate.state.total for reply in replies] == [n * (n + 1) // 2 for n in range(1, 41)]
    assert appended == [1, 32, 8]


async def test_a_refusal_in_a_batch_rests_on_what_is_stored_before_it(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    one, two, three = await add_many(handler, stream, (900, 200, 100))
    assert (one.aggregate.state.total, three.aggregate.state.total) == (900, 1000)
    assert isinstance(two, Refusal)


async def test_what_was_refused_behind_a_lost_append_is_decided_again(world: Any) -> None:
    stream = new_counter()
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    await handler.handle(request(stream, Add(900)))
    await other.handle(request(stream, Add(-900)))
    one, two = await add_many(handler, stream, (100, 200))
    assert (one.aggregate.state.total, two.aggregate.state.total) == (100, 300)


async def test_a_refusal_that_rests_on_what_is_not_stored_yet_waits_for_the_append(world: Any) -> None:
    stream, rival = new_counter(), world.handler()
    await rival.handle(request(stream, Open()))
    await rival.handle(request(stream, Add(900)))
    rivals = [request(stream, Add(-900))]

    class Contended(FaultyEventStore):
        async def append(self, stream: Any, expected: Position, entries: Any) -> Any:
            if rivals:
                await rival.handle(rivals.pop())
            return await super().append(stream, expected, entries)

    handler = world.handler(Contended(world.store, world.faults), aggregates_max=0)
    one, two = await add_many(handler, stream, (100, 200))
    assert (one.aggregate.state.total, two.aggregate.state.total) == (100, 300)


async def test_one_broken_command_is_not_its_neighbours(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    one, two, three = await add_many(handler, stream, (1, "two", 3))
    assert (one.aggregate.state.total, three.aggregate.state.total) == (1, 4)
    assert isinstance(two, TypeError)


async def test_a_large_batch_is_split_by_bytes(world: Any) -> None:
    handler, stream = world.handler(limits=HandlerLimits(batch_bytes_max=50)), new_counter()
    await handler.handle(request(stream, Open()))
    replies = await add_many(handler, stream, range(10))
    assert [reply.aggregate.version for reply in replies] == list(range(2, 12))


def test_a_batch_that_no_store_takes_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="batch_commands_max"):
        HandlerLimits(batch_commands_max=65)


async def test_a_refusal_from_a_stale_cache_is_decided_again_on_what_is_stored(world: Any) -> None:
    stream = new_counter()
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    await handler.handle(request(stream, Add(1000)))
    await other.handle(request(stream, Add(-1000)))
    assert (await handler.handle(request(stream, Add(1)))).aggregate.state.total == 1


async def test_an_acceptance_from_a_stale_cache_is_decided_again_on_what_is_stored(world: Any) -> None:
    stream = new_counter()
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    await other.handle(request(stream, Close()))
    with pytest.raises(Refusal, match="CLOSED"):
        await handler.handle(request(stream, Add(1)))


async def test_a_retry_is_found_before_anything_is_refused_even_by_a_stale_cache(world: Any) -> None:
    stream, adding = new_counter(), None
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    adding = request(stream, Add(1000), expected_version=1)
    await other.handle(adding)
    await other.handle(request(stream, Close()))
    reply = await handler.handle(adding)
    assert (reply.replayed, reply.aggregate.version, reply.aggregate.state.total) == (True, 2, 1000)


async def test_a_create_finds_out_by_its_append_that_the_stream_exists(world: Any) -> None:
    stream, opening = new_counter(), None
    opening = request(stream, Open())
    await world.handler().handle(opening)
    await world.handler().handle(request(stream, Add(1)))
    again = world.handler()
    assert (await again.handle(opening)).replayed
    with pytest.raises(Refusal, match="ALREADY_OPEN"):
        await world.handler().handle(request(stream, Open()))


async def test_an_expected_version_is_compared_with_what_is_stored_not_with_a_stale_cache(world: Any) -> None:
    stream = new_counter()
    handler, other = world.handler(), world.handler()
    await handler.handle(request(stream, Open()))
    await other.handle(request(stream, Add(1)))
    assert (await handler.handle(request(stream, Add(1), expected_version=2))).aggregate.version == 3
    with pytest.raises(VersionConflict) as caught:
        await other.handle(request(stream, Add(1), expected_version=2))
    assert (caught.value.expected, caught.value.actual) == (2, 3)


async def test_of_two_commands_at_one_expected_version_the_first_wins(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    answers = await together(*(handler.handle(request(stream, Add(n), expected_version=1)) for n in (1, 2)))
    assert answers[0].aggregate.version == 2
    assert isinstance(answers[1], VersionConflict)


async def test_who_loses_to_other_writers_too_often_is_told_to_come_back(world: Any) -> None:
    stream = new_counter()
    await world.handler().handle(request(stream, Open()))
    rival = world.handler(aggregates_max=0)

    class Contended(FaultyEventStore):
        async def append(self, stream: Any, expected: Position, entries: Any) -> Any:
            await rival.handle(request(stream, Add(1)))
            return await super().append(stream, expected, entries)

    handler = world.handler(Contended(world.store, world.faults), limits=HandlerLimits(conflict_retries_max=3))
    with pytest.raises(Overloaded, match="conflict_retries_max"):
        await handler.handle(request(stream, Add(5)))
    assert len(world.stored(stream)) == 1 + 4


async def test_a_lane_has_room_for_so_many_commands(world: Any) -> None:
    handler, stream = world.handler(limits=HandlerLimits(lane_commands_max=3)), new_counter()
    answers = await together(*(handler.handle(request(stream, Open())) for _ in range(5)))
    assert [isinstance(answer, Overloaded) for answer in answers] == [False, False, False, True, True]


async def test_an_unknown_outcome_is_settled_by_the_same_append_again(world: Any) -> None:
    handler, stream = world.handler(world.faulty_store()), new_counter()
    await handler.handle(request(stream, Open()))
    for fault, total in (("append_lost", 1), ("append_stored", 2)):
        world.faults.script(fault)
        assert (await handler.handle(request(stream, Add(1)))).aggregate.state.total == total
    assert len(world.stored(stream)) == 3


async def test_an_outcome_that_stays_unknown_is_told_and_settled_by_a_retry(world: Any) -> None:
    handler, stream = world.handler(world.faulty_store()), new_counter()
    await handler.handle(request(stream, Open()))
    for fault in ("append_lost", "append_stored"):
        adding = request(stream, Add(1))
        world.faults.script(fault)
        world.faults.script("append_lost")
        with pytest.raises(OutcomeUnknown):
            await handler.handle(adding)
        stored = len(world.stored(stream))
        await handler.handle(adding)
        assert len(world.stored(stream)) == stored + (fault == "append_lost")


async def test_whoever_publishes_is_told_of_what_is_stored_and_of_what_may_be(world: Any) -> None:
    told: list[Any] = []
    handler, stream = world.handler(world.faulty_store(), on_appended=told.append), new_counter()
    await handler.handle(request(stream, Open()))
    assert told == [stream]
    world.faults.script("append_stored")
    world.faults.script("append_lost")
    with pytest.raises(OutcomeUnknown):
        await handler.handle(request(stream, Add(1)))
    assert told == [stream, stream]
    with pytest.raises(Refusal):
        await handler.handle(request(stream, Open()))
    assert told == [stream, stream]


async def test_a_store_that_goes_away_after_an_unknown_outcome_does_not_make_it_known(world: Any) -> None:
    handler, stream = world.handler(world.faulty_store()), new_counter()
    await handler.handle(request(stream, Open()))
    world.faults.script("append_stored")
    world.faults.script("read_failed", 5)
    with pytest.raises(OutcomeUnknown):
        await handler.handle(request(stream, Add(1)))
    assert len(world.stored(stream)) == 2


async def test_a_refused_append_changes_nothing_and_says_so(world: Any) -> None:
    handler, stream = world.handler(world.faulty_store()), new_counter()
    await handler.handle(request(stream, Open()))
    world.faults.script("append_refused")
    with pytest.raises(StoreUnavailable):
        await handler.handle(request(stream, Add(1)))
    assert (await handler.handle(request(stream, Add(1)))).aggregate.version == 2


async def test_an_error_nobody_thought_of_in_an_append_leaves_its_outcome_unknown(world: Any) -> None:
    class Broken(FaultyEventStore):
        async def append(self, stream: Any, expected: Position, entries: Any) -> Any:
            await super().append(stream, expected, entries)
            raise RuntimeError("a driver's bug")

    with pytest.raises(OutcomeUnknown, match="bug"):
        await world.handler(Broken(world.store, world.faults)).handle(request(new_counter(), Open()))


async def test_a_caller_that_gives_up_leaves_a_command_on_its_way_running(world: Any) -> None:
    gate = asyncio.Event()

    class Slow(FaultyEventStore):
        async def append(self, stream: Any, expected: Position, entries: Any) -> Any:
            await gate.wait()
            return await super().append(stream, expected, entries)

    handler, stream = world.handler(Slow(world.store, world.faults)), new_counter()
    opening = request(stream, Open())
    caller = asyncio.create_task(handler.handle(opening))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queued = asyncio.create_task(handler.handle(request(stream, Add(7))))
    await asyncio.sleep(0)
    caller.cancel()
    queued.cancel()
    gate.set()
    await asyncio.gather(caller, queued, return_exceptions=True)
    await handler.drain()
    assert [event.type for event in world.stored(stream)] == ["Opened"], "what only queued is taken back"
    assert (await handler.handle(opening)).replayed


async def test_draining_waits_for_every_command_and_snapshot(world: Any) -> None:
    handler, stream = world.handler(limits=HandlerLimits(snapshot_every_events=1)), new_counter()
    task = asyncio.create_task(handler.handle(request(stream, Open())))
    await asyncio.sleep(0)
    await handler.drain()
    assert (await task).aggregate.version == 1
    assert (await world.snapshots.latest(stream)).version == 1


async def test_a_lane_that_dies_leaves_no_caller_waiting(world: Any) -> None:
    stream = new_counter()

    class Hanging(FaultyEventStore):
        async def append(self, stream: Any, expected: Position, entries: Any) -> Any:
            await asyncio.Event().wait()

    handler = world.handler(Hanging(world.store, world.faults))
    writing = asyncio.create_task(handler.handle(request(stream, Open())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queued = asyncio.create_task(handler.handle(request(stream, Add(1))))
    await asyncio.sleep(0)
    handler._lanes[stream].task.cancel()
    with pytest.raises(OutcomeUnknown):
        await writing
    with pytest.raises(StoreUnavailable):
        await queued
    assert handler._lanes == {}


async def test_a_broken_observer_does_not_turn_a_stored_command_into_an_error(world: Any) -> None:
    def broken(stream: Any) -> None:
        raise RuntimeError("metrics are down")

    handler, stream = world.handler(on_appended=broken), new_counter()
    assert (await handler.handle(request(stream, Open()))).aggregate.version == 1
    assert (await handler.handle(request(stream, Add(1)))).aggregate.version == 2


async def test_a_command_of_a_long_stream_is_not_looked_up_before_it_is_decided(world: Any) -> None:
    """Where the ids are not all known the append itself finds a taken one; only a refusal needs to ask."""
    looked: list[Any] = []

    class Counting(FaultyEventStore):
        async def find_command(self, stream: Any, command_id: Any) -> Any:
            looked.append(command_id)
            return await super().find_command(stream, command_id)

    writer, stream = world.handler(limits=HandlerLimits(snapshot_every_events=2)), new_counter()
    await writer.handle(request(stream, Open()))
    adding = request(stream, Add(1))
    await writer.handle(adding)
    await writer.drain()
    handler = world.handler(Counting(world.store, world.faults))
    await handler.handle(request(stream, Add(1)))
    looked.clear()
    await handler.handle(request(stream, Add(1)))
    assert looked == []
    assert (await handler.handle(adding)).replayed
    assert looked == [adding.command_id]
    assert len(world.stored(stream)) == 4


async def test_snapshots_are_taken_every_so_many_events_and_used(world: Any) -> None:
    limits = HandlerLimits(snapshot_every_events=10, batch_commands_max=4)
    handler, stream = world.handler(limits=limits), new_counter()
    await handler.handle(request(stream, Open()))
    for _ in range(8):
        await add_many(handler, stream, [1] * 4)
        await handler.drain()
    kept = sorted(world.snapshots._snapshots[stream])
    assert [version // 10 for version in kept] == [1, 2, 3]
    loaded = await world.handler().repository.load(stream)
    assert (loaded.version, loaded.state.total, loaded.commands) == (33, 32, None)


async def test_a_snapshot_that_cannot_be_saved_fails_nobody(world: Any) -> None:
    class Broken:
        async def latest(self, stream: Any, *, up_to: Any = None) -> None:
            return None

        async def save(self, stream: Any, snapshot: Any) -> None:
            raise OSError("disk full")

    handler = world.handler(snapshots=Broken(), limits=HandlerLimits(snapshot_every_events=1))
    assert (await handler.handle(request(new_counter(), Open()))).aggregate.version == 1
    await handler.drain()


async def test_snapshots_behind_are_bounded(world: Any) -> None:
    gate, begun = asyncio.Event(), []

    class Slow:
        async def latest(self, stream: Any, *, up_to: Any = None) -> None:
            return None

        async def save(self, stream: Any, snapshot: Any) -> None:
            begun.append(stream)
            await gate.wait()

    handler = world.handler(snapshots=Slow(), limits=HandlerLimits(snapshot_every_events=1, snapshots_behind_max=2))
    await asyncio.gather(*(handler.handle(request(new_counter(), Open())) for _ in range(5)))
    await asyncio.sleep(0)
    gate.set()
    await handler.drain()
    assert len(begun) == 2


async def test_the_recorded_time_never_runs_backwards_within_a_stream(world: Any) -> None:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    world.clock.set(world.clock.now() - timedelta(hours=1))
    await handler.handle(request(stream, Add(1)))
    first, second = (event.meta for event in world.stored(stream))
    assert second.recorded_at == first.recorded_at
    assert second.occurred_at == first.occurred_at


async def test_an_effective_time_refused_by_a_stale_cache_is_decided_again(world: Any) -> None:
    stream = new_counter()
    handler = world.handler()
    await handler.handle(request(stream, Open()))
    early = world.clock.now() - timedelta(days=1)
    with pytest.raises(InvalidCommand, match="lies before the stream's last"):
        await handler.handle(request(stream, Add(1), effective_time=early))


def test_a_crash_is_no_error_to_be_handled() -> None:
    assert not issubclass(Crash, Exception)
