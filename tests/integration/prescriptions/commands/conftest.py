"""A real gRPC server of the command service over SQLite files, and people who call it."""

import functools
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from erx.prescriptions.v1 import command_service_pb2 as cs
from erx.prescriptions.v1 import dispensing_commands_pb2 as d
from erx.prescriptions.v1 import lifecycle_commands_pb2 as lc
from erx.prescriptions.v1.command_service_pb2_grpc import (
    PrescriptionCommandServiceStub,
    add_PrescriptionCommandServiceServicer_to_server,
)
from eventkernel.envelope import Actor
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel_grpc import GrpcServer, RemoteError, ServerSettings, call_metadata, channel, remote_errors
from eventkernel_memory.clock import ManualClock
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.snapshot_store import SqliteSnapshotStore
from prescriptions.command_service import PrescriptionCommandService, prescription_type
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import US
from prescriptions.domain.values import PartialReason, PharmacyRef, SigningFactor
from prescriptions.streams import stream_of
from prescriptions.testing import stories as s
from prescriptions.wire import values as w
from prescriptions.wire.content import content_to_reply

KEY = b"a key of these tests"
DOMAIN = "prescriptions.erx"
CALL_SECONDS = 30.0


@dataclass(slots=True)
class Server:
    """A running server; ``clock`` is what it believes the time to be."""

    stub: Any
    store: SqliteEventStore
    clock: ManualClock

    async def call(self, request: Any, actor: Actor = s.PRESCRIBER, *, tenant: str = "default") -> Any:
        """The method of a request, by its name."""
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        with remote_errors():
            return await method(request, metadata=call_metadata(tenant=tenant, actor=actor), timeout=CALL_SECONDS)

    async def refused(self, request: Any, actor: Actor = s.PRESCRIBER, **options: Any) -> RemoteError:
        """The error of a call that must fail."""
        with pytest.raises(RemoteError) as caught:
            await self.call(request, actor, **options)
        assert caught.value.domain == DOMAIN
        return caught.value

    async def events(self, prescription_id: str, tenant: str = "default") -> list[str]:
        """Types of the stored events."""
        return [event.type for event in (await self.store.load(stream_of(tenant, prescription_id))).events]


