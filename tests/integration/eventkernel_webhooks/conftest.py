"""Counters, their bus, and dispatchers that deliver them to real receivers; time moves when a test says so."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.webhook_store import Subscription, SubscriptionState, WebhookStore
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel.runtime.watch_log import StepLog
from eventkernel.runtime.watch_steps import StepFolder
from eventkernel.testing.counter import CODEC, COUNTER_VIEW, COUNTERS, Add, Command, Open, decode, new_counter, request
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import ManualClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.webhook_store import MemoryWebhookStore
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.webhook_store import PostgresWebhookStore
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.webhook_store import WEBHOOKS_SCHEMA, SqliteWebhookStore
from eventkernel_webhooks.dispatcher import Dispatcher, DispatcherSettings
from eventkernel_webhooks.schedule import RetrySchedule
from eventkernel_webhooks.sender import Sender
from eventkernel_webhooks.signing import SecretBox, new_secret

TOPIC = "counters"
BOX = SecretBox(b"a key of these tests")
HOUR = 3_600.0


def body(event: RecordedEvent) -> bytes:
    """What is sent of a counter's event."""
    data = {"stream": event.stream.name, "version": event.version}
    return json.dumps({"type": event.type, "timestamp": event.meta.occurred_at.isoformat(), "data": data}).encode()


@dataclass
class Side:
    """One world; every ``dispatcher`` is one more process."""

    store: WebhookStore
    opened: AsyncExitStack
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime.now(UTC)))
    bus: MemoryBus = field(default_factory=MemoryBus)
    journal: MemoryEventStore = field(default_factory=lambda: MemoryEventStore(MemoryJournal()))

    def __post_init__(self) -> None:
        self.tail = MemoryBusTail(self.bus)
        self.publisher = MemoryEventPublisher(self.bus)
        self.handler = CommandHandler(COUNTERS, self.journal, MemorySnapshotStore(), self.clock, AggregateCache(100))
        self.secret = new_secret()

    async def dispatcher(
        self, *, store: Any = None, seed: int = 1, sender: dict[str, Any] | None = None, **settings: Any
    ) -> Dispatcher:
        log = StepLog(self.tail, TOPIC, StepFolder(COUNTER_VIEW, self.journal, decode))
        used = {"private_allowed": True, "timeout_seconds": 60.0, **(sender or {})}
        posting = await self.opened.enter_async_context(Sender(**used))
        schedule = settings.pop("schedule", RetrySchedule((5.0, 300.0, HOUR), jitter=0.0))
        return Dispatcher(
            store or self.store,
            log,
            self.journal,
            posting,
            secrets=BOX,
            body=body,
            clock=self.clock,
            random=Random(seed),
            settings=DispatcherSettings(schedule=schedule, **settings),
        )

    async def subscribed(self, url: str, **changes: Any) -> Subscription:
        """A subscription from the beginning of the bus on."""
        subscription_id = str(uuid4())
        fields = {
            "tenant": "default",
            "id": subscription_id,
            "url": url,
            "event_types": (),
            "conditions": (),
            "description": "",
            "state": SubscriptionState.ACTIVE,
            "state_reason": "",
            "secrets": (BOX.seal(subscription_id, self.secret),),
            "created_at": self.clock.now(),
            "updated_at": self.clock.now(),
            **changes,
        }
        return await self.store.add(Subscription(**fields), dict.fromkeys(range(3), 0))

    async def happen(self, stream: StreamId, *commands: Command, again: int = 0) -> None:
        """Write commands and put their events on the bus, and the last ``again`` events before them once more."""
        known = (await self.journal.load(stream)).position.version
        for command in commands:
            await self.handler.handle(request(stream, command))
        events = (await self.journal.load(stream, after=max(0, known - again))).events
        await self.publisher.publish(
            [to_message(event, topic=TOPIC, source="/counters", wire_name=CODEC.wire_name) for event in events]
        )

    async def counter(self, additions: int = 0, tenant: str = "default") -> StreamId:
        """A counter that was opened and counted on so often."""
        stream = new_counter(tenant)
        await self.happen(stream, Open(), *[Add(1)] * additions)
        return stream


async def dropped(settings: PostgresSettings) -> None:
    async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.stack("postgres"))])
async def side(request: pytest.FixtureRequest, data_dir: Path) -> AsyncIterator[Side]:
    async with AsyncExitStack() as opened:
        store: WebhookStore = MemoryWebhookStore()
        if request.param == "sqlite":
            database = Database(data_dir / "webhooks.db", WEBHOOKS_SCHEMA)
            opened.push_async_callback(database.close)
            store = SqliteWebhookStore(database)
        elif request.param == "postgres":
            settings = PostgresSettings(
                request.getfixturevalue("postgres_server").dsn(), schema=f"webhooks_{uuid4().hex[:12]}"
            )
            store = await PostgresWebhookStore.open(settings)
            opened.push_async_callback(dropped, settings)
            opened.push_async_callback(store.close)
        made = Side(store, opened)
        opened.push_async_callback(made.handler.drain)
        await made.bus.create_topic(TOPIC, 3)
        yield made
