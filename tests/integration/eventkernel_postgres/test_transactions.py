"""What a transaction does when a value, a connection or a caller fails in the middle of it, and when many run at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any

import pytest

from eventkernel.errors import InvalidCommand, Overloaded, StoreMismatch, StoreUnavailable
from eventkernel.filters import Eq, Order, Query
from eventkernel.ports.view_store import Checkpoint
from eventkernel.testing.contracts.views import (
    ViewsUnderTest,
    moved,
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
from eventkernel_postgres.errors import RowRefused
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore

Sql = Callable[[str], list[tuple[object, ...]]]

DEADLINE_SECONDS = 60


class Status(str, Enum):  # noqa: UP042 - the older kind, whose str() is not its value
    OPEN = "open"


@pytest.fixture
async def views(settings: PostgresSettings) -> AsyncIterator[ViewsUnderTest]:
    named = replace(settings, dsn=f"{settings.dsn}?application_name={settings.schema}")
    one, two = await PostgresViewStore.open(named), await PostgresViewStore.open(named)
    yield ViewsUnderTest(one, two)
    await one.close()
    await two.close()


def end_connections(settings: PostgresSettings, sql: Sql) -> None:
    """End every connection of this test's stores, as a server does that restarts."""
    ended = sql(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{settings.schema}'"
    )
    assert ended
    assert all(ended)


async def test_connections_that_were_lost_while_idle_are_replaced_without_an_error(
    views: ViewsUnderTest, settings: PostgresSettings, sql: Sql
) -> None:
    view, stream = await owned_view(views), new_stream()
    row = {"id": "1", "label": None, "number": 1}
    await save(views.store, view, step(stream, 1, put(view, row)))
    async with views.store.reading() as one, views.store.reading() as two:
        assert await one.count(view, Query("default")) == await two.count(view, Query("default"))
    end_connections(settings, sql)
    await save(views.store, view, step(stream, 2, put(view, row | {"number": 2})))
    assert [row["number"] for row in await values(views.store, view)] == [2]


async def test_a_connection_lost_in_a_transaction_leaves_nothing_and_can_be_tried_again(
    views: ViewsUnderTest, settings: PostgresSettings, sql: Sql
) -> None:
    view, stream = await owned_view(views), new_stream()
    change = step(stream, 1, put(view, {"id": "1", "label": None, "number": 1}))

    async def interrupted() -> None:
        async with views.store.transaction() as transaction:
            await transaction.save(view, [change])
            end_connections(settings, sql)
            await transaction.park(view, [parked(stream, 2)])

    with pytest.raises(StoreUnavailable) as caught:
        await interrupted()
    assert caught.value.retriable
    assert await versions(views.peer, view, [stream]) == [0]
    await save(views.store, view, change)
    assert await versions(views.peer, view, [stream]) == [1]


async def test_a_connection_lost_before_the_commit_is_an_error(
    views: ViewsUnderTest, settings: PostgresSettings, sql: Sql
) -> None:
    view, stream = await owned_view(views), new_stream()

    async def interrupted() -> None:
        async with views.store.transaction() as transaction:
            await transaction.save(view, [step(stream, 1)])
            end_connections(settings, sql)

    with pytest.raises(StoreUnavailable):
        await interrupted()
    assert await versions(views.peer, view, [stream]) == [0]


@pytest.mark.parametrize("wrong", [{"label": "\0"}, {"number": None}], ids=["refused here", "refused by the server"])
async def test_a_transaction_whose_error_was_swallowed_is_not_committed(
    views: ViewsUnderTest, wrong: dict[str, Any]
) -> None:
    view, stream = await owned_view(views), new_stream()
    row = {"id": "1", "label": "", "number": 1} | wrong

    async def swallowing() -> None:
        async with views.store.transaction() as transaction:
            await transaction.save(view, [step(stream, 1)])
            with pytest.raises(RowRefused):
                await transaction.save(view, [step(stream, 2, put(view, row))])

    with pytest.raises(StoreUnavailable, match="because of an earlier error"):
        await swallowing()
    assert await versions(views.store, view, [stream]) == [0]


NO_ROOM = Random(1).randbytes(8_000).hex()
"""More than an index takes, and hardly to be compressed."""


@pytest.mark.parametrize(
    "wrong",
    [{"label": "a\0b"}, {"number": None}, {"number": 2**63}, {"id": NO_ROOM}],
    ids=["nul", "null", "beyond 64 bit", "no room in an index"],
)
async def test_a_row_that_postgres_cannot_hold_is_refused_and_not_tried_again(
    views: ViewsUnderTest, wrong: dict[str, Any]
) -> None:
    view, stream = await owned_view(views), new_stream()
    with pytest.raises(RowRefused) as caught:
        await save(views.store, view, step(stream, 1, put(view, {"id": "1", "label": "", "number": 1} | wrong)))
    assert not caught.value.retriable
    assert await versions(views.store, view, [stream]) == [0]


async def test_a_sum_beyond_64_bit_is_refused(views: ViewsUnderTest) -> None:
    view = await summed_view(views)
    row = {"status": "open", "rate": Decimal(1), "count": 2**62, "amount": Decimal(0)}
    await save(views.store, view, step(new_stream(), 1, put(view, row)))
    with pytest.raises(RowRefused, match="bigint"):
        await save(views.store, view, step(new_stream(), 1, put(view, row)))


