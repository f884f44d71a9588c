"""The contract of ``ViewCatalogue`` and ``ViewNotes``: generations of a view's table, lanes at a glance, documents."""

import asyncio

from eventkernel.errors import StoreMismatch
from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import CORRECTIONS_KEY, CORRECTIONS_KIND, LaneHead
from eventkernel.testing.contracts.features import Feature, Suite, needs
from eventkernel.testing.contracts.views import (
    MOMENT,
    ViewsUnderTest,
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
from eventkernel.view import View

ROW = {"id": "1", "label": None, "number": 1}
TURNS = 3


class ViewCatalogueContract(Suite):
    """Give it a fixture ``views``: ``ViewsUnderTest``."""

    async def test_a_generation_is_filled_beside_the_one_that_answers(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        beside = await _generation(views, view, 1)
        await save(views.store, view, step(stream, 1, put(view, ROW)))
        await save(views.peer, beside, step(stream, 1, put(view, ROW | {"number": 2})))
        assert await values(views.peer, view) == [ROW]
        assert await values(views.store, view.of_generation(0)) == [ROW]
        assert await values(views.store, beside) == [ROW | {"number": 2}]
        [first, second] = await views.peer.status([view, beside])
        assert (first.events_applied, second.events_applied) == (1, 1)

    async def test_a_switch_is_one_transaction_for_rows_checkpoints_lanes_and_counts(
        self, views: ViewsUnderTest
    ) -> None:
        view, stream, other = await owned_view(views), new_stream(), new_stream()
        beside = await _generation(views, view, 1)
        await save(views.store, view, step(stream, 1, put(view, ROW)))
        async with views.store.transaction() as transaction:
            await transaction.save(beside, [step(stream, 5, put(view, ROW | {"number": 5}), before=0)])
            await transaction.park(beside, [parked(other, 3)])
            assert await transaction.catalogue.active(view) == 0
            await transaction.catalogue.activate(view, 1)
            assert await transaction.catalogue.active(view) == 1
            assert (await transaction.load(view, [stream]))[stream].version == 5
            assert await versions(views.peer, view, [stream]) == [1]
        for store in (views.store, views.peer):
            assert await values(store, view) == [ROW | {"number": 5}]
            assert await versions(store, view, [stream]) == [5]
            assert [(s.events_applied, s.parked_streams) for s in await store.status([view])] == [(5, 1)]
            async with store.transaction() as transaction:
                assert await transaction.catalogue.active(view) == 1
                assert list(await transaction.parked(view, [stream, other])) == [other]
        await save(views.peer, view, step(stream, 6, put(view, ROW | {"number": 6})))
        assert await values(views.store, beside) == [ROW | {"number": 6}]
        assert await values(views.store, view.of_generation(0)) == [ROW]

    async def test_a_switch_that_fails_changes_nothing(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        await _generation(views, view, 1)
        await save(views.store, view, step(stream, 1, put(view, ROW)))
        try:
            async with views.store.transaction() as transaction:
                await transaction.catalogue.activate(view, 1)
                raise _Interruption
        except _Interruption:
            pass
        assert await values(views.peer, view) == [ROW]

    async def test_a_generation_without_tables_cannot_answer(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        refused = None
        try:
            async with views.store.transaction() as transaction:
                await transaction.catalogue.activate(view, 7)
        except StoreMismatch as error:
            refused = error
        assert refused is not None
        assert await values(views.store, view) == []

    async def test_a_reading_keeps_the_generation_of_its_snapshot(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        beside = await _generation(views, view, 1)
        await save(views.store, view, step(stream, 1, put(view, ROW)))
        await save(views.store, beside, step(stream, 2, put(view, ROW | {"number": 2}), before=0))
        async with views.peer.reading() as reading:
            before = await reading.get(view, "default", ("1",))
            await _activate(views, view, 1)
            assert await reading.get(view, "default", ("1",)) == before
            assert [row.values for row in await reading.select(view, Query("default"))] == [ROW]
            assert [checkpoint.version async for _, checkpoint in reading.scan(view)] == [1]
        async with views.peer.reading() as reading:
            assert [row.values["number"] for row in await reading.select(view, Query("default"))] == [2]
            assert await reading.count(view, Query("default")) == 1
            assert [checkpoint.version async for _, checkpoint in reading.scan(view)] == [2]

    async def test_a_generation_that_was_left_is_not_written_to_by_transactions_under_way(
        self, views: ViewsUnderTest
    ) -> None:
        """Every transaction lands in the generation that answers when it commits, whatever is switched meanwhile."""
        view, stream = await owned_view(views), new_stream()
        await _generation(views, view, 1)

        async def advance(place: int) -> None:
            store = views.store if place % 2 else views.peer
            async with store.transaction() as transaction:
                generation = await transaction.catalogue.active(view)
                before = (await transaction.load(view, [stream]))[stream].version
                await asyncio.sleep(0)
                assert await transaction.catalogue.active(view) == generation
                row = put(view, ROW | {"number": before + 1})
                await transaction.save(view, [step(stream, before + 1, row)])

        async def switch(generation: int) -> None:
            async with views.peer.transaction() as transaction:
                await transaction.catalogue.activate(view, generation)

        for turn in range(TURNS):
            await asyncio.gather(*(advance(place) for place in range(4)), switch(1 - turn % 2), advance(5))
        both = [await versions(views.store, view.of_generation(g), [stream]) for g in (0, 1)]
        assert sum(version for [version] in both) == TURNS * 5

    async def test_what_lags_behind_is_told_by_checkpoint_and_by_lane(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        old, new = view.of_generation(0), await _generation(views, view, 1)
        same, further, kept, ahead, elsewhere, nothing = sorted(new_stream() for _ in range(6))
        foreign = StreamId("another", same.name)
        await save(views.store, old, *(step(s, 3, before=0) for s in (same, further, kept, elsewhere, foreign)))
        await save(views.store, old, step(ahead, 1))
        await save(views.store, new, *(step(s, 3, before=0) for s in (same, kept, elsewhere)))
        await save(views.store, new, step(further, 2, before=0), step(ahead, 2, before=0))
        async with views.store.transaction() as transaction:
            await transaction.park(old, [parked(kept, 4), parked(kept, 5), parked(elsewhere, 4), parked(nothing, 1)])
            await transaction.park(new, [parked(kept, 4), parked(elsewhere, 4)])
        async with views.peer.transaction() as transaction:
            found = await transaction.catalogue.behind(old, new, 10)
            assert list(found) == sorted([further, kept, nothing, foreign])
            assert await transaction.catalogue.behind(old, new, 2) == sorted(found)[:2]
            assert await transaction.catalogue.behind(new, old, 10) == [ahead]

    async def test_lanes_are_listed_by_stream_with_the_error_that_stands_in_the_way(
        self, views: ViewsUnderTest
    ) -> None:
        view, other = await owned_view(views), await owned_view(views)
        one, two, three = sorted(new_stream() for _ in range(3))
        foreign = new_stream("another")
        async with views.store.transaction() as transaction:
            await transaction.park(view, [parked(one, 5, ""), parked(one, 4, "broken"), parked(one, 7, "")])
            await transaction.park(view, [parked(two, 2, "odd"), parked(three, 1, "x"), parked(foreign, 1)])
            await transaction.park(other, [parked(one, 1, "of another view")])
        async with views.peer.transaction() as transaction:
            assert list(await transaction.catalogue.lanes(view, "default", "", 2)) == [
                LaneHead(one, 4, 7, 3, "broken", MOMENT.replace(second=4)),
                LaneHead(two, 2, 2, 1, "odd", MOMENT.replace(second=2)),
            ]
            assert [lane.stream for lane in await transaction.catalogue.lanes(view, "default", two.name, 2)] == [three]
            assert await transaction.catalogue.lanes(view, "third", "", 2) == []

    async def test_a_generation_is_dropped_with_its_lanes_and_can_be_made_anew(self, views: ViewsUnderTest) -> None:
        view, stream = await summed_view(views), new_stream()
        beside = await _generation(views, view, 1)
        await save(views.store, beside, step(stream, 4, before=0))
        async with views.store.transaction() as transaction:
            await transaction.park(beside, [parked(stream, 5)])
        async with views.peer.transaction() as transaction:
            await transaction.catalogue.drop(beside)
        await _generation(views, view, 1)
        assert await versions(views.peer, beside, [stream]) == [0]
        async with views.store.transaction() as transaction:
            assert await transaction.parked(beside, [stream]) == {}
        assert [(s.streams, s.events_applied) for s in await views.store.status([beside])] == [(0, 0)]

    async def test_the_generation_that_answers_is_not_dropped(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        for target in (view, view.of_generation(0)):
            refused = None
            try:
                async with views.store.transaction() as transaction:
                    await transaction.catalogue.drop(target)
            except ValueError as error:
                refused = error
            assert refused is not None
        assert await values(views.store, view) == []

    async def test_notes_are_kept_by_view_kind_and_key(self, views: ViewsUnderTest) -> None:
        view, other = await owned_view(views), await owned_view(views)
        async with views.store.transaction() as transaction:
            await transaction.notes.put(view, "kind", "b", b"\x00two\xff")
            await transaction.notes.put(view, "kind", "a", b"one")
            await transaction.notes.put(view, "another", "a", b"")
            await transaction.notes.put(view, "kind", "a", b"uno")
        async with views.peer.transaction() as transaction:
            notes = transaction.notes
            assert list((await notes.all(view, "kind")).items()) == [("a", b"uno"), ("b", b"\x00two\xff")]
            assert await notes.all(view.of_generation(3), "another") == {"a": b""}
            assert await notes.all(other, "kind") == {}

    async def test_a_reading_tells_the_stamp_of_corrections_of_its_snapshot(self, views: ViewsUnderTest) -> None:
        view, other = await owned_view(views), await owned_view(views)
        async with views.store.reading() as before:
            assert await before.corrections(view) == 0
            for stamp in (b"7", b"1767225600000001"):
                async with views.peer.transaction() as transaction:
                    await transaction.notes.put(view, CORRECTIONS_KIND, CORRECTIONS_KEY, stamp)
            assert await before.corrections(view) == 0
        async with views.store.reading() as after:
            assert await after.corrections(view) == await after.corrections(view.of_generation(0)) == 1767225600000001
            assert await after.corrections(other) == 0

    async def test_a_note_that_was_read_is_not_overtaken(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        async with views.store.transaction() as transaction:
            await transaction.notes.put(view, "count", "n", b"0")

        async def count(place: int) -> None:
            store = views.store if place % 2 else views.peer
            async with store.transaction() as transaction:
                known = int((await transaction.notes.all(view, "count"))["n"])
                await transaction.notes.put(view, "count", "n", b"%d" % (known + 1))

        await asyncio.gather(*(count(place) for place in range(8)))
        async with views.store.transaction() as transaction:
            assert await transaction.notes.all(view, "count") == {"n": b"8"}

    @needs(Feature.DURABLE)
    async def test_generations_and_notes_survive_closing_and_opening_again(self, views: ViewsUnderTest) -> None:
        assert views.reopen is not None
        view, stream = await owned_view(views), new_stream()
        beside = await _generation(views, view, 1)
        await save(views.store, beside, step(stream, 1, put(view, ROW)))
        await _activate(views, view, 1)
        async with views.store.transaction() as transaction:
            await transaction.notes.put(view, "kind", "key", b"kept")
        views = await views.reopen()
        await views.store.prepare([view])
        assert await values(views.store, view) == [ROW]
        async with views.store.transaction() as transaction:
            assert await transaction.notes.all(view, "kind") == {"key": b"kept"}


class _Interruption(Exception):
    """Raised in the middle of a transaction."""


async def _generation(views: ViewsUnderTest, view: View[bytes, bytes], generation: int) -> View[bytes, bytes]:
    """Made by one process; the other learns of it when it meets it."""
    made = view.of_generation(generation)
    await views.store.prepare([made])
    return made


async def _activate(views: ViewsUnderTest, view: View[bytes, bytes], generation: int) -> None:
    async with views.store.transaction() as transaction:
        await transaction.catalogue.activate(view, generation)
