"""How fast events go onto Kafka and from batches into Postgres, beside what the bare drivers do in the same run. It prints.

    python tests/bench/kafka_postgres.py [--seconds 3]

Bare Kafka: ``produce`` of the same records with a delivery callback each, in batches of 1,000 that wait for their
acknowledgements. Bare Postgres: ``executemany`` of the same upserts, rows and checkpoints, in transactions of 1,000. Server
and client share the machine; the servers are started for the run.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import Producer

from eventkernel.envelope import EventMeta, Provenance, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import BusMessage, Checkpoint, StreamChange
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.projector import Projector
from eventkernel.testing.counter import CLERK
from eventkernel.testing.view_samples import sample_view
from eventkernel.view import Change, Column, ColumnType, Index, TableKind, View
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_postgres.batches import view_batches
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import Stack

BATCH = 1_000
PARTITIONS = 12
STREAMS = 5_000
PAYLOAD = b"p" * 300
MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)

COLUMNS = (
    Column("id", ColumnType.TEXT),
    Column("status", ColumnType.TEXT),
    Column("patient", ColumnType.TEXT),
    Column("prescriber", ColumnType.TEXT, nullable=True),
    Column("medication", ColumnType.TEXT),
    Column("written", ColumnType.TIME),
    Column("expires", ColumnType.TIME, nullable=True),
    Column("controlled", ColumnType.BOOLEAN),
    Column("refills", ColumnType.INTEGER),
    Column("quantity", ColumnType.DECIMAL),
    Column("note", ColumnType.TEXT, nullable=True),
)


def typical_view() -> View[bytes, bytes]:
    """A row a stream, eleven columns, two indexes; each event changes the row."""
    indexes = (Index(("patient", "id")), Index(("status", "written", "id")))
    view = sample_view("bench", TableKind.OWNED, COLUMNS, ("id",), indexes)
    return replace(view, fold=lambda state, event, recorded: _state(recorded), rows=_rows)


def _state(recorded: RecordedEvent) -> bytes:
    return f"{recorded.stream.name} {recorded.version} ".encode().ljust(200, b".")


def _rows(state: bytes) -> Any:
    if not state:
        return ()
    name, version, _ = state.decode().split(" ")
    return (row(name, int(version)),)


def row(name: str, version: int) -> dict[str, Any]:
    """What a stream at a version shows."""
    return {
        "id": name,
        "status": "ISSUED" if version % 2 else "DISPENSED",
        "patient": f"patient-{hash(name) % 1000}",
        "prescriber": "prac-1",
        "medication": "Amoxicillin 500 mg oral capsule",
        "written": MOMENT,
        "expires": None,
        "controlled": False,
        "refills": version,
        "quantity": Decimal("30.5"),
        "note": "take one capsule three times a day",
    }


def event(stream: StreamId, version: int) -> RecordedEvent:
    """An event of the usual size."""
    meta = EventMeta(MOMENT, MOMENT, uuid4(), Provenance(CLERK, correlation_id=str(uuid4())))
    return RecordedEvent(stream, version, uuid4(), "PrescriptionDispensed", 3, PAYLOAD, meta)


def batches() -> Callable[[], list[RecordedEvent]]:
    """Gives batch after batch: events of all streams in turn."""
    streams = [StreamId("default", f"thing-{uuid4()}") for _ in range(STREAMS)]
    at = 0

    def following() -> list[RecordedEvent]:
        nonlocal at
        made = [event(streams[(at + n) % STREAMS], (at + n) // STREAMS + 1) for n in range(BATCH)]
        at += BATCH
        return made

    return following


def messages(topic: str) -> list[BusMessage]:
    """A batch as the relay makes it."""
    return [
        to_message(one, topic=topic, source="/bench", wire_name=lambda kind, version: f"bench.v{version}.{kind}")
        for one in batches()()
    ]


def bare_produce(settings: KafkaSettings, batch: list[BusMessage], seconds: float) -> float:
    """Records a second."""
    producer = Producer(
        settings.common()
        | {"acks": "all", "enable.idempotence": True, "linger.ms": settings.linger_ms}
        | {"compression.type": settings.compression}
    )
    left, done = 0, 0

    def delivered(error: object, _message: object) -> None:
        nonlocal left
        assert error is None
        left -= 1

    begin = 0.0
    while not begin or time.perf_counter() - begin < seconds:
        left = len(batch)
        for place, one in enumerate(batch):
            producer.produce(
                one.topic, one.value, one.key, place % PARTITIONS, headers=list(one.headers), on_delivery=delivered
            )
        while left:
            producer.poll(0.1)
        done += len(batch) if begin else 0
        begin = begin or time.perf_counter()  # the first batch connects
    return done / (time.perf_counter() - begin)


async def published(settings: KafkaSettings, batch: list[BusMessage], seconds: float) -> float:
    """Records a second."""
    publisher = KafkaEventPublisher(settings)
    await publisher.publish(batch)
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        await publisher.publish(batch)
        done += len(batch)
    rate = done / (time.perf_counter() - begin)
    await publisher.close()
    return rate


def bare_upserts(dsn: str, seconds: float) -> float:
    """Rows a second, each with its checkpoint."""
    tables = view_batches(typical_view()).tables
    following = batches()
    with psycopg.connect(dsn, options="-c search_path=bare -c timezone=UTC", autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bare")
        for text in (*tables.tables, *tables.indexes):
            connection.execute(text.encode())
        done, spent = 0, 0.0
        while spent < seconds:
            some = following()
            rows = [tables.owned_parameters(e.stream, e.version, row(e.stream.name, e.version)) for e in some]
            marks = [(e.stream.tenant, e.stream.name, e.version, e.event_id.bytes, _state(e)) for e in some]
            begin = time.perf_counter()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(tables.put_checkpoint.of(1).encode(), marks)
                cursor.executemany(tables.upsert.of(1).encode(), rows)
            spent += time.perf_counter() - begin
            done += len(some)
    return done / spent


async def saved(settings: PostgresSettings, seconds: float) -> float:
    """Rows a second through ``load`` and ``save`` of the store."""
    view, following, store = typical_view(), batches(), await PostgresViewStore.open(settings)
    await store.prepare([view])
    done, spent = 0, 0.0
    while spent < seconds:
        some = following()
        steps = []
        for e in some:
            after = row(e.stream.name, e.version)
            change = Change((e.stream.name,), None, after)
            steps.append(StreamChange(e.stream, e.version - 1, Checkpoint(e.version, e.event_id, _state(e)), (change,)))
        begin = time.perf_counter()
        async with store.transaction() as transaction:
            await transaction.load(view, [e.stream for e in some])
            await transaction.save(view, steps)
        spent += time.perf_counter() - begin
        done += len(some)
    await store.close()
    return done / spent


async def projected(settings: PostgresSettings, seconds: float) -> float:
    """Events a second through the whole projector: decoded, folded, saved."""
    view, following, store = typical_view(), batches(), await PostgresViewStore.open(settings)
    await store.prepare([view])
    bus = MemoryBus()
    await bus.create_topic("bench", 1)
    projector: Projector[Any] = Projector(
        [view],
        MemoryEventSubscription(bus, "bench", ["bench"]),
        store,
        journal=MemoryEventStore(MemoryJournal()),
        decode=lambda recorded: recorded.data,
        clock=SystemClock(),
    )
    done, spent = 0, 0.0
    while spent < seconds:
        by_stream = {e.stream: [e] for e in following()}
        begin = time.perf_counter()
        await projector.apply(by_stream)
        spent += time.perf_counter() - begin
        done += len(by_stream)
    await store.close()
    return done / spent


async def main(folder: Path, seconds: float) -> None:
    """Both, with their ratios."""
    with Stack(folder / "stack", services=["kafka", "postgres"]) as stack:
        kafka, dsn = KafkaSettings(stack.kafka.bootstrap_servers), stack.postgres.dsn()
        await ensure_topic(kafka, Topic("bench", PARTITIONS, replication_factor=1, in_sync_replicas_min=1))
        batch = messages("bench")
        bare = await asyncio.to_thread(bare_produce, kafka, batch, seconds)
        ours = await published(kafka, batch, seconds)
        print(f"Kafka: bare {bare:,.0f} records/s, published {ours:,.0f}: {ours / bare:.2f}")  # noqa: T201 - it prints
        bare = await asyncio.to_thread(bare_upserts, dsn, seconds)
        ours = await saved(PostgresSettings(dsn, schema="saved"), seconds)
        whole = await projected(PostgresSettings(dsn, schema="projected"), seconds)
        print(f"Postgres: bare {bare:,.0f} rows/s, load and save {ours:,.0f}: {ours / bare:.2f}")  # noqa: T201 - it prints
        print(f"Postgres: whole projector {whole:,.0f} events/s: {whole / bare:.2f}")  # noqa: T201 - it prints


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL may run as another user
        asyncio.run(main(Path(scratch), parser.parse_args().seconds))
