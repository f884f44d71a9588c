"""A command service on a free port over stores in memory."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from erx.prescriptions.v1.command_service_pb2_grpc import add_PrescriptionCommandServiceServicer_to_server
from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import AppendOutcome, Entry, Position, Unknown
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel_grpc import GrpcServer
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from prescriptions.command_service import PrescriptionCommandService, prescription_type
from prescriptions.domain.profiles import US
from prescriptions.imports.imports import Target

KEY = bytes(range(32))


class ShakyStore(MemoryEventStore):
    """Of ``appends`` the ones named are not made, or made without the caller learning of it."""

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__(journal)
        self.appends = 0
        self.refuse_every = 0
        self.lose_every = 0

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        self.appends += 1
        if self.refuse_every and self.appends % self.refuse_every == 0:
            raise StoreUnavailable("journal", "a test says so")
        outcome = await super().append(stream, expected, entries)
        if self.lose_every and self.appends % self.lose_every == 0:
            return Unknown("a test says so")
        return outcome


@dataclass(frozen=True)
class Service:
    """What the tests look at: where it is, and what it has stored."""

    target: Target
    journal: MemoryJournal
    store: ShakyStore

    @property
    def events(self) -> int:
        """Events stored in all."""
        return sum(len(stream.events) for stream in self.journal.streams.values())


@asynccontextmanager
async def serve() -> AsyncIterator[Service]:
    """A service for the time of the block."""
    journal = MemoryJournal()
    store = ShakyStore(journal)
    handler = CommandHandler(
        prescription_type(US, KEY), store, MemorySnapshotStore(), SystemClock(), AggregateCache(1_000)
    )
    server = GrpcServer()
    server.add(add_PrescriptionCommandServiceServicer_to_server, PrescriptionCommandService(handler, KEY))
    async with server:
        yield Service(Target(server.target), journal, store)
    await handler.drain()


@pytest.fixture
def serving() -> Callable[[], AbstractAsyncContextManager[Service]]:
    """``async with serving() as service``: inside the test, which has to leave no task behind."""
    return serve


@pytest.fixture(scope="session")
def sample() -> Path:
    return Path(__file__).parents[4] / "services" / "bootstrap" / "samples" / "synthea"


@pytest.fixture(scope="session")
def fhir_directory() -> Path:
    return Path(__file__).parents[3] / "data" / "fhir-r4"
