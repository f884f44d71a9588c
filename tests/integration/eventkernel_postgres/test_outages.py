"""A server that is killed or frozen under a store that goes on: nothing acknowledged is lost, nothing is half done."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from itertools import count
from uuid import uuid4

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.testing.contracts.views import (
    ViewsUnderTest,
    moved,
    new_stream,
    owned_view,
    put,
    step,
    summed_view,
    values,
    versions,
)
from eventkernel.view import View
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import PostgresServer

pytestmark = [pytest.mark.stack("postgres"), pytest.mark.slow, pytest.mark.xdist_group("localstack")]

DEADLINE_SECONDS = 60.0
CALL_SECONDS = 1.0
WRITERS = 4
STREAMS_EACH = 5
SAVED_BEFORE = 200


@pytest.fixture
async def settings(own_server: PostgresServer) -> PostgresSettings:
    """Patient ones: how long a call takes is no matter of those tests in which the server is there or gone."""
    schema = f"views_{uuid4().hex[:12]}"
    return PostgresSettings(
        own_server.dsn(), schema=schema, call_seconds=DEADLINE_SECONDS, connect_seconds=DEADLINE_SECONDS
    )


async def opened(settings: PostgresSettings) -> ViewsUnderTest:
    return ViewsUnderTest(await PostgresViewStore.open(settings), await PostgresViewStore.open(settings))


async def closed(views: ViewsUnderTest) -> None:
    await views.store.close()
    await views.peer.close()


async def save_on(
    views: ViewsUnderTest, owned: View[bytes, bytes], sums: View[bytes, bytes], acknowledged: Counter[StreamId]
) -> AsyncIterator[StoreUnavailable | None]:
    """Save step after step of streams of its own in both views, in one transaction each; gives what each attempt met."""
    streams = [new_stream() for _ in range(STREAMS_EACH)]
    for _ in count():
        try:
            async with views.store.transaction() as transaction:
                before = await transaction.load(owned, streams)
                after = {stream: at.version + 1 for stream, at in before.items()}
                rows = {s: {"id": s.name, "label": "", "number": version} for s, version in after.items()}
                await transaction.save(owned, [step(s, after[s], put(owned, rows[s])) for s in streams])
                await transaction.load(sums, streams)
                parts = [({"status": "s", "rate": Decimal(1), "count": n, "amount": Decimal(n)}) for n in (0, 1)]
                await transaction.save(sums, [step(s, after[s], moved(sums, *parts)) for s in streams])
        except StoreUnavailable as error:
            yield error
        else:
            acknowledged.update(streams)
            yield None


async def test_what_was_saved_before_a_kill_is_there_whole_and_the_same_store_goes_on(
    own_server: PostgresServer, settings: PostgresSettings
) -> None:
    views = await opened(settings)
    owned, sums = await owned_view(views), await summed_view(views)
    acknowledged: Counter[StreamId] = Counter()
    enough, again = asyncio.Event(), asyncio.Event()

    async def writer() -> None:
        async for met in save_on(views, owned, sums, acknowledged):
            if len(acknowledged) and acknowledged.total() >= SAVED_BEFORE * STREAMS_EACH:
                enough.set()
            if met is not None:
                break
        await again.wait()
        async for met in save_on(views, owned, sums, acknowledged):
            assert met is None
            break

    writers = [asyncio.ensure_future(writer()) for _ in range(WRITERS)]
    async with asyncio.timeout(DEADLINE_SECONDS):
        await enough.wait()
        await asyncio.to_thread(own_server.kill9)
        await asyncio.to_thread(own_server.start)
    before = dict(acknowledged)
    stored = await versions(views.peer, owned, list(before))
    for (stream, known), found in zip(before.items(), stored, strict=True):
        assert known <= found <= known + 1, f"{stream.key}: {known} acknowledged, {found} stored"
    assert await versions(views.peer, sums, list(before)) == stored
    by_id = {row["id"]: row["number"] for row in await values(views.peer, owned)}
    assert [by_id[stream.name] for stream in before] == stored
    [row] = await values(views.peer, sums)
    assert row["count"] == sum(by_id.values())
    again.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*writers)
    await closed(views)


async def test_a_server_that_is_gone_is_unavailable_at_once_and_used_again_when_it_is_back(
    own_server: PostgresServer, settings: PostgresSettings
) -> None:
    views = await opened(settings)
    view = await owned_view(views)
    await asyncio.to_thread(own_server.kill9)
    async with asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                await values(views.store, view)
            with pytest.raises(StoreUnavailable):
                await versions(views.peer, view, [])
        await asyncio.to_thread(own_server.start)
        assert await values(views.store, view) == []
    await closed(views)


async def test_a_server_that_hangs_is_unavailable_within_the_deadline_of_a_call(
    own_server: PostgresServer, settings: PostgresSettings
) -> None:
    views = await opened(replace(settings, call_seconds=CALL_SECONDS, connect_seconds=2.0))
    view = await owned_view(views)
    loop = asyncio.get_running_loop()
    async with views.store.reading() as reading:
        assert await reading.count(view, Query("default")) == 0
        own_server.freeze()
        try:
            began = loop.time()
            with pytest.raises(StoreUnavailable):
                await reading.count(view, Query("default"))
            assert loop.time() - began < 5 * CALL_SECONDS, "the call was cut at its deadline"
            with pytest.raises(StoreUnavailable):
                await values(views.store, view)
        finally:
            own_server.thaw()
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await values(views.store, view) == []
    await closed(views)


async def test_a_holder_of_locks_that_hangs_is_ended_by_the_server(settings: PostgresSettings) -> None:
    views = await opened(replace(settings, idle_transaction_seconds=0.3, call_seconds=30.0))
    view, stream = await owned_view(views), new_stream()

    async def overtaken() -> None:
        async with views.store.transaction() as hanging:
            await hanging.save(view, [step(stream, 1)])
            async with views.peer.transaction() as other, asyncio.timeout(DEADLINE_SECONDS):
                await other.save(view, [step(stream, 1)])

    with pytest.raises(StoreUnavailable):
        await overtaken()
    assert await versions(views.store, view, [stream]) == [1]
    await closed(views)
