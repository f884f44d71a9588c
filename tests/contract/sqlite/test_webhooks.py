from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventkernel.testing.contracts.webhook_store import (
    ENDS,
    NOW,
    START,
    WebhookStoreContract,
    new_delivery,
    new_subscription,
)
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.webhook_store import WEBHOOKS_SCHEMA, SqliteWebhookStore


class TestSqliteWebhookStore(WebhookStoreContract):
    @pytest.fixture
    async def webhooks(self, data_dir: Path) -> AsyncIterator[SqliteWebhookStore]:
        database = Database(data_dir / "webhooks.db", WEBHOOKS_SCHEMA)
        yield SqliteWebhookStore(database)
        await database.close()


async def test_two_processes_share_lanes_and_what_is_stored_outlives_them(data_dir: Path) -> None:
    one, two = (Database(data_dir / "webhooks.db", WEBHOOKS_SCHEMA) for _ in range(2))
    first, second = SqliteWebhookStore(one), SqliteWebhookStore(two)
    made = await first.add(new_subscription(), START)
    assert await second.take(
        made.id, START, ENDS, [new_delivery(made, "counter-a", 1), new_delivery(made, "counter-b", 1)]
    )
    assert not await first.take(made.id, START, ENDS, [])
    (held,) = await first.claim(made.id, NOW, NOW.replace(hour=9), 1)
    (other,) = await second.claim(made.id, NOW, NOW.replace(hour=9), 5)
    assert {held.stream, other.stream} == {"counter-a", "counter-b"}
    await one.close()
    await two.close()
    again = Database(data_dir / "webhooks.db", WEBHOOKS_SCHEMA)
    assert await SqliteWebhookStore(again).get("default", made.id) == made
    assert await SqliteWebhookStore(again).counts(made.id) == (2, 0)
    await again.close()
