"""The client package against a server that fails as it is told to: what is sent again, what is carried along, what resumes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from erx.prescriptions.v1.command_service_pb2_grpc import (
    PrescriptionCommandServiceServicer,
    PrescriptionCommandServiceStub,
    add_PrescriptionCommandServiceServicer_to_server,
)
from erx.prescriptions.v1.lifecycle_commands_pb2 import IssuePrescriptionRequest, IssuePrescriptionResponse
from erx.prescriptions.v1.query_service_pb2 import FetchPrescriptionRequest, FetchPrescriptionResponse
from erx.prescriptions.v1.query_service_pb2_grpc import (
    PrescriptionQueryServiceServicer,
    add_PrescriptionQueryServiceServicer_to_server,
)
from erx.prescriptions.v1.watch_service_pb2 import WatchPrescriptionsResponse
from erx.prescriptions.v1.watch_service_pb2_grpc import (
    PrescriptionWatchServiceServicer,
    add_PrescriptionWatchServiceServicer_to_server,
)
from erx_client import Actor, AsyncClient, ChannelSettings, Client, Retries, Watch
from erx_client.calling import AsyncSessionChannel
from erx_client.errors import BadResumeToken, Overloaded, TokenNotReached, Unavailable, VersionConflict
from erx_client.exchange import Exchange
from erx_client.seen import Seen
from eventkernel import errors as kernel
from eventkernel.envelope import StreamPosition
from eventkernel_grpc import GrpcServer, ServerSettings, current_call, encode_token
from eventkernel_grpc.errors import ServerDraining

ONE = "6f0e8a3c-2a53-4a5c-9d57-0c4b8a1d7e11"
DOCTOR = Actor("dr-1", "prescriber")
TOKEN = encode_token([StreamPosition("prescriptions", f"prescription-{ONE}", 3)], tenant="clinic")
QUICK = Retries(pause_initial_seconds=0.01, pause_seconds_max=0.02)
SECONDS = 60.0


@dataclass
class Service(PrescriptionCommandServiceServicer, PrescriptionQueryServiceServicer, PrescriptionWatchServiceServicer):
    """Raises, one call after the other, what is in ``failures``; then it answers. Keeps what it was sent."""

    failures: list[Exception] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    consistency: list[bytes] = field(default_factory=list)
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    resumed_from: list[bytes] = field(default_factory=list)

    async def IssuePrescription(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.request_ids.append(request.request_id)
        if self.failures:
            raise self.failures.pop(0)
        return IssuePrescriptionResponse(token=TOKEN, version=3)

    async def FetchPrescription(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.consistency.append(current_call().consistency)
        if self.failures:
            raise self.failures.pop(0)
        return FetchPrescriptionResponse()

    async def WatchPrescriptions(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell five things, a failure after every second one of them."""
        self.resumed_from.append(request.resume_token)
        self.watched.set()
        self.consistency.append(current_call().consistency)
        for number in range(int(request.resume_token or b"0") + 1, 6):
            told = WatchPrescriptionsResponse(resume_token=str(number).encode())
            if number == 4:
                told.heartbeat.SetInParent()
            else:
                told.rows_complete.SetInParent()
            yield told
            if number % 2 == 0 and self.failures:
                raise self.failures.pop(0)
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(*failures: Exception) -> AsyncIterator[tuple[Service, str]]:
    service = Service(list(failures))  # type: ignore[abstract]  # what is not called here needs no answer
    server = GrpcServer(ServerSettings(address="127.0.0.1:0", drain_seconds=0.1))
    server.add(add_PrescriptionCommandServiceServicer_to_server, service, error_domain="test")
    server.add(add_PrescriptionQueryServiceServicer_to_server, service, error_domain="test")
    server.add(add_PrescriptionWatchServiceServicer_to_server, service, error_domain="test")
    async with server:
        yield service, server.target


def client_at(address: str, **settings: Any) -> Client:
    return Client(address, address, **{"tenant": "clinic", "retries": QUICK, **settings})


