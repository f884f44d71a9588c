"""A query server on a port of its own, fed by the real projector from a journal and a bus, over each view store."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor, NewEvent, Provenance, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, Entry, Position, ViewStore
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel_grpc import GrpcServer, ServerSettings, call_metadata, channel
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import ManualClock, SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.stream_directory import MemoryStreamDirectory
from eventkernel_memory.view_store import MemoryViewStore
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from eventkernel_sqlite.view_store import SqliteViewStore
from localstack import PostgresServer
from prescriptions.domain.events import Event
from prescriptions.queries.reads import ReadLedger
from prescriptions.query_service import add_to_server
from prescriptions.testing.recorded import new_events, prescription, stream_of
from prescriptions.testing.stories import START, Story
from prescriptions.views import ACCESS_LOG, VIEWS
from prescriptions.wire.events import PrescriptionEventCodec

TOPIC = "erx.prescriptions.events.v1"
GROUP = "views"
CODEC = PrescriptionEventCodec()


def decoded(event: RecordedEvent) -> Event:
    return CODEC.decode(event.type, event.schema_version, event.data)


@dataclass
class QuerySide:
    """What is written with ``tell`` is in the journal and on the bus at once, and in the views after ``project``."""

    views: ViewStore
    clock: Clock
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    bus: MemoryBus = field(default_factory=MemoryBus)
    progress: ViewProgress = field(default_factory=ViewProgress)
    by_role: bool = False

    def __post_init__(self) -> None:
        self.events = MemoryEventStore(self.journal)
        self.directory = MemoryStreamDirectory(self.journal)
        self.ledger = ReadLedger(self.views, self.clock)
        self.tail = MemoryBusTail(self.bus)
        self.publisher = MemoryEventPublisher(self.bus)
        self.subscription = MemoryEventSubscription(self.bus, GROUP, [TOPIC])
        self.projector = Projector(
            VIEWS,
            self.subscription,
            self.views,
            journal=self.events,
            decode=decoded,
            clock=SystemClock(),
            settings=ProjectorSettings(records_max=7, poll_seconds=0),
            on_applied=self.progress.notify,
        )

    async def told(self, number: int, story: Story, *, tenant: str = "default") -> str:
        """Write what is new of a story and project it; gives the prescription's id."""
        await self.write(number, story, tenant=tenant)
        await self.project()
        return prescription(number)

    async def write(self, number: int, story: Story, *, tenant: str = "default") -> None:
        stream = stream_of(number, tenant)
        known = (await self.events.load(stream)).position.version
        await self.append(stream, known, list(new_events(story, stream))[known:])

    async def append(self, stream: StreamId, known: int, events: list[NewEvent]) -> None:
        for version, event in enumerate(events, known + 1):
            entry = Entry(event, event.meta.command_id, b"")
            await self.events.append(stream, Position(version - 1), [entry])
        stored = (await self.events.load(stream, after=known)).events
        await self.publisher.publish(
            [to_message(event, topic=TOPIC, source="test", wire_name=CODEC.wire_name) for event in stored]
        )

    async def project(self) -> None:
        """Fold everything that is on the bus."""
        while await self.behind():
            await self.projector.run_once()

    async def behind(self) -> int:
        ends = await self.tail.end_offsets(TOPIC)
        committed = await self.tail.committed(GROUP, TOPIC)
        return sum(end - committed[place] for place, end in ends.items())

    def at(self, moment: datetime) -> None:
        """Say what time it is for the query server."""
        assert isinstance(self.clock, ManualClock)
        self.clock.set(moment)

    async def ask(
        self,
        method: str,
        request: Any,
        *,
        tenant: str = "",
        token: bytes = b"",
        seconds: float = 20,
        actor: Actor | None = None,
        purpose: str = "",
    ) -> Any:
        """Call a method over the wire, of a server that is there for this call."""
        async with self.served() as stub:
            provenance = Provenance(actor or Actor("", ""), purpose_of_use=purpose)
            metadata = call_metadata(tenant=tenant, token=token, provenance=provenance)
            return await getattr(stub, method)(request, metadata=metadata, timeout=seconds)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Any]:
        """A stub of a server on a port of its own."""
        server = GrpcServer(ServerSettings(drain_seconds=0.5))
        add_to_server(
            server,
            views=self.views,
            events=self.events,
            directory=self.directory,
            tail=self.tail,
            clock=self.clock,
            progress=self.progress,
            topic=TOPIC,
            group=GROUP,
            page_key=b"a key of thirty-two bytes, or so",
            by_role=self.by_role,
            ledger=self.ledger,
            error_domain="prescriptions.erx",
        )
        async with server, channel(server.target) as opened:
            yield PrescriptionQueryServiceStub(opened)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.stack("postgres"))])
async def views(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ViewStore]:
    """Each store that read models can live in, with one connection for readings where it has connections.

    Whoever asks for another reading while it holds one would then wait for itself, as many callers at once would for each
    other on a server that has more.
    """
    match request.param:
        case "memory":
            made: AbstractAsyncContextManager[ViewStore] = closing_after(MemoryViewStore())
        case "sqlite":
            made = closing_after(SqliteViewStore(tmp_path / "views.db", readers_max=1))
        case _:
            made = schema_of_its_own(request.getfixturevalue("postgres_server"))
    async with made as store:
        yield store


@asynccontextmanager
async def closing_after(store: ViewStore) -> AsyncIterator[ViewStore]:
    yield store
    await store.close()


@asynccontextmanager
async def schema_of_its_own(server: PostgresServer) -> AsyncIterator[ViewStore]:
    """In a real Postgres, dropped in the end."""
    settings = PostgresSettings(server.dsn(), schema=f"queries_{uuid4().hex[:12]}", readers_max=1, writers_max=1)
    store = await PostgresViewStore.open(settings)
    yield store
    await store.close()
    async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())


@pytest.fixture
async def side(views: ViewStore) -> QuerySide:
    """A query side whose clock stands still where the stories begin."""
    return await prepared(QuerySide(views, ManualClock(START)))


@pytest.fixture
async def live_side(views: ViewStore) -> QuerySide:
    """A query side by the machine's clock: for what waits."""
    return await prepared(QuerySide(views, SystemClock()))


async def prepared(side: QuerySide) -> QuerySide:
    await side.bus.create_topic(TOPIC, 4)
    await side.views.prepare((*VIEWS, ACCESS_LOG))
    return side
