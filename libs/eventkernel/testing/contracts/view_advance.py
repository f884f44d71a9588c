"""The contract of ``ViewTransaction.advance``: several views move at once, from where their checkpoints are known to be."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from eventkernel.errors import Divergence
from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import Checkpoint, CheckpointMark, JointChange, StreamChange, ViewStore, mark_of
from eventkernel.testing.contracts.features import Suite
from eventkernel.testing.contracts.views import (
    ViewsUnderTest,
    checkpoint,
    gone,
    new_stream,
    owned_view,
    parked,
    put,
    save,
    step,
    summed_view,
    values,
    versions,
)
from eventkernel.view import Change, View

NOTHING = mark_of(Checkpoint(0, None, None))
RACERS = 8


class ViewAdvanceContract(Suite):
    """Give it a fixture ``views``: ``ViewsUnderTest``."""

    async def test_views_move_together_from_nothing_and_from_what_is_there(self, views: ViewsUnderTest) -> None:
        kinds = [await owned_view(views), await owned_view(views), await summed_view(views)]
        old, new = sorted([new_stream(), new_stream()])
        at = {stream: checkpoint(1) for stream in (old, new)}
        await advance(views.store, kinds, {old: NOTHING}, {old: at[old]}, _one_row)
        then = checkpoint(3)
        marks = {old: mark_of(at[old]), new: NOTHING}
        await advance(views.peer, kinds, marks, {old: then, new: at[new]}, _one_row)
        for view in kinds:
            async with views.store.reading() as reading:
                assert await reading.checkpoints(view, [old, new]) == {old: then, new: at[new]}
        assert {row["id"]: row["number"] for row in await values(views.store, kinds[1])} == {old.name: 3, new.name: 1}
        assert [row["count"] for row in await values(views.store, kinds[2])] == [3]
        assert [(s.streams, s.events_applied) for s in await views.store.status(kinds)] == [(2, 4)] * 3

    @pytest.mark.parametrize("other", ["version", "event", "state", "new"])
    async def test_a_checkpoint_that_is_elsewhere_is_a_divergence_and_nothing_moves(
        self, views: ViewsUnderTest, other: str
    ) -> None:
        first, second = await owned_view(views), await owned_view(views)
        stream, beside = new_stream(), new_stream()
        thought = checkpoint(2)
        there = {
            "version": replace(thought, version=3),
            "event": replace(thought, event_id=uuid4()),
            "state": replace(thought, state=b"another"),
            "new": thought,
        }[other]
        await save(views.store, first, StreamChange(stream, 0, thought, ()))
        await save(views.store, second, StreamChange(stream, 0, there, ()))
        mark = NOTHING if other == "new" else mark_of(thought)
        with pytest.raises(Divergence):
            await advance(
                views.store,
                [first, second],
                {stream: mark, beside: NOTHING},
                {stream: checkpoint(4), beside: checkpoint(1)},
                _one_row,
            )
        assert await versions(views.store, first, [stream, beside]) == [2, 0]
        assert await versions(views.store, second, [stream, beside]) == [there.version, 0]
        assert await values(views.store, first) == []

    async def test_a_lane_of_one_view_is_a_divergence_and_nothing_moves(self, views: ViewsUnderTest) -> None:
        first, second = await owned_view(views), await owned_view(views)
        stream, waiting, elsewhere = (new_stream() for _ in range(3))
        async with views.store.transaction() as transaction:
            await transaction.park(second, [parked(waiting, 1), parked(elsewhere, 1)])
        some = {stream: checkpoint(1), waiting: checkpoint(1)}
        with pytest.raises(Divergence):
            await advance(views.store, [first, second], dict.fromkeys(some, NOTHING), some, _one_row)
        assert await versions(views.store, first, [stream, waiting]) == [0, 0]
        await advance(views.store, [first, second], {stream: NOTHING}, {stream: checkpoint(1)}, _one_row)
        await advance(views.store, [first], {waiting: NOTHING}, {waiting: checkpoint(1)}, _one_row)
        assert await versions(views.store, first, [stream, waiting]) == [1, 1]

    async def test_what_was_only_loaded_before_counts_as_nothing(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        async with views.store.transaction() as transaction:
            await transaction.load(view, [stream])
        await advance(views.store, [view], {stream: NOTHING}, {stream: checkpoint(2)}, _one_row)
        assert await versions(views.store, view, [stream]) == [2]

    async def test_rows_go_and_sums_come_to_nothing(self, views: ViewsUnderTest) -> None:
        owned, summed = await owned_view(views), await summed_view(views)
        stream, at = new_stream(), checkpoint(1)
        await advance(views.store, [owned, summed], {stream: NOTHING}, {stream: at}, _one_row)
        row = {owned: _owned_row(stream, 1), summed: _summed_row(1)}

        def undone(view: View[Any, Any], *_: object) -> Change:
            return gone(view, row[view])

        await advance(views.store, [owned, summed], {stream: mark_of(at)}, {stream: checkpoint(2)}, undone)
        assert await values(views.store, owned) == []
        assert await values(views.store, summed) == []

    async def test_the_same_transaction_goes_on_from_there(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        async with views.store.transaction() as transaction:
            await transaction.load(view, [stream])
            await transaction.advance([joint([view], {stream: NOTHING}, {stream: checkpoint(1)}, _one_row)])
            await transaction.save(view, [step(stream, 2, put(view, _owned_row(stream, 2)))])
        assert [row["number"] for row in await values(views.store, view)] == [2]

    async def test_of_several_who_move_the_same_streams_one_does(self, views: ViewsUnderTest) -> None:
        kinds = [await owned_view(views), await summed_view(views)]
        streams = sorted(new_stream() for _ in range(20))

        async def racer(place: int) -> bool:
            store = views.store if place % 2 else views.peer
            try:
                some = {stream: checkpoint(1) for stream in streams}
                await advance(store, kinds, dict.fromkeys(streams, NOTHING), some, _one_row)
            except Divergence:
                return False
            return True

        assert sum(await asyncio.gather(*map(racer, range(RACERS)))) == 1
        assert [row["count"] for row in await values(views.store, kinds[1])] == [len(streams)]

    async def test_a_large_step_is_saved_whole(self, views: ViewsUnderTest) -> None:
        view, streams = await owned_view(views), sorted(new_stream() for _ in range(60))
        each = 100

        def many(stream: StreamId, at: Checkpoint) -> StreamChange:
            rows = [{"id": f"{stream.name}/{n}", "label": None, "number": n} for n in range(each)]
            return StreamChange(stream, 0, at, tuple(put(view, row) for row in rows))

        steps = [many(stream, checkpoint(1)) for stream in streams]
        async with views.store.transaction() as transaction:
            await transaction.advance([JointChange(dict.fromkeys(streams, NOTHING), [(view, steps)])])
        assert len(await values(views.store, view)) == each * len(streams)


async def advance(store: ViewStore, *words: Any) -> None:
    """One joint change in a transaction of its own."""
    async with store.transaction() as transaction:
        await transaction.advance([joint(*words)])


def joint(
    kinds: list[View[Any, Any]],
    marks: dict[StreamId, CheckpointMark],
    reached: dict[StreamId, Checkpoint],
    change: Any,
) -> JointChange:
    """Every view moves each stream from its mark, with one change."""
    return JointChange(
        marks,
        [
            (
                view,
                [
                    StreamChange(s, marks[s].version, at, (change(view, s, marks[s].version, at.version),))
                    for s, at in sorted(reached.items())
                ],
            )
            for view in kinds
        ],
    )


def _one_row(view: View[Any, Any], stream: StreamId, before: int, after: int) -> Change:
    """Of owned views the stream's row, of summed ones a count that follows the version by halves."""
    if view.name.startswith("owned"):
        return put(view, _owned_row(stream, after))
    old = _summed_row(1 + before // 2) if before else None
    new = _summed_row(1 + after // 2)
    return Change(view.key_of(new), old, new)


def _owned_row(stream: StreamId, number: int) -> Row:
    return {"id": stream.name, "label": None, "number": number}


def _summed_row(count: int) -> Row:
    return {"status": "open", "rate": Decimal(1), "count": count, "amount": Decimal(0)}