def async_client_at(address: str, **settings: Any) -> AsyncClient:
    return AsyncClient(address, address, **{"tenant": "clinic", "retries": QUICK, **settings})


def overloaded() -> Exception:
    return kernel.Overloaded("calls", at=1, retry_after_seconds=0.02)


def issue() -> IssuePrescriptionRequest:
    return IssuePrescriptionRequest(prescription_id=ONE)


@pytest.mark.parametrize(
    "failure", [overloaded(), kernel.StoreUnavailable("journal", "gone"), ServerDraining()], ids=repr
)
async def test_what_may_be_retried_is_sent_again_with_the_same_request_id(failure: Exception) -> None:
    async with serving(failure, failure) as (service, address), async_client_at(address) as client:
        reply = await client.session(DOCTOR).commands.IssuePrescription(issue(), timeout=SECONDS)
    assert reply.version == 3
    assert len(service.request_ids) == 3
    assert len(set(service.request_ids)) == 1


async def test_threads_retry_alike() -> None:
    async with serving(overloaded(), ServerDraining()) as (service, address):
        with client_at(address) as client:
            reply = await asyncio.to_thread(client.session(DOCTOR).commands.IssuePrescription, issue(), SECONDS)
    assert reply.version == 3
    assert len(service.request_ids) == 3
    assert len(set(service.request_ids)) == 1


async def test_a_client_waits_as_long_as_the_service_asks_for() -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async with serving(overloaded()) as (_, address), async_client_at(address) as client:
        patient = cast(
            "Any", AsyncSessionChannel(client.command_channel, Exchange(actor=DOCTOR, seen=Seen("clinic")), wait)
        )
        await PrescriptionCommandServiceStub(patient).IssuePrescription(issue(), timeout=SECONDS)
    assert len(waited) == 1
    assert waited[0] >= 0.02


async def test_the_channel_itself_retries_by_its_service_config() -> None:
    gone = kernel.StoreUnavailable("journal", "gone")
    once = Retries(attempts_max=1)
    async with serving(gone, gone) as (service, address), async_client_at(address, retries=once) as client:
        await client.session(DOCTOR).commands.IssuePrescription(issue(), timeout=SECONDS)
    assert len(set(service.request_ids)) == 1
    assert len(service.request_ids) == 3


async def test_when_attempts_are_used_up_the_last_error_is_told_by_its_class() -> None:
    twice = {"settings": ChannelSettings(attempts_max=1), "retries": Retries(attempts_max=2, jitter=lambda: 0)}
    failures = (overloaded() for _ in range(9))
    async with serving(*failures) as (service, address), async_client_at(address, **twice) as client:
        with pytest.raises(Overloaded) as told:
            await client.session(DOCTOR).commands.IssuePrescription(issue(), timeout=SECONDS)
    assert told.value.reason == "OVERLOADED"
    assert told.value.metadata["limit"] == "calls"
    assert len(service.request_ids) == 2


async def test_what_cannot_be_retried_is_told_at_once() -> None:
    conflict = kernel.VersionConflict("clinic/prescription-1", expected=3, actual=5)
    async with serving(conflict) as (service, address), async_client_at(address) as client:
        with pytest.raises(VersionConflict) as told:
            await client.session(DOCTOR).commands.IssuePrescription(issue(), timeout=SECONDS)
    assert (told.value.expected, told.value.actual) == (3, 5)
    assert len(service.request_ids) == 1


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with serving() as (_, address):
        pass
    async with async_client_at(address, retries=Retries(attempts_max=1)) as client:
        with pytest.raises(Unavailable):
            await client.session(DOCTOR).commands.IssuePrescription(issue(), timeout=SECONDS)
    with client_at(address, retries=Retries(attempts_max=1)) as threads, pytest.raises(Unavailable):
        await asyncio.to_thread(threads.session(DOCTOR).commands.IssuePrescription, issue(), SECONDS)


