"""When snapshots are taken, and that one nobody can use is replaced by whoever noticed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from eventkernel.ids import StreamId
from eventkernel.ports import Position, Snapshot
from eventkernel.runtime.aggregate import Aggregate
from eventkernel.runtime.command_handler import HandlerLimits
from eventkernel.runtime.repository import Loaded
from eventkernel.runtime.snapshotting import SnapshotPolicy
from eventkernel.testing.counter import Add, Open, new_counter, request

STREAM = StreamId("default", "counter-1")


def loaded(version: int, *, snapshot: int = 0, unusable: int = 0) -> Loaded[Any]:
    return Loaded(Aggregate(STREAM, None, Position(version)), snapshot, unusable)


async def counted(world: Any, events: int, **limits: Any) -> StreamId:
    handler, stream = world.handler(limits=HandlerLimits(**limits)), new_counter()
    await handler.handle(request(stream, Open()))
    for _ in range(events - 1):
        await handler.handle(request(stream, Add(1)))
    await handler.drain()
    return stream


async def handled(world: Any, stream: StreamId, **limits: Any) -> None:
    """One more command, by a server that has nothing of the stream in memory."""
    handler = world.handler(limits=HandlerLimits(**limits))
    await handler.handle(request(stream, Add(1)))
    await handler.drain()


@pytest.mark.parametrize(
    ("policy", "before", "after", "due"),
    [
        (SnapshotPolicy(10), 9, 10, True),
        (SnapshotPolicy(10), 10, 11, False),
        (SnapshotPolicy(10), 8, 13, True),
        (SnapshotPolicy(10), 0, 9, False),
        (SnapshotPolicy(0, load_seconds=1), 9, 10, False),
    ],
)
def test_a_snapshot_is_due_when_a_multiple_of_the_distance_is_passed(
    policy: SnapshotPolicy, before: int, after: int, due: bool
) -> None:
    assert policy.due_after_append(before, after) is due


@pytest.mark.parametrize(
    ("policy", "found", "seconds", "due"),
    [
        (SnapshotPolicy(0, load_seconds=0.5), loaded(7), 0.5, True),
        (SnapshotPolicy(0, load_seconds=0.5), loaded(7), 0.4, False),
        (SnapshotPolicy(0, load_seconds=0.5), loaded(7, snapshot=7), 9.0, False),
        (SnapshotPolicy(0, load_seconds=0.5), loaded(8, snapshot=7), 9.0, True),
        (SnapshotPolicy(0, load_seconds=0.5), loaded(0), 9.0, False),
        (SnapshotPolicy(100), loaded(7), 9.0, False),
        (SnapshotPolicy(100), loaded(7, unusable=5), 0.0, True),
        (SnapshotPolicy(0), loaded(7, unusable=5), 9.0, False),
    ],
)
def test_a_snapshot_is_due_when_loading_took_long_or_met_one_of_no_use(
    policy: SnapshotPolicy, found: Loaded[Any], seconds: float, due: bool
) -> None:
    assert policy.due_after_load(found, seconds) is due


async def test_a_stream_that_is_slow_to_load_gets_a_snapshot_and_is_folded_on_from_it(world: Any) -> None:
    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        async def load(self, *arguments: Any, **options: Any) -> Any:
            passed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.02, passed.set)
            await passed.wait()
            return await world.store.load(*arguments, **options)

    stream = await counted(world, 5, snapshot_every_events=0)
    assert await world.snapshots.latest(stream) is None
    handler = world.handler(Slow(), limits=HandlerLimits(snapshot_every_events=0, snapshot_load_seconds=0.01))
    await handler.handle(request(stream, Add(1)))
    await handler.drain()
    found = await handler.repository.loaded(stream)
    assert (found.snapshot, found.aggregate.version, found.aggregate.state.total) == (5, 6, 5)


@pytest.mark.parametrize(
    "broken", [{"schema": "counter-0"}, {"state": b"\xff"}, {"version": 9}], ids=["old", "unreadable", "too new"]
)
async def test_a_snapshot_of_no_use_is_ignored_and_replaced(world: Any, broken: dict[str, Any]) -> None:
    stream = await counted(world, 4, snapshot_every_events=4)
    kept: Snapshot = await world.snapshots.latest(stream)
    await world.snapshots.save(stream, replace(kept, **broken))
    before = await world.handler().repository.loaded(stream)
    assert (before.snapshot, before.unusable, before.aggregate.state.total) == (0, broken.get("version", 4), 3)
    await handled(world, stream, snapshot_every_events=100)
    after = await world.handler().repository.loaded(stream)
    assert (after.snapshot, after.unusable) == (4, 0)
    assert (after.aggregate.version, after.aggregate.state.total) == (5, 4)


async def test_where_there_are_to_be_no_snapshots_none_is_replaced(world: Any) -> None:
    stream = await counted(world, 4, snapshot_every_events=4)
    old = replace(await world.snapshots.latest(stream), schema="counter-0")
    await world.snapshots.save(stream, old)
    await handled(world, stream, snapshot_every_events=0)
    assert await world.snapshots.latest(stream) == old


async def test_a_replacement_that_fails_fails_nobody(world: Any) -> None:
    stream = await counted(world, 4, snapshot_every_events=4)
    old = replace(await world.snapshots.latest(stream), schema="counter-0")

    class Full:
        async def latest(self, stream: StreamId, *, up_to: int | None = None) -> Any:
            return old

        async def save(self, stream: StreamId, snapshot: Snapshot) -> None:
            raise OSError("disk full")

    handler = world.handler(snapshots=Full())
    reply = await handler.handle(request(stream, Add(1)))
    await handler.drain()
    assert reply.aggregate.version == 5


async def test_replaying_uses_no_snapshot(world: Any) -> None:
    stream = await counted(world, 4, snapshot_every_events=4)
    kept = await world.snapshots.latest(stream)
    await world.snapshots.save(stream, replace(kept, state=kept.state.replace(b"3", b"999")))
    repository = world.handler().repository
    assert (await repository.load(stream)).state.total == 999
    assert (await repository.replayed(stream)).state.total == 3


@pytest.mark.parametrize(
    ("limits", "left"), [({}, [7, 8, 9]), ({"snapshots_kept": 1}, [9]), ({"snapshots_kept": 0}, 9)]
)
async def test_of_a_streams_snapshots_the_newest_are_kept(world: Any, limits: dict[str, Any], left: Any) -> None:
    stream = await counted(world, 9, snapshot_every_events=1, **limits)
    kept = sorted(world.snapshots._snapshots[stream])
    assert kept == (list(range(1, 10)) if left == 9 else left)