async def test_what_python_would_not_compare_exactly_is_refused_as_sqlite_does(views: ViewsUnderTest) -> None:
    view = await summed_view(views)
    row = {"status": "open", "rate": Decimal(1), "count": 1, "amount": Decimal(0)}
    with pytest.raises(TypeError, match="float"):
        await save(views.store, view, step(new_stream(), 1, put(view, row | {"amount": 0.5})))
    with pytest.raises(ValueError, match="NaN"):
        await save(views.store, view, step(new_stream(), 1, put(view, row | {"rate": Decimal("NaN")})))
    await save(views.store, view, step(new_stream(), 1, put(view, row | {"rate": 2, "status": Status.OPEN})))
    assert await values(views.store, view) == [row | {"rate": Decimal(2)}]


async def test_an_error_text_with_nul_can_be_parked(views: ViewsUnderTest) -> None:
    view, stream = await owned_view(views), new_stream()
    async with views.store.transaction() as transaction:
        await transaction.park(view, [parked(stream, 1, error="found \0 here")])
        lanes = await transaction.parked(view, [stream])
    assert lanes[stream][0].error == "found \\0 here"


async def test_a_filter_that_postgres_cannot_carry_is_the_askers_mistake(views: ViewsUnderTest) -> None:
    view = await owned_view(views)
    async with views.store.reading() as reading:
        with pytest.raises(InvalidCommand, match="NUL"):
            await reading.select(view, Query("default", Eq("label", "\0"), Order(("id",))))


async def test_a_view_that_was_not_prepared_is_a_mismatch(views: ViewsUnderTest) -> None:
    view = replace(await owned_view(views), version=2)
    with pytest.raises(StoreMismatch, match=f"{view.table}.*not prepared"):
        await versions(views.store, view, [])


async def test_a_table_that_was_dropped_is_a_mismatch(views: ViewsUnderTest, sql: Sql) -> None:
    view = await owned_view(views)
    sql(f"DROP TABLE {view.table}")
    with pytest.raises(StoreMismatch, match="does not exist"):
        await values(views.store, view)


async def test_more_readings_than_there_may_be_are_told_so(settings: PostgresSettings) -> None:
    store = await PostgresViewStore.open(replace(settings, readers_max=1, connect_seconds=0.1))
    async with store.reading():
        with pytest.raises(Overloaded, match="postgres readings has reached its limit of 1;"):
            async with store.reading():
                pass
    assert await store.status([]) == []
    await store.close()


async def test_a_closed_store_is_unavailable(settings: PostgresSettings) -> None:
    store = await PostgresViewStore.open(settings)
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.status([])


async def test_a_transaction_under_way_ends_well_after_its_store_was_closed(views: ViewsUnderTest) -> None:
    view, stream = await owned_view(views), new_stream()
    async with views.store.transaction() as transaction:
        await transaction.save(view, [step(stream, 1)])
        await views.store.close()
    assert await versions(views.peer, view, [stream]) == [1]


async def test_a_stream_that_was_only_locked_is_no_checkpoint(views: ViewsUnderTest) -> None:
    view, stream = await owned_view(views), new_stream()
    async with views.store.transaction() as transaction:
        await transaction.load(view, [stream])
    async with views.store.reading() as reading:
        assert [found async for found in reading.scan(view)] == []
        assert await reading.checkpoints(view, [stream]) == {stream: Checkpoint(0, None, None)}
    assert [status.streams for status in await views.store.status([view])] == [0]


async def test_a_transaction_cancelled_while_it_waits_for_a_lock_lets_go_of_everything(views: ViewsUnderTest) -> None:
    view, stream, other = await owned_view(views), *sorted([new_stream(), new_stream()])
    async with views.store.transaction() as holding:
        await holding.load(view, [other])
        waiting = asyncio.ensure_future(save(views.peer, view, step(stream, 1), step(other, 1)))
        await _until_somebody_waits(views)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await asyncio.wait_for(save(views.peer, view, step(stream, 1)), DEADLINE_SECONDS)
    assert await versions(views.store, view, [stream, other]) == [1, 0]


async def test_transactions_over_the_same_streams_and_sums_wait_for_one_another_and_never_deadlock(
    views: ViewsUnderTest,
) -> None:
    view, sums = await owned_view(views), await summed_view(views)
    streams = [new_stream() for _ in range(12)]
    rounds = 12

    async def worker(seed: int) -> None:
        random, store = Random(seed), (views.store, views.peer)[seed % 2]
        for _ in range(rounds):
            some = random.sample(streams, 6)
            async with store.transaction() as transaction:
                for target in (view, sums):
                    before = await transaction.load(target, some)
                    await transaction.save(target, [_advance(target, s, before[s].version, random) for s in some])

    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(worker(seed) for seed in range(8)))
    total = 8 * rounds * 6
    assert sum(await versions(views.store, view, streams)) == total
    assert sum(row["count"] for row in await values(views.store, sums)) == total
    assert [status.events_applied for status in await views.store.status([view, sums])] == [total, total]


def _advance(view: View[bytes, bytes], stream: Any, version: int, random: Random) -> Any:
    if "label" in {column.name for column in view.columns}:
        return step(stream, version + 1, put(view, {"id": stream.name, "label": "", "number": version + 1}))
    key = {"status": stream.name[-1], "rate": Decimal(1)}
    old, new = ({**key, "count": count, "amount": Decimal(count)} for count in (version, version + 1))
    return step(stream, version + 1, moved(view, old, new) if version else put(view, new))


async def _until_somebody_waits(views: ViewsUnderTest) -> None:
    assert isinstance(views.store, PostgresViewStore)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            async with views.store._database.reading() as session:
                waiting = await session.fetch("SELECT 1 FROM pg_locks WHERE NOT granted AND database IS NULL")
            if waiting:
                return