async def test_queries_carry_what_the_session_has_written_whoever_acts_in_it() -> None:
    async with serving() as (service, address), async_client_at(address) as client:
        session = client.session(DOCTOR)
        await session.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=ONE), timeout=SECONDS)
        await session.acting(Actor("ag-1", "agent")).commands.IssuePrescription(issue(), timeout=SECONDS)
        await session.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=ONE), timeout=SECONDS)
        elsewhere = client.session(DOCTOR)
        await elsewhere.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=ONE), timeout=SECONDS)
        elsewhere.saw(session.token)
        await elsewhere.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=ONE), timeout=SECONDS)
    assert service.consistency == [b"", TOKEN, b"", TOKEN]


async def test_a_view_that_stays_behind_is_told_by_its_class() -> None:
    behind = [kernel.TokenNotReached("prescription_view", "prescription-1", wanted=3, reached=2) for _ in range(2)]
    async with serving(*behind) as (_, address), async_client_at(address, retries=Retries(attempts_max=2)) as client:
        with pytest.raises(TokenNotReached) as told:
            await client.session().queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=ONE))
    assert (told.value.wanted, told.value.reached) == (3, 2)


FAILURES = (ServerDraining(), kernel.ConsumerTooSlow("changes", at=2, token=b"4"))


async def test_a_watch_goes_on_where_it_was_cut_and_tells_nothing_twice() -> None:
    async with serving(*FAILURES) as (service, address), async_client_at(address) as client:
        session = client.session(DOCTOR)
        told = []
        async with asyncio.timeout(SECONDS):
            with session.watch() as watch:
                async for message in watch:
                    told.append(message.resume_token)
                    if len(told) == 4:
                        break
        assert watch.resume_token == b"5"
    assert told == [b"1", b"2", b"3", b"5"]  # 4 was a heartbeat
    assert service.resumed_from == [b"", b"2", b"4"]


async def test_a_watch_of_threads_goes_on_alike() -> None:
    def take(watch: Watch) -> list[bytes]:
        with watch:
            return [next(watch).resume_token for _ in range(4)]

    async with serving(*FAILURES) as (service, address):
        with client_at(address) as client:
            told = await asyncio.to_thread(take, client.session(DOCTOR).watch())
    assert told == [b"1", b"2", b"3", b"5"]
    assert service.resumed_from == [b"", b"2", b"4"]


async def test_a_watch_ends_where_the_service_refuses_for_good() -> None:
    refused = kernel.InvalidCommand("resume_token", "belongs to another filter", reason="BAD_RESUME_TOKEN")
    async with serving(refused) as (_, address), async_client_at(address) as client:
        with client.session(DOCTOR).watch() as watch, pytest.raises(BadResumeToken):
            async for _message in watch:
                pass


async def test_a_watch_that_is_waited_for_in_vain_can_be_asked_again() -> None:
    async with serving() as (service, address), async_client_at(address) as client:
        with client.session(DOCTOR).watch(resume_token=b"5") as watch:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(watch), 0.2)
                await asyncio.wait_for(service.watched.wait(), SECONDS)
    assert set(service.resumed_from) == {b"5"}


async def test_closing_a_watch_ends_it_for_who_reads_it() -> None:
    async with serving() as (_, address):
        async with async_client_at(address) as client:
            watch = client.session(DOCTOR).watch(resume_token=b"4")
            assert (await asyncio.wait_for(anext(watch), SECONDS)).resume_token == b"5"
            waiting = asyncio.ensure_future(anext(watch, None))
            await asyncio.sleep(0)
            watch.close()
            assert await asyncio.wait_for(waiting, SECONDS) is None
        with client_at(address) as threads:
            followed = threads.session(DOCTOR).watch(resume_token=b"4")
            assert (await asyncio.to_thread(next, followed)).resume_token == b"5"
            read_on = asyncio.ensure_future(asyncio.to_thread(next, followed, None))
            await asyncio.sleep(0)
            followed.close()
            assert await asyncio.wait_for(read_on, SECONDS) is None
