import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from eventkernel.ports.webhook_store import Delivered, Delivery
from eventkernel.testing.contracts.webhook_store import (
    ENDS,
    LEASE,
    NOW,
    START,
    WebhookStoreContract,
    attempt_at,
    new_delivery,
    new_subscription,
)
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.webhook_store import PostgresWebhookStore
from localstack import PostgresServer


@pytest.fixture
def settings(postgres_server: PostgresServer) -> Iterator[PostgresSettings]:
    made = PostgresSettings(postgres_server.dsn(), schema=f"webhooks_{uuid4().hex[:12]}")
    yield made
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE".encode())


@pytest.fixture
async def webhooks(settings: PostgresSettings) -> AsyncIterator[PostgresWebhookStore]:
    store = await PostgresWebhookStore.open(settings)
    yield store
    await store.close()


@pytest.fixture
async def peer(settings: PostgresSettings, webhooks: PostgresWebhookStore) -> AsyncIterator[PostgresWebhookStore]:
    """The same schema, opened as another process would."""
    store = await PostgresWebhookStore.open(settings)
    yield store
    await store.close()


class TestPostgresWebhookStore(WebhookStoreContract):
    pass


async def test_of_processes_that_take_from_one_cursor_one_does(
    webhooks: PostgresWebhookStore, peer: PostgresWebhookStore
) -> None:
    made = await webhooks.add(new_subscription(), START)
    new = [new_delivery(made, "counter-a", 1)]
    taken = await asyncio.gather(*(store.take(made.id, START, ENDS, new) for store in (webhooks, peer) * 3))
    assert sorted(taken) == [False] * 5 + [True]
    assert await peer.counts(made.id) == (1, 0)


async def test_processes_that_claim_at_once_never_get_one_delivery_twice(
    webhooks: PostgresWebhookStore, peer: PostgresWebhookStore
) -> None:
    made = await webhooks.add(new_subscription(), START)
    assert await webhooks.take(made.id, START, ENDS, [new_delivery(made, f"counter-{n}", 1) for n in range(50)])
    claims = await asyncio.gather(*(store.claim(made.id, NOW, NOW + LEASE, 10) for store in (webhooks, peer) * 4))
    streams = [one.stream for claimed in claims for one in claimed]
    assert len(streams) == len(set(streams)) == 50


async def test_what_is_taken_while_its_lane_is_worked_off_is_never_left_behind(
    webhooks: PostgresWebhookStore, peer: PostgresWebhookStore
) -> None:
    made = await webhooks.add(new_subscription(), {0: 0})
    versions = 60
    done: list[int] = []

    async def take() -> None:
        for version in range(1, versions + 1):
            one = new_delivery(made, "counter-a", version)
            assert await webhooks.take(made.id, {0: version - 1}, {0: version}, [one])

    async def deliver() -> None:
        while len(done) < versions:
            for one in await claimed():
                done.append(one.version)
                assert await peer.settle(one, Delivered(), attempt_at(one, NOW))

    async def claimed() -> list[Delivery]:
        return list(await peer.claim(made.id, NOW + timedelta(seconds=1), NOW + LEASE, 10))

    async with asyncio.timeout(60):
        await asyncio.gather(take(), deliver())
    assert done == list(range(1, versions + 1))


async def test_an_error_with_a_nul_is_kept(webhooks: PostgresWebhookStore) -> None:
    made = await webhooks.add(new_subscription(), START)
    assert await webhooks.take(made.id, START, ENDS, [new_delivery(made, "counter-a", 1)])
    (one,) = await webhooks.claim(made.id, NOW, NOW + LEASE, 1)
    assert await webhooks.settle(one, Delivered(), attempt_at(one, NOW, "HTTP 500 a\x00b", 500))
    assert [attempt.error for attempt in await webhooks.attempts(made.id, 1)] == ["HTTP 500 a\\0b"]


async def test_what_is_stored_is_there_after_opening_again(
    settings: PostgresSettings, webhooks: PostgresWebhookStore
) -> None:
    made = await webhooks.add(new_subscription(), START)
    assert await webhooks.take(made.id, START, ENDS, [new_delivery(made, "counter-a", 1)])
    await webhooks.close()
    again = await PostgresWebhookStore.open(settings)
    assert await again.get("default", made.id) == made
    assert (await again.positions(made.id), await again.counts(made.id)) == (ENDS, (1, 0))
    await again.close()
