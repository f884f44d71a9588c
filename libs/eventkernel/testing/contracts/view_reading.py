"""The contract of ``ViewReading``: filters, orders, pages and counts mean what they mean in Python; snapshots do not move."""

from dataclasses import replace
from random import Random
from typing import Any

from eventkernel.filters import All, Contains, Eq, Order, Query, Row, is_after, matches, sort_rows
from eventkernel.testing.contracts.features import Suite
from eventkernel.testing.contracts.views import (
    ViewsUnderTest,
    new_name,
    new_stream,
    owned_view,
    put,
    save,
    step,
    values,
    versions,
)
from eventkernel.testing.view_samples import every_type_view, random_query, random_row
from eventkernel.view import View

ROWS = 60
QUERIES = 250


class ViewReadingContract(Suite):
    """Give it a fixture ``views``: ``ViewsUnderTest``."""

    async def test_values_of_every_type_come_back_equal(self, views: ViewsUnderTest) -> None:
        view, stored = await _every_type(views, Random(7))  # noqa: S311 - reproducible, not secret
        assert await values(views.peer, view) == sorted(stored, key=lambda row: row["id"])
        async with views.store.reading() as reading:
            for row in stored:
                found = await reading.get(view, "default", (row["id"],))
                assert found is not None
                assert {name: type(value) for name, value in found.values.items()} == {
                    n: type(v) for n, v in row.items()
                }
                assert found.values == row
            assert await reading.get(view, "default", ("absent",)) is None
            assert await reading.get(view, "third", (stored[0]["id"],)) is None

    async def test_filters_orders_pages_and_counts_mean_what_they_mean_in_python(self, views: ViewsUnderTest) -> None:
        random = Random(20260301)  # noqa: S311 - reproducible, not secret
        view, stored = await _every_type(views, random)
        async with views.store.reading() as reading:
            for _ in range(QUERIES):
                query = random_query(random, view, "default", stored)
                expected = [row for row in stored if matches(query.where, row)]
                assert await reading.count(view, query) == len(expected), query
                page = sort_rows(
                    query.order, [r for r in expected if query.after is None or is_after(query.order, r, query.after)]
                )
                found = await reading.select(view, query)
                assert [row.values["id"] for row in found] == [row["id"] for row in page[: query.limit]], query

    async def test_pages_neither_repeat_nor_skip_while_rows_come_and_go(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        stored = [{"id": f"{number:03}", "label": None, "number": number // 4} for number in range(40)]
        streams = {row["id"]: new_stream() for row in stored}
        await save(views.store, view, *(step(streams[row["id"]], 1, put(view, row)) for row in stored))
        query = Query("default", order=Order(("number", "id"), descending=True), limit=7)
        seen: list[Row] = []
        while True:
            async with views.peer.reading() as reading:
                page = [row.values for row in await reading.select(view, query)]
            seen += page
            if len(page) < query.limit:
                break
            query = replace(query, after=(page[-1]["number"], page[-1]["id"]))
            added = {"id": f"new{len(seen)}", "label": None, "number": 99}
            await save(views.store, view, step(new_stream(), 1, put(view, added)))
        assert [row["id"] for row in seen] == [row["id"] for row in reversed(stored)]

    async def test_rows_can_be_asked_for_by_the_stream_that_owns_them(self, views: ViewsUnderTest) -> None:
        view, streams = await owned_view(views), [new_stream() for _ in range(3)]
        some = [{"id": str(place), "label": None, "number": 1} for place in range(3)]
        await save(views.store, view, *(step(s, 1, put(view, row)) for s, row in zip(streams, some, strict=True)))
        async with views.store.reading() as reading:
            found = await reading.select(view, Query("default", Eq("stream", streams[1].name), Order(("stream",))))
        assert [(row.values, row.stream) for row in found] == [(some[1], streams[1])]

    async def test_text_is_found_whatever_its_case_in_a_to_z_only(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        labels = ["Amoxicillin", "AMOXI 50%", "ÉCLAIR", "éclair", "a_b", "axb", None]
        some = [{"id": str(place), "label": label, "number": 1} for place, label in enumerate(labels)]
        await save(views.store, view, *(step(new_stream(), 1, put(view, row)) for row in some))
        async with views.store.reading() as reading:
            for text, expected in {
                "amoxi": ["Amoxicillin", "AMOXI 50%"],
                "0%": ["AMOXI 50%"],
                "A_B": ["a_b"],
                "éCLAIR": ["éclair"],
                "": labels[:-1],
            }.items():
                found = await reading.select(view, Query("default", All((Contains("label", text),)), Order(("id",))))
                assert [row.values["label"] for row in found] == expected, text

    async def test_a_reading_sees_one_snapshot_whatever_is_written_meanwhile(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        old = {"id": "1", "label": "old", "number": 1}
        await save(views.store, view, step(stream, 1, put(view, old)))
        async with views.store.reading() as reading:
            first = await reading.get(view, "default", ("1",))
            await save(views.store, view, step(stream, 2, put(view, old | {"label": "new"})))
            await save(views.peer, view, step(new_stream(), 1, put(view, old | {"id": "2"})))
            assert await reading.get(view, "default", ("1",)) == first
            assert [row.values for row in await reading.select(view, Query("default", order=Order(("id",))))] == [old]
            assert await reading.count(view, Query("default")) == 1
            assert (await reading.checkpoints(view, [stream]))[stream].version == 1
            assert [(s, c.version) async for s, c in reading.scan(view)] == [(stream, 1)]
        assert [row["label"] for row in await values(views.store, view)] == ["new", "old"]

    async def test_rows_that_are_not_committed_are_not_seen(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        async with views.store.transaction() as transaction:
            await transaction.save(view, [step(stream, 1, put(view, {"id": "1", "label": None, "number": 1}))])
            for store in (views.store, views.peer):
                assert await values(store, view) == []
                assert await versions(store, view, [stream]) == [0]
        assert len(await values(views.peer, view)) == 1

    async def test_many_readings_at_once_each_see_everything(self, views: ViewsUnderTest) -> None:
        view, stream = await owned_view(views), new_stream()
        await save(views.store, view, step(stream, 1, put(view, {"id": "1", "label": None, "number": 1})))
        async with views.store.reading() as one, views.store.reading() as two, views.store.reading() as three:
            assert [await reading.count(view, Query("default")) for reading in (one, two, three)] == [1, 1, 1]

    async def test_a_scan_gives_every_checkpoint_once(self, views: ViewsUnderTest) -> None:
        view = await owned_view(views)
        streams = [new_stream(tenant) for tenant in ("a", "b", "c") for _ in range(750)]
        await save(views.store, view, *(step(stream, 2, before=0) for stream in streams))
        async with views.store.reading() as reading:
            found = [(s, c.version) async for s, c in reading.scan(view)]
        assert sorted(found) == sorted((stream, 2) for stream in streams)


async def _every_type(views: ViewsUnderTest, random: Random) -> tuple[View[Any, Any], list[Row]]:
    view = every_type_view(new_name("every"))
    for store in (views.store, views.peer):
        await store.prepare([view])
    stored = [random_row(random, view, f"{number:02}") for number in range(ROWS)]
    await save(views.store, view, *(step(new_stream(), 1, put(view, row)) for row in stored))
    strangers = [random_row(random, view, f"{number:02}") for number in range(10)]
    await save(views.store, view, *(step(new_stream("another"), 1, put(view, row)) for row in strangers))
    return view, stored
