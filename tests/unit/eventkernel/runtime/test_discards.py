"""Poison: one stream waits while all others flow; what is discarded is passed over, by rule and on record."""

import json
from typing import Any

import pytest

from eventkernel.errors import Refusal, UpcastFailed
from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.runtime.discards import discard_parked, load_discards
from eventkernel.runtime.parked_lanes import retry_parked
from eventkernel.testing.counter import (
    COUNTER_SUMS,
    COUNTER_VIEW,
    Add,
    Open,
    decode,
    new_counter,
    request,
)
from eventkernel_memory.clock import SystemClock

VIEWS = (COUNTER_VIEW, COUNTER_SUMS)
OTHERS = 2_000
REASON = "entered twice by the clerk"


async def write(world: Any, *amounts: int) -> StreamId:
    handler, stream = world.handler(), new_counter()
    await handler.handle(request(stream, Open()))
    for amount in amounts:
        await handler.handle(request(stream, Add(amount)))
    return stream


def picky(*broken: tuple[StreamId, int]) -> Any:
    """A reader that cannot read these."""

    def read(event: Any) -> Any:
        if (event.stream, event.version) in broken:
            raise UpcastFailed(event.type, version=event.schema_version, cause="odd")
        return decode(event)

    return read


async def apply(world: Any, decoding: Any) -> None:
    events = {stream: list(kept.events) for stream, kept in world.journal.streams.items()}
    await world.projector(decode=decoding).apply(events)


async def discard(world: Any, stream: StreamId, version: int, decoding: Any, **options: Any) -> Any:
    return await discard_parked(
        world.views,
        COUNTER_VIEW,
        stream,
        version,
        reason=options.pop("reason", REASON),
        by="operator-1",
        decode=decoding,
        journal=world.store,
        clock=SystemClock(),
    )


async def totals(world: Any) -> list[int]:
    async with world.views.reading() as reading:
        return sorted(row.values["total"] for row in await reading.select(COUNTER_VIEW, Query("default", limit=10_000)))


async def test_a_poisoned_stream_waits_alone_and_its_retry_drains_the_lane_in_order(world: Any) -> None:
    bad = await write(world, 1, 2, 3)
    for _ in range(OTHERS):
        await write(world, 7)
    await apply(world, picky((bad, 2)))
    assert await totals(world) == [0, *[7] * OTHERS]
    for view in VIEWS:
        seen: list[int] = []

        def mended(event: Any, seen: list[int] = seen) -> Any:
            seen.append(event.version)
            return decode(event)

        options = {"decode": mended, "journal": world.store, "clock": SystemClock()}
        dry = await retry_parked(world.views, view, bad, dry_run=True, **options)
        done = await retry_parked(world.views, view, bad, **options)
        assert (dry.changes, dry.to_version, dry.still_parked) == (done.changes, 4, 0)
        assert seen == [2, 3, 4, 2, 3, 4]
    assert await totals(world) == [6, *[7] * OTHERS]
    [status] = await world.views.status([COUNTER_VIEW])
    assert (status.parked_streams, status.streams) == (0, OTHERS + 1)


async def test_the_checkpoint_moves_over_a_discarded_event_without_its_effect(world: Any) -> None:
    bad = await write(world, 1, 2)
    await apply(world, picky((bad, 2)))
    done = await discard(world, bad, 2, picky((bad, 2)))
    assert (done.from_version, done.to_version, done.still_parked, done.error) == (1, 3, 0, "")
    async with world.views.transaction() as transaction:
        checkpoint = (await transaction.load(COUNTER_VIEW, [bad]))[bad]
        [(place, kept)] = (await load_discards(transaction, COUNTER_VIEW)).items()
    assert (checkpoint.version, checkpoint.event_id) == (3, world.stored(bad)[2].event_id)
    assert place == (bad.key, 2)
    assert (kept.reason, kept.by, kept.type, kept.event_id) == (
        REASON,
        "operator-1",
        "Added",
        str(world.stored(bad)[1].event_id),
    )
    assert kept.error.startswith("UpcastFailed")


async def test_a_lane_whose_next_event_fails_too_waits_for_that_one(world: Any) -> None:
    bad = await write(world, 1, 2, 3)
    reader = picky((bad, 2), (bad, 4))
    await apply(world, reader)
    done = await discard(world, bad, 2, reader)
    assert (done.to_version, done.still_parked) == (3, 1)
    assert done.error.startswith("UpcastFailed")
    assert (await discard(world, bad, 4, reader)).to_version == 4


async def test_the_last_of_a_lane_can_be_discarded_and_the_stream_goes_on(world: Any) -> None:
    bad = await write(world, 1)
    reader = picky((bad, 2))
    await apply(world, reader)
    assert (await discard(world, bad, 2, reader)).to_version == 2
    await world.handler().handle(request(bad, Add(40)))
    await apply(world, reader)
    assert await totals(world) == [41]


async def test_an_event_that_is_not_the_journals_goes_without_a_trace_in_the_fold(world: Any) -> None:
    bad = await write(world, 1, 2)
    await apply(world, decode)
    stored = world.stored(bad)[1]
    other = type(stored)(
        bad, 2, world.stored(await write(world, 1))[0].event_id, "Added", 1, json.dumps({}).encode(), stored.meta
    )
    await world.projector().apply({bad: [other]})
    assert (await world.views.status([COUNTER_VIEW]))[0].parked_streams == 0, "below the checkpoint it is a repeat"
    last = world.stored(bad)[2]
    twin = type(last)(bad, 3, other.event_id, last.type, 1, last.data, last.meta)
    await world.projector().apply({bad: [twin]})
    assert (await world.views.status([COUNTER_VIEW]))[0].parked_streams == 1
    done = await discard(world, bad, 3, decode)
    assert (done.from_version, done.to_version, done.still_parked) == (3, 3, 0)
    async with world.views.transaction() as transaction:
        assert not await load_discards(transaction, COUNTER_VIEW)
        assert not await transaction.parked(COUNTER_VIEW, [bad])


@pytest.mark.parametrize(
    ("version", "reason", "refusal"),
    [(3, REASON, "NOT_FIRST_OF_LANE"), (2, "  because  ", "DISCARD_REASON_MISSING")],
)
async def test_what_is_not_said_exactly_is_not_discarded(world: Any, version: int, reason: str, refusal: str) -> None:
    bad = await write(world, 1, 2)
    await apply(world, picky((bad, 2)))
    with pytest.raises(Refusal, match=refusal):
        await discard(world, bad, version, decode, reason=reason)
    with pytest.raises(Refusal, match="LANE_EMPTY"):
        await discard(world, await write(world, 1), 2, decode)
    assert (await world.views.status([COUNTER_VIEW]))[0].parked_streams == 1
