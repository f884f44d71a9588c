"""From Kafka into Postgres: every event's effect once, whoever crashes and however the partitions move."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from eventkernel.envelope import EventMeta, Provenance, RecordedEvent
from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.ports import BusMessage, EventSubscription, ViewStore
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.testing.contracts.bus import new_group
from eventkernel.testing.counter import CLERK, CODEC, COUNTER_SUMS, COUNTER_VIEW, decode, new_counter
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import PostgresServer

NewTopic = Callable[..., Awaitable[str]]

DEADLINE_SECONDS = 60
LIBRARIES = Path(__file__).parents[3] / "libs"
PROJECTING = Path(__file__).with_name("projecting_process.py")
VIEWS = (COUNTER_VIEW, COUNTER_SUMS)
MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
async def views(postgres_server: PostgresServer) -> AsyncIterator[PostgresSettings]:
    """A schema of its own."""
    settings = PostgresSettings(postgres_server.dsn(), schema=f"views_{uuid4().hex[:12]}")
    yield settings
    async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(f"DROP SCHEMA IF EXISTS {settings.schema} CASCADE".encode())


def counted(stream: StreamId, versions: Sequence[int], topic: str) -> list[BusMessage]:
    """These versions of a counter that is opened and then counts by one: its total is its version less one."""
    messages = []
    for version in versions:
        data = {"amount": 1, "total": version - 1} if version > 1 else {}
        meta = EventMeta(MOMENT, MOMENT, uuid4(), Provenance(CLERK))
        kind = "Added" if version > 1 else "Opened"
        event = RecordedEvent(stream, version, uuid4(), kind, 1, json.dumps(data).encode(), meta)
        messages.append(to_message(event, topic=topic, source="/counters", wire_name=CODEC.wire_name))
    return messages


def projector(subscription: EventSubscription, store: ViewStore) -> Projector[Any]:
    """Of both views. The journal is empty: a gap on the bus would park its stream."""
    return Projector(
        VIEWS,
        subscription,
        store,
        journal=MemoryEventStore(MemoryJournal()),
        decode=decode,
        clock=SystemClock(),
        settings=ProjectorSettings(records_max=50, poll_seconds=0.1),
    )


async def effects(store: ViewStore) -> tuple[int, int, list[int], int]:
    """What the views hold: the sum of the totals, the same from the shared row, events applied by view, parked streams."""
    async with store.reading() as reading:
        rows = await reading.select(COUNTER_VIEW, Query("default", limit=100_000))
        sums = await reading.select(COUNTER_SUMS, Query("default"))
    status = await store.status(VIEWS)
    return (
        sum(row.values["total"] for row in rows),
        sum(row.values["total"] for row in sums),
        [one.events_applied for one in status],
        sum(one.parked_streams for one in status),
    )


async def reached(store: ViewStore, events: int) -> None:
    """Both views have applied so many events."""
    while min((await effects(store))[2]) < events:
        pass


async def test_effects_happen_once_though_partitions_move_from_member_to_member(
    settings: KafkaSettings, views: PostgresSettings, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(6), new_group()
    publisher = KafkaEventPublisher(settings)
    store, peer = await PostgresViewStore.open(views), await PostgresViewStore.open(views)
    for one in (store, peer):
        await one.prepare(VIEWS)
    streams, rounds = [new_counter() for _ in range(40)], 12
    total = len(streams) * rounds

    async def member(views_of: ViewStore, until: asyncio.Event) -> None:
        subscription = KafkaEventSubscription(settings, group, [topic])
        await projector(subscription, views_of).run(until)
        await subscription.close()

    stops = [asyncio.Event() for _ in range(3)]
    members = [asyncio.ensure_future(member(store, stops[0]))]
    async with asyncio.timeout(DEADLINE_SECONDS):
        for version in range(1, rounds + 1):
            await publisher.publish([m for stream in streams for m in counted(stream, [version], topic)])
            if version == 4:
                members.append(asyncio.ensure_future(member(peer, stops[1])))
            if version == 8:
                members.append(asyncio.ensure_future(member(store, stops[2])))
                stops[0].set()
            await reached(store, len(streams) * (version - 2))
        await reached(store, total)
        for stop in stops:
            stop.set()
        await asyncio.gather(*members)
    counts = len(streams) * (rounds - 1)
    assert await effects(store) == (counts, counts, [total, total], 0)
    await publisher.close()
    await store.close()
    await peer.close()


@pytest.mark.slow
async def test_effects_happen_once_though_a_member_dies_between_the_commit_in_postgres_and_that_on_the_bus(
    settings: KafkaSettings, views: PostgresSettings, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(2), new_group()
    publisher, tail = KafkaEventPublisher(settings), KafkaBusTail(settings)
    streams, versions = [new_counter() for _ in range(10)], range(1, 21)
    total = len(streams) * len(versions)
    await publisher.publish([m for stream in streams for m in counted(stream, versions, topic)])

    async def project(*options: str) -> int:
        arguments = (settings.bootstrap_servers, topic, group, views.dsn, views.schema, str(total), *options)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROJECTING), *arguments, env={**os.environ, "PYTHONPATH": str(LIBRARIES)}
        )
        try:
            return await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert await project("crash") == -9
    store = await PostgresViewStore.open(views)
    await store.prepare(VIEWS)
    _, _, applied, _ = await effects(store)
    assert 0 < applied[0] == applied[1] < total
    assert set((await tail.committed(group, topic)).values()) == {0}
    assert await project() == 0
    counts = len(streams) * (len(versions) - 1)
    assert await effects(store) == (counts, counts, [total, total], 0)
    assert await tail.committed(group, topic) == await tail.end_offsets(topic)
    await publisher.close()
    await tail.close()
    await store.close()
