"""The contract of ``ViewStore``: tables, checkpoints, owned and summed rows, transactions, lanes. Reading has its own suite."""

import asyncio
from dataclasses import replace
from decimal import Decimal

from eventkernel.errors import Divergence, StoreMismatch
from eventkernel.ports.view_store import Checkpoint, StreamChange
from eventkernel.testing.contracts.features import Feature, Suite, needs
from eventkernel.testing.contracts.views import (
    MOMENT,
    ViewsUnderTest,
    checkpoint,
    gone,
    moved,
    new_name,
    new_stream,
    owned_view,
    parked,
    put,
    rows,
    save,
    step,
    summed_view,
    values,
    versions,
)
from eventkernel.testing.view_samples import every_type_view
from eventkernel.view import Column, ColumnType, View

RACERS = 12


class Interruption(Exception):
    """Raised by a test in the middle of a transaction."""


class ViewStoreContract(Suite):
    """Give it a fixture ``views``: ``ViewsUnderTest``."""

    async def test_preparing_again_and_at_once_by_several_is_allowed(self, views: ViewsUnderTest) -> None:
        view = every_type_view(new_name("prepared"))
        await asyncio.gather(*(store.prepare([view]) for store in (views.store, views.peer) for _ in range(3)))
        await views.store.prepare([view])
        assert await rows(views.peer, view) == []

    async def test_a_table_of_another_shape_under_the_same_name_is_refused(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        other = replace(view, columns=(*view.columns, Column("added", ColumnType.TEXT)))
        refused = None
        try:
            await views.peer.prepare([other])
        except StoreMismatch as error:
            refused = error
        assert refused is not None
        await views.peer.prepare([replace(other, version=2)])
        assert await rows(views.peer, view) == []

    async def test_nothing_folded_yet_is_version_0(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        async with views.store.transaction() as transaction:
            assert await transaction.load(view, [stream]) == {stream: Checkpoint(0, None, None)}
        async with views.store.reading() as reading:
            assert await reading.checkpoints(view, [stream]) == {stream: Checkpoint(0, None, None)}

    async def test_a_checkpoint_comes_back_equal_and_is_moved_by_the_next_step(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        first, second = step(stream, 1), replace(step(stream, 7, before=1), checkpoint=Checkpoint(7, None, None))
        await save(views.store, view, first)
        async with views.peer.transaction() as transaction:
            assert await transaction.load(view, [stream]) == {stream: first.checkpoint}
            await transaction.save(view, [second])
            assert await transaction.load(view, [stream]) == {stream: second.checkpoint}
        async with views.store.reading() as reading:
            assert await reading.checkpoints(view, [stream]) == {stream: second.checkpoint}

    async def test_checkpoints_are_loaded_in_sorted_order_of_the_streams(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        streams = [new_stream(tenant) for tenant in ("b", "a", "b", "a") for _ in range(300)]
        await save(views.store, view, *(step(stream, 3, before=0) for stream in streams[::2]))
        async with views.store.transaction() as transaction:
            loaded = await transaction.load(view, streams)
        assert list(loaded) == sorted(streams)
        assert [loaded[stream].version for stream in streams] == [3, 0] * 600

    async def test_a_step_from_another_version_than_the_checkpoints_is_a_divergence(
        self, views: ViewsUnderTest
    ) -> None:
        view, stream, other = await owned_view(views), new_stream(), new_stream()
        row = {"id": "1", "label": "first", "number": 1}
        await save(views.store, view, step(stream, 1, put(view, row)))
        for wrong in (step(stream, 1), step(stream, 3), step(other, 2)):
            found = await _divergence(views, view, step(new_stream(), 1, put(view, row | {"id": "2"})), wrong)
            assert (found.stream, found.version) == (wrong.stream.key, wrong.checkpoint.version)
        assert await values(views.store, view) == [row]
        assert await versions(views.store, view, [stream, other]) == [1, 0]

    async def test_a_transaction_that_fails_leaves_nothing(self, views: ViewsUnderTest) -> None:
        view, sums, stream = await owned_view(views), await summed_view(views), new_stream()
        try:
            async with views.store.transaction() as transaction:
                await transaction.save(view, [step(stream, 1, put(view, {"id": "1", "label": None, "number": 1}))])
                await transaction.save(sums, [step(stream, 1, put(sums, _sum(count=1)))])
                await transaction.park(view, [parked(stream, 2)])
                raise Interruption
        except Interruption:
            pass
        assert (await values(views.store, view), await values(views.peer, sums)) == ([], [])
        assert await versions(views.peer, view, [stream]) == [0]
        async with views.store.transaction() as transaction:
            assert await transaction.parked(view, [stream]) == {}
        assert [s.parked_streams for s in await views.store.status([view])] == [0]

    async def test_a_transaction_whose_task_is_cancelled_leaves_nothing_and_the_next_one_works(
        self, views: ViewsUnderTest
    ) -> None:
        view, stream = await owned_view(views), new_stream()
        row = {"id": "1", "label": None, "number": 1}
        saved = asyncio.Event()

        async def interrupted() -> None:
            async with views.store.transaction() as transaction:
                await transaction.save(view, [step(stream, 1, put(view, row))])
                saved.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(interrupted())
        await saved.wait()
        task.cancel()
        await asyncio.wait([task])
        assert await values(views.peer, view) == []
        await save(views.store, view, step(stream, 1, put(view, row)))
        assert await values(views.peer, view) == [row]

    async def test_rows_of_a_stream_are_added_replaced_and_removed(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        one, two = ({"id": number, "label": "é", "number": 5} for number in "12")
        await save(views.store, view, step(stream, 1, put(view, one), put(view, two)))
        assert [(row.values, row.stream, row.version) for row in await rows(views.peer, view)] == [
            (one, stream, 1),
            (two, stream, 1),
        ]
        changed = one | {"label": None, "number": -1}
        await save(views.store, view, step(stream, 2, moved(view, one, changed), gone(view, two)))
        assert [(row.values, row.version) for row in await rows(views.peer, view)] == [(changed, 2)]

    async def test_several_steps_of_a_stream_in_one_save_are_applied_in_their_order(
        self, views: ViewsUnderTest
    ) -> None:
        view, stream = await owned_view(views), new_stream()
        row = {"id": "1", "label": None, "number": 1}
        kept, back = row | {"number": 2}, row | {"id": "2", "number": 3}
        steps = [
            step(stream, 1, put(view, row), put(view, back)),
            step(stream, 2, moved(view, row, kept), gone(view, back)),
            step(stream, 3, put(view, back)),
        ]
        await save(views.store, view, *steps)
        assert await values(views.store, view) == [kept, back]
        assert await versions(views.store, view, [stream]) == [3]

    async def test_sums_add_what_streams_contribute_and_take_back_what_they_no_longer_do(
        self, views: ViewsUnderTest
    ) -> None:
        view, one, two = await summed_view(views), new_stream(), new_stream()
        small, large = _sum(count=1, amount="0.1"), _sum(count=2, amount="0.2")
        await save(views.store, view, step(one, 1, put(view, small)), step(two, 1, put(view, large)))
        assert await values(views.peer, view) == [_sum(count=3, amount="0.3")]
        await save(views.peer, view, step(one, 2, moved(view, small, large)))
        assert await values(views.store, view) == [_sum(count=4, amount="0.4")]
        [row] = await rows(views.store, view)
        assert (row.stream, row.version) == (None, 0)

    async def test_a_row_whose_sums_are_all_zero_does_not_exist(self, views: ViewsUnderTest) -> None:
        view, one, two = await summed_view(views), new_stream(), new_stream()
        plus, minus, half = _sum(count=1, amount="2.50"), _sum(count=-1, amount="-2.5"), _sum(count=-1)
        await save(views.store, view, step(one, 1, put(view, plus)))
        await save(views.store, view, step(two, 1, put(view, half)))
        assert await values(views.store, view) == [_sum(amount="2.5")]
        await save(views.store, view, step(two, 2, moved(view, half, minus)))
        assert await values(views.store, view) == []
        await save(views.store, view, step(two, 3, gone(view, minus)))
        assert await values(views.store, view) == [plus]
        await save(views.store, view, step(one, 2, gone(view, plus)), step(two, 4, put(view, plus)))
        assert await values(views.store, view) == [plus]

    async def test_a_row_whose_negative_sums_rise_to_zero_does_not_exist(self, views: ViewsUnderTest) -> None:
        view, one, two = await summed_view(views), new_stream(), new_stream()
        minus, plus, half = _sum(count=-2, amount="-0.3"), _sum(count=2, amount="0.30"), _sum(count=1, amount="0.1")
        await save(views.store, view, step(one, 1, put(view, minus)))
        await save(views.store, view, step(two, 1, put(view, half)))
        assert await values(views.peer, view) == [_sum(count=-1, amount="-0.2")]
        await save(views.store, view, step(two, 2, moved(view, half, plus)))
        assert await values(views.peer, view) == []

    async def test_sums_of_decimals_are_exact_however_far_apart(self, views: ViewsUnderTest) -> None:
        view = await summed_view(views)
        for amount in ("1E+30", "1E-15", "-0.3", "0.1", "0.1", "0.1", "-1E+30"):
            await save(views.store, view, step(new_stream(), 1, put(view, _sum(count=1, amount=amount))))
        assert await values(views.store, view) == [_sum(count=7, amount="0.000000000000001")]

    async def test_equal_decimals_are_one_key_however_they_are_written(self, views: ViewsUnderTest) -> None:
        view = await summed_view(views)
        for rate in ("1.5", "1.50", "15E-1"):
            await save(views.store, view, step(new_stream(), 1, put(view, _sum(count=1) | {"rate": Decimal(rate)})))
        assert [row["count"] for row in await values(views.store, view)] == [3]

    async def test_tenants_do_not_mix(self, views: ViewsUnderTest) -> None:
        view, sums = await owned_view(views), await summed_view(views)
        for tenant, number in (("a", 1), ("b", 2)):
            stream = replace(new_stream(tenant), name="thing-1")
            row = {"id": "1", "label": tenant, "number": number}
            await save(views.store, view, step(stream, number, put(view, row), before=0))
            await save(views.store, sums, step(stream, number, put(sums, _sum(count=number)), before=0))
            async with views.store.transaction() as transaction:
                await transaction.park(view, [parked(stream, number)])
        a, b = (replace(new_stream(tenant), name="thing-1") for tenant in "ab")
        assert [row["label"] for row in await values(views.store, view, "a")] == ["a"]
        assert [row["count"] for row in await values(views.store, sums, "b")] == [2]
        assert await versions(views.store, view, [a, b]) == [1, 2]
        async with views.store.transaction() as transaction:
            assert [event.event.version for event in (await transaction.parked(view, [a, b]))[b]] == [2]
            await transaction.unpark(view, a, 9)
            assert list(await transaction.parked(view, [a, b])) == [b]
        await save(views.store, view, step(a, 2, gone(view, {"id": "1", "label": "a", "number": 1})))
        assert (len(await rows(views.store, view, "a")), len(await rows(views.store, view, "b"))) == (0, 1)

    async def test_transactions_on_one_stream_follow_one_another(self, views: ViewsUnderTest) -> None:
        view, stream = await summed_view(views), new_stream()
        await save(views.store, view, step(stream, 1, put(view, _sum(count=1))))

        async def advance(place: int) -> None:
            store = views.store if place % 2 else views.peer
            async with store.transaction() as transaction:
                before = (await transaction.load(view, [stream]))[stream].version
                change = moved(view, _sum(count=before), _sum(count=before + 1))
                await transaction.save(view, [step(stream, before + 1, change)])

        await asyncio.gather(*(advance(place) for place in range(RACERS)))
        assert await versions(views.store, view, [stream]) == [RACERS + 1]
        assert [row["count"] for row in await values(views.store, view)] == [RACERS + 1]

    async def test_a_large_batch_is_saved_whole(self, views: ViewsUnderTest) -> None:
        view, sums = await owned_view(views), await summed_view(views)
        streams = [new_stream() for _ in range(1_500)]
        async with views.store.transaction() as transaction:
            await transaction.load(view, streams)
            some = [{"id": stream.name, "label": "x" * 50, "number": place} for place, stream in enumerate(streams)]
            await transaction.save(view, [step(s, 1, put(view, row)) for s, row in zip(streams, some, strict=True)])
            kinds = [_sum(count=1) | {"status": str(place % 700)} for place in range(len(streams))]
            await transaction.save(sums, [step(s, 1, put(sums, row)) for s, row in zip(streams, kinds, strict=True)])
        assert [row["number"] for row in sorted(await values(views.store, view), key=lambda r: r["number"])] == [
            *range(1_500)
        ]
        assert sum(row["count"] for row in await values(views.store, sums)) == 1_500
        removed = [step(s, 2, gone(view, row)) for s, row in zip(streams[1:], some[1:], strict=True)]
        await save(views.store, view, *removed)
        assert await values(views.store, view) == some[:1]

    async def test_a_lane_is_in_version_order_and_an_event_already_there_stays_as_it_is(
        self, views: ViewsUnderTest
    ) -> None:
        view, stream, other = await owned_view(views), new_stream(), new_stream()
        events = {version: parked(stream, version) for version in (5, 11, 4)}
        async with views.store.transaction() as transaction:
            await transaction.park(view, [events[5], events[11]])
        async with views.peer.transaction() as transaction:
            await transaction.park(view, [events[4], parked(stream, 5, error="another")])
            lanes = await transaction.parked(view, [other, stream])
            assert {s: list(lane) for s, lane in lanes.items()} == {stream: [events[4], events[5], events[11]]}

    async def test_unparking_removes_a_lane_up_to_a_version(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        async with views.store.transaction() as transaction:
            await transaction.park(view, [parked(stream, version) for version in (1, 2, 3)])
            await transaction.unpark(view, stream, 2)
        async with views.peer.transaction() as transaction:
            assert [e.event.version for e in (await transaction.parked(view, [stream]))[stream]] == [3]
            await transaction.unpark(view, stream, 3)
            assert await transaction.parked(view, [stream]) == {}

    async def test_the_status_counts_streams_events_and_lanes(self, views: ViewsUnderTest) -> None:
        view, other = await owned_view(views), await owned_view(views)
        assert [(s.streams, s.events_applied, s.updated_at) for s in await views.store.status([view])] == [(0, 0, None)]
        one, two = new_stream(), new_stream()
        await save(views.store, view, step(one, 3, before=0), step(two, 1))
        await save(views.store, view, step(one, 5, before=3))
        async with views.store.transaction() as transaction:
            await transaction.park(view, [parked(two, 2, "first"), parked(two, 3, "last"), parked(one, 1, "older")])
        [status, untouched] = await views.peer.status([view, other])
        assert (status.view, status.version) == (view.name, view.version)
        assert (status.streams, status.events_applied) == (2, 6)
        assert (status.parked_streams, status.last_error) == (2, "last")
        assert status.updated_at is not None
        assert status.updated_at > MOMENT
        assert (untouched.streams, untouched.parked_streams, untouched.last_error) == (0, 0, "")

    @needs(Feature.DURABLE)
    async def test_everything_survives_closing_and_opening_again(self, views: ViewsUnderTest) -> None:
        assert views.reopen is not None
        view, sums, stream = await owned_view(views), await summed_view(views), new_stream()
        row, lane, at = {"id": "1", "label": "kept", "number": 1}, parked(stream, 2), checkpoint(1)
        async with views.store.transaction() as transaction:
            await transaction.save(view, [replace(step(stream, 1, put(view, row)), checkpoint=at)])
            await transaction.save(sums, [step(stream, 1, put(sums, _sum(count=1, amount="0.1")))])
            await transaction.park(view, [lane])
        views = await views.reopen()
        await views.store.prepare([view, sums])
        assert (await values(views.store, view), await values(views.store, sums)) == (
            [row],
            [_sum(count=1, amount="0.1")],
        )
        async with views.store.transaction() as transaction:
            assert await transaction.load(view, [stream]) == {stream: at}
            assert {s: list(events) for s, events in (await transaction.parked(view, [stream])).items()} == {
                stream: [lane]
            }


async def _divergence(views: ViewsUnderTest, view: View[bytes, bytes], *steps: StreamChange) -> Divergence:
    try:
        await save(views.store, view, *steps)
    except Divergence as error:
        return error
    raise AssertionError(f"saved {[step.from_version for step in steps]}")


def _sum(count: int = 0, amount: str = "0") -> dict[str, object]:
    return {"status": "open", "rate": Decimal(1), "count": count, "amount": Decimal(amount)}