@dataclass(slots=True)
class Case:
    """One prescription, told over the wire."""

    server: Server
    content: Any
    id: str
    token: str = ""

    def fields(self, **fields: Any) -> dict[str, Any]:
        return {"request_id": str(uuid4()), "prescription_id": self.id, **fields}

    def create(self, **fields: Any) -> Any:
        return lc.CreatePrescriptionRequest(**self.fields(content=content_to_reply(self.content), **fields))

    def sign(self, **fields: Any) -> Any:
        usual = {
            "content_sha256": content_sha256(self.content),
            "signature": b"signature",
            "algorithm": "ES256",
            "certificate_id": "cert-1",
            "factors": [w.FACTOR_TO[f] for f in (SigningFactor.KNOWLEDGE, SigningFactor.HARD_TOKEN)],
        }
        return lc.SignPrescriptionRequest(**self.fields(**{**usual, **fields}))

    def issue(self, **fields: Any) -> Any:
        return lc.IssuePrescriptionRequest(**self.fields(**fields))

    def claim(self, pharmacy: PharmacyRef = s.CORNER, **fields: Any) -> Any:
        return d.ClaimPrescriptionRequest(**self.fields(pharmacy=w.pharmacy_to(pharmacy), **fields))

    def _handing_out(self, amount: int | str, number: int, fields: dict[str, Any]) -> dict[str, Any]:
        usual = {
            "claim_token": self.token,
            "dispense_id": str(s.dispense_id(number)),
            "quantity": w.quantity_to(s.tablets(Decimal(amount))),
            "product": w.codings_to((s.AMOXICILLIN,)),
        }
        return self.fields(**{**usual, **fields})

    def part(self, amount: int | str, number: int, **fields: Any) -> Any:
        stock = {"partial_reason": w.PARTIAL_TO[PartialReason.STOCK], **fields}
        return d.DispensePartiallyRequest(**self._handing_out(amount, number, stock))

    def dispense(self, amount: int | str, number: int, **fields: Any) -> Any:
        return d.DispenseMedicationRequest(**self._handing_out(amount, number, fields))

    def reverse(self, number: int, pharmacy: PharmacyRef = s.CORNER) -> Any:
        return d.ReverseDispenseRequest(
            **self.fields(pharmacy=w.pharmacy_to(pharmacy), dispense_id=str(s.dispense_id(number)), reason=self.why)
        )

    def give_back(self) -> Any:
        return d.ReturnPrescriptionRequest(**self.fields(claim_token=self.token, reason=self.why))

    def not_dispensed(self) -> Any:
        return d.RecordNotDispensedRequest(**self.fields(claim_token=self.token, reason=self.why))

    def cancel(self, **fields: Any) -> Any:
        return lc.CancelPrescriptionRequest(**self.fields(reason=self.why, **fields))

    def suspend(self) -> Any:
        return lc.SuspendPrescriptionRequest(**self.fields(reason=self.why))

    def resume(self) -> Any:
        return lc.ResumePrescriptionRequest(**self.fields(reason=self.why))

    def expire(self) -> Any:
        return lc.ExpirePrescriptionRequest(**self.fields())

    def void(self) -> Any:
        return lc.MarkEnteredInErrorRequest(**self.fields(reason=self.why))

    def amend(self, content: Any) -> Any:
        return lc.AmendPrescriptionRequest(**self.fields(content=content_to_reply(content), change_note="changed"))

    def nominate(self, pharmacy: PharmacyRef = s.HARBOUR) -> Any:
        return lc.NominatePharmacyRequest(**self.fields(pharmacy=w.pharmacy_to(pharmacy)))

    def allowed(self) -> Any:
        return cs.ListAllowedCommandsRequest(prescription_id=self.id)

    @property
    def why(self) -> Any:
        return w.reason_to(s.WHY)

    async def issued(self) -> "Case":
        for request in (self.create(), self.sign(), self.issue()):
            await self.server.call(request)
        return self

    async def claimed(self) -> "Case":
        await self.issued()
        self.token = (await self.server.call(self.claim(), s.AT_CORNER)).claim_token
        return self


class Servers:
    """Calling it makes one more server over the same files; all share one clock."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "journal.db"
        self._clock = ManualClock(s.START)
        self._opened = AsyncExitStack()

    async def __call__(self) -> Server:
        database = Database(self._file, JOURNAL)
        self._opened.push_async_callback(database.close)
        store = SqliteEventStore(database)
        snapshots = SqliteSnapshotStore(database)
        handler = CommandHandler(prescription_type(US, KEY), store, snapshots, self._clock, AggregateCache(1_000))
        self._opened.push_async_callback(handler.drain)
        server = GrpcServer(ServerSettings(address="127.0.0.1:0"))
        service = PrescriptionCommandService(handler, KEY)
        server.add(add_PrescriptionCommandServiceServicer_to_server, service, error_domain=DOMAIN)
        await self._opened.enter_async_context(server)
        connection = await self._opened.enter_async_context(channel(server.target))
        return Server(PrescriptionCommandServiceStub(connection), store, self._clock)

    async def close(self) -> None:
        await self._opened.aclose()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Servers end inside of the test: a server that listens has a task, and tasks may not outlive a test."""
    if not isinstance(item, pytest.Function):
        return
    test: Any = item.obj
    funcargs: Any = item.funcargs

    @functools.wraps(test)
    async def closing(*args: Any, **kwargs: Any) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            await funcargs["serve"].close()

    item.obj = closing


@pytest.fixture
async def serve(data_dir: Path) -> Servers:
    return Servers(data_dir)


@pytest.fixture
async def server(serve: Servers) -> Server:
    return await serve()


@pytest.fixture
def case(server: Server) -> Callable[..., Case]:
    """A prescription that nobody has written yet; keyword arguments change its content."""

    def make(**changes: Any) -> Case:
        return Case(server, s.content(**changes), str(uuid4()))

    return make
