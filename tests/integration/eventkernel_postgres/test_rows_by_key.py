"""Rows and versions by key share statements, and answer as a reading would that begins when they are asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from eventkernel.errors import InvalidCommand, StoreUnavailable
from eventkernel.testing.contracts.views import ViewsUnderTest, new_stream, owned_view, put, save, step
from eventkernel.view import View
from eventkernel_postgres import row_reading
from eventkernel_postgres.pool import Pool
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore

Sql = Callable[[str], list[tuple[object, ...]]]
ROWS = 20


@pytest.fixture
async def views(settings: PostgresSettings) -> AsyncIterator[ViewsUnderTest]:
    named = replace(settings, dsn=f"{settings.dsn}?application_name={settings.schema}")
    one, two = await PostgresViewStore.open(named), await PostgresViewStore.open(named)
    yield ViewsUnderTest(one, two)
    await one.close()
    await two.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every statement that was sent outside of a transaction."""
    sent: list[bytes] = []
    asked = Pool.asked

    async def counted(pool: Pool, text: bytes, parameters: Any) -> Any:
        sent.append(text)
        return await asked(pool, text, parameters)

    monkeypatch.setattr(Pool, "asked", counted)
    return sent


async def written(views: ViewsUnderTest) -> View[Any, Any]:
    view = await owned_view(views)
    for number in range(ROWS):
        row = {"id": str(number), "label": None, "number": number}
        await save(views.store, view, step(new_stream(), 1, put(view, row)))
    return view


def store_of(views: ViewsUnderTest) -> PostgresViewStore:
    assert isinstance(views.store, PostgresViewStore)
    return views.store


async def test_a_row_by_its_key_is_that_of_a_reading(views: ViewsUnderTest) -> None:
    view = await written(views)
    async with views.store.reading() as reading:
        for key in ("0", "19", "none"):
            assert await store_of(views).row(view, "default", (key,)) == await reading.get(view, "default", (key,))
    assert await store_of(views).row(view, "other", ("0",)) is None


async def test_callers_at_the_same_time_share_statements_and_each_gets_its_own(
    views: ViewsUnderTest, statements: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reading, "KEYS_MAX", 16)
    view = await written(views)
    keys = [str(number % (ROWS + 1)) for number in range(64)]
    found = await asyncio.gather(*(store_of(views).row(view, "default", (key,)) for key in keys))
    assert [None if row is None else row.values["id"] for row in found] == [
        None if key == str(ROWS) else key for key in keys
    ]
    assert len(statements) == 4


async def test_a_caller_that_gives_up_takes_nothing_from_the_others(views: ViewsUnderTest) -> None:
    view = await written(views)
    callers = [asyncio.create_task(store_of(views).row(view, "default", (str(key),))) for key in range(8)]
    await asyncio.sleep(0)
    callers[0].cancel()
    rows = await asyncio.gather(*callers[1:])
    assert [row.values["number"] for row in rows if row] == list(range(1, 8))
    assert await store_of(views).row(view, "default", ("0",))


async def test_a_key_that_postgres_cannot_hold_is_refused_alone(views: ViewsUnderTest) -> None:
    view = await written(views)
    keys = ("1", "a\0b", "2")
    first, refused, last = await asyncio.gather(
        *(store_of(views).row(view, "default", (key,)) for key in keys), return_exceptions=True
    )
    assert isinstance(refused, InvalidCommand)
    assert [row.values["number"] for row in (first, last) if not isinstance(row, BaseException) and row] == [1, 2]


async def test_a_generation_that_was_switched_to_answers_from_then_on_and_one_that_was_dropped_is_forgotten(
    views: ViewsUnderTest,
) -> None:
    view, store = await written(views), store_of(views)
    assert await store.row(view, "default", ("1",)) is not None
    fresh, stream = view.of_generation(1), new_stream()
    await views.peer.prepare([fresh])
    await save(views.peer, fresh, step(stream, 1, put(fresh, {"id": "new", "label": None, "number": 7})))
    async with views.peer.transaction() as transaction:
        await transaction.catalogue.activate(view, 1)
    assert await store.row(view, "default", ("1",)) is None
    assert (await store.versions(view, [stream, new_stream()]))[stream] == 1
    async with views.peer.transaction() as transaction:
        await transaction.catalogue.activate(view, 0)
        await transaction.catalogue.drop(fresh)
    assert await store.row(view, "default", ("1",)) is not None
    assert await store.row(view, "default", ("new",)) is None


async def test_versions_are_those_of_the_checkpoints(views: ViewsUnderTest) -> None:
    view, stream, unknown = await written(views), new_stream(), new_stream()
    for version in (1, 2, 3):
        await save(views.store, view, step(stream, version, put(view, {"id": "x", "label": None, "number": version})))
    elsewhere = replace(stream, tenant="other")
    assert await store_of(views).versions(view, [unknown, stream, elsewhere]) == {unknown: 0, stream: 3, elsewhere: 0}
    assert await store_of(views).versions(view, []) == {}


async def test_a_connection_that_was_lost_while_idle_is_replaced_without_an_error(
    views: ViewsUnderTest, settings: PostgresSettings, sql: Sql
) -> None:
    view = await written(views)
    assert await store_of(views).row(view, "default", ("3",))
    ended = sql(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{settings.schema}'"
    )
    assert ended
    assert await store_of(views).row(view, "default", ("3",))


async def test_a_store_that_was_closed_says_so(views: ViewsUnderTest) -> None:
    view = await written(views)
    await views.store.close()
    with pytest.raises(StoreUnavailable):
        await store_of(views).row(view, "default", ("3",))
