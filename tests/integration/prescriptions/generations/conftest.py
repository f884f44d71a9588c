"""Journals of every kind, with a bus and views beside them, that hold one prescription written by three generations."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bootstrap.settings import load
from bootstrap.stores import SOURCE, TOPIC, Stores, open_stores
from eventkernel.envelope import RecordedEvent
from eventkernel.filters import All, Order, Query
from eventkernel.ids import StreamId
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.runtime.relay import Relay, RelaySettings
from eventkernel.runtime.repository import Repository
from eventkernel.view import View
from eventkernel_cassandra.connect import open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.shard_leases import CassandraShardLeases
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import Statements
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.stream_directory import MemoryStreamDirectory
from eventkernel_memory.view_store import MemoryViewStore
from localstack import CassandraNode
from prescriptions.command_service import prescription_type
from prescriptions.domain.events import Event
from prescriptions.domain.profiles import US
from prescriptions.domain.state import Prescription
from prescriptions.testing import generations
from prescriptions.testing.recorded import prescription
from prescriptions.views import VIEWS
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded

CODEC = PrescriptionEventCodec()
MIXED = StreamId("mixed", f"prescription-{prescription(1)}")
TWIN = StreamId("twin", f"prescription-{prescription(1)}")


@dataclass
class House:
    """Stores, and what runs on them. Both prescriptions have the same id, each in a tenant of its own."""

    stores: Stores
    decode: Any = decode_recorded
    projectors: list[Projector[Any]] = field(default_factory=list)

    @property
    def repository(self) -> Repository[Event, Prescription]:
        return Repository(prescription_type(US, bytes(32)), self.stores.events, self.stores.snapshots)

    async def write(self, stream: StreamId, messages: list[Any], *, known: int = 0, schema_version: int = 0) -> None:
        """Append messages one by one, as commands would; ``schema_version`` says another than the messages' own."""
        position = (await self.stores.events.load(stream)).position
        assert position.version == known
        for made in generations.entries(stream, messages)[known:]:
            event = replace(made.event, schema_version=schema_version or made.event.schema_version)
            entry = replace(made, event=event)
            outcome: Any = await self.stores.events.append(stream, position, [entry])
            position = outcome.position

    async def publish(self) -> None:
        """Run a relay until nothing is pending."""
        relay = Relay(
            "test",
            self.stores.outbox,
            self.stores.publisher,
            tail=self.stores.tail,
            leases=self.stores.leases,
            clock=self.stores.clock,
            topic=TOPIC,
            source=SOURCE,
            wire_name=CODEC.wire_name,
            settings=RelaySettings(shard_count=4),
        )
        while (await self.stores.outbox.depth()).events:
            await relay.run_once()

    async def project(self, events: int) -> None:
        """Run a projector that has nothing in memory between two events, until it took so many records."""
        subscription = self.stores.subscribe()
        while events:
            projector = Projector(
                VIEWS,
                subscription,
                self.stores.views,
                journal=self.stores.events,
                decode=self.decode,
                clock=self.stores.clock,
                settings=ProjectorSettings(records_max=1, poll_seconds=0.5, states_max=0, reads_ahead=False),
            )
            events -= await projector.run_once()
        await subscription.close()

    async def rows(self, view: View[Any, Any], tenant: str) -> list[dict[str, Any]]:
        async with self.stores.views.reading() as reading:
            found = await reading.select(view, Query(tenant, All(()), Order(view.key), limit=100))
        return [dict(row.values) for row in found]

    async def same_rows(self) -> None:
        """Both tenants have the same rows in every view."""
        for view in VIEWS:
            rows = await self.rows(view, TWIN.tenant)
            assert await self.rows(view, MIXED.tenant) == rows, view.name
        assert await self.rows(VIEWS[0], TWIN.tenant)

    async def event(self, stream: StreamId, version: int) -> RecordedEvent:
        (found,) = (await self.stores.events.load(stream, after=version - 1, up_to=version)).events
        return found


@pytest.fixture(params=["memory", "sqlite", pytest.param("cassandra", marks=pytest.mark.stack("cassandra"))])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        stores = await open_stores(load(data_dir=tmp_path, topic_partitions=2, shard_count=4))
        opened.push_async_callback(stores.close)
        if request.param == "memory":
            stores = in_memory(stores)
        elif request.param == "cassandra":
            stores = await on_cassandra(stores, request.getfixturevalue("cassandra_server"), opened)
        await stores.views.prepare(VIEWS)
        yield House(stores)


def in_memory(stores: Stores) -> Stores:
    journal = MemoryJournal()
    return replace(
        stores,
        events=MemoryEventStore(journal),
        snapshots=MemorySnapshotStore(),
        outbox=MemoryOutbox(journal, 4),
        directory=MemoryStreamDirectory(journal),
        views=MemoryViewStore(),
    )


async def on_cassandra(stores: Stores, server: CassandraNode, opened: AsyncExitStack) -> Stores:
    """The journal in a keyspace of its own, dropped in the end."""
    layout, keyspace = Layout(bucket_events=64, shard_count=4), f"generations_{uuid4().hex}"
    session = await open_session(ConnectionSettings((server.endpoint.host,), server.endpoint.port), "cassandra-driver")
    opened.push_async_callback(session.close)
    await migrate(session, keyspace, layout, stores.clock)
    opened.push_async_callback(session.define, f"DROP KEYSPACE {keyspace}")
    statements = Statements(keyspace)
    return replace(
        stores,
        events=CassandraEventStore(session, statements, layout, stores.clock),
        snapshots=CassandraSnapshotStore(session, statements),
        outbox=CassandraOutbox(session, statements, layout, stores.clock),
        leases=CassandraShardLeases(session, statements, keyspace),
        directory=CassandraStreamDirectory(session, statements, layout),
    )
