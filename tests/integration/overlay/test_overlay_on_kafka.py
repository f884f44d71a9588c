"""The overlay on real servers: pending events from Kafka over rows in Postgres, let go when the group has committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from eventkernel.filters import Order, Query
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay, OverlaySettings
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.runtime.projector import Projector
from eventkernel.runtime.row_cache import RowCache
from eventkernel.testing.counter import (
    CODEC,
    COUNTER_SUMS,
    COUNTER_VIEW,
    COUNTERS,
    Add,
    Open,
    decode,
    new_counter,
    request,
)
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import KafkaBroker, PostgresServer

VIEWS = (COUNTER_VIEW, COUNTER_SUMS)
DEADLINE_SECONDS = 60
COUNTERS_MAX = 20


@pytest.fixture
async def views(postgres_server: PostgresServer) -> AsyncIterator[PostgresViewStore]:
    settings = PostgresSettings(postgres_server.dsn(), schema=f"overlay_{uuid4().hex[:12]}")
    store = await PostgresViewStore.open(settings)
    await store.prepare(VIEWS)
    yield store
    await store.close()
    async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())


async def test_pending_events_are_shown_and_then_let_go(kafka_server: KafkaBroker, views: PostgresViewStore) -> None:
    kafka, topic, group = KafkaSettings(kafka_server.bootstrap_servers), f"topic-{uuid4().hex}", f"group-{uuid4().hex}"
    await ensure_topic(kafka, Topic(topic, 4, replication_factor=1, in_sync_replicas_min=1))
    journal, clock = MemoryEventStore(MemoryJournal()), SystemClock()
    async with AsyncExitStack() as opened, asyncio.timeout(DEADLINE_SECONDS):
        publisher, bus = KafkaEventPublisher(kafka), KafkaBusTail(kafka)
        opened.push_async_callback(publisher.close)
        opened.push_async_callback(bus.close)
        tail = OverlayTail(
            bus, topic=topic, group=group, clock=clock, settings=OverlayTailSettings(committed_seconds=0)
        )
        overlay = Overlay(
            views,
            tail,
            journal,
            decode=decode,
            cache=RowCache(decode),
            clock=clock,
            progress=ViewProgress(),
            settings=OverlaySettings(bus_seconds=DEADLINE_SECONDS),
        )
        handler: Any = CommandHandler(COUNTERS, journal, MemorySnapshotStore(), clock, AggregateCache(100))
        wanted = {}
        for number in range(COUNTERS_MAX):
            stream = new_counter()
            await handler.handle(request(stream, Open()))
            await handler.handle(request(stream, Add(number)))
            wanted[stream] = 2
            events = (await journal.load(stream)).events
            await publisher.publish(
                [to_message(event, topic=topic, source="/counters", wire_name=CODEC.wire_name) for event in events]
            )
        assert await shown(overlay, wanted) == (list(range(COUNTERS_MAX)), [("OPEN", COUNTERS_MAX, 190)])
        assert (tail.events, overlay.journal_reads) == (2 * COUNTERS_MAX, 0)

        subscription = KafkaEventSubscription(kafka, group, [topic])
        opened.push_async_callback(subscription.close)
        projector = Projector(VIEWS, subscription, views, journal=journal, decode=decode, clock=clock)
        while tail.events:
            await projector.run_once()
            await tail.catch_up()
            assert await shown(overlay, wanted) == (list(range(COUNTERS_MAX)), [("OPEN", COUNTERS_MAX, 190)])
        assert overlay.journal_reads == 0


async def shown(overlay: Overlay[Any], wanted: Any) -> tuple[list[int], list[tuple[Any, ...]]]:
    async with overlay.reading(COUNTER_VIEW, wanted) as reading:
        rows = await reading.select(COUNTER_VIEW, Query("default", order=Order(("total", "id")), limit=100))
        sums = await reading.select(COUNTER_SUMS, Query("default", order=Order(("status",)), limit=10))
    return [row.values["total"] for row in rows], [tuple(row.values.values()) for row in sums]
