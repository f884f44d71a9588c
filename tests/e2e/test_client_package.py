"""The Python client package against the program: reads that follow writes, and a server that is killed under it."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from bootstrap.testing.calls import signing
from bootstrap.testing.program import Child, Erx
from erx.eventlog.v1.consistency_pb2 import ConsistencyMode
from erx.prescriptions.v1.filters_pb2 import PrescriptionFilter
from erx.prescriptions.v1.lifecycle_commands_pb2 import (
    CreatePrescriptionRequest,
    IssuePrescriptionRequest,
    SignPrescriptionRequest,
)
from erx.prescriptions.v1.query_service_pb2 import FetchHistoryRequest, FetchPrescriptionRequest
from erx_client import Actor, AsyncClient, AsyncSession, AsyncWatch, Client, Retries
from erx_client.errors import InvalidStateTransition, NotFound
from erx_client.refusals import NotAuthor
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply

DOCTOR = Actor(stories.PRESCRIBER.id, "prescriber")
SECONDS = 120.0
PATIENT = "patient-of-the-client"
COUNT = 6


def draft() -> CreatePrescriptionRequest:
    content = content_to_reply(stories.content())
    content.patient_id = PATIENT
    return CreatePrescriptionRequest(content=content)


def at(child: Child, tenant: str) -> AsyncClient:
    retries = Retries(attempts_max=1000, pause_seconds_max=0.5)
    return AsyncClient(
        child.address("command"), child.address("query"), tenant=tenant, retries=retries, call_seconds=SECONDS
    )


async def release(session: AsyncSession) -> str:
    """A prescription written, signed and released."""
    written = (await session.commands.CreatePrescription(draft())).prescription
    await session.commands.SignPrescription(SignPrescriptionRequest(**signing(written)))
    one = written.prescription_id
    await session.commands.IssuePrescription(IssuePrescriptionRequest(prescription_id=one))
    return one


@pytest.mark.parametrize("mode", ["OVERLAY", "AT_LEAST", "UNSPECIFIED"])
async def test_a_session_reads_its_own_writes(shared: Child, tenant: str, mode: str) -> None:
    async with at(shared, tenant) as client:
        session = client.session(DOCTOR, consistency=ConsistencyMode.Value(f"CONSISTENCY_MODE_{mode}"))
        for _ in range(COUNT):
            wanted = FetchPrescriptionRequest(prescription_id=await release(session))
            shown = await session.queries.FetchPrescription(wanted)
            assert (shown.prescription.version, shown.as_of.requested_token_reached) == (3, True)


async def test_threads_read_their_own_writes_and_errors_have_classes(shared: Child, tenant: str) -> None:
    def talk() -> None:
        with Client(shared.address("command"), shared.address("query"), tenant=tenant) as client:
            session = client.session(DOCTOR)
            written = session.commands.CreatePrescription(draft()).prescription
            wanted = FetchPrescriptionRequest(prescription_id=written.prescription_id)
            assert session.queries.FetchPrescription(wanted).prescription.version == 1
            issue = IssuePrescriptionRequest(prescription_id=written.prescription_id)
            with pytest.raises(InvalidStateTransition) as refused:
                session.commands.IssuePrescription(issue)
            assert refused.value.state == "DRAFT"
            assert "SignPrescription" in refused.value.allowed
            with pytest.raises(NotAuthor):
                session.acting(Actor("dr-2", "prescriber")).commands.SignPrescription(
                    SignPrescriptionRequest(**signing(written))
                )
            with pytest.raises(NotFound):
                session.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=str(UUID(int=1))))

    await asyncio.to_thread(talk)


async def test_a_kill_in_between_costs_neither_a_command_nor_a_change(erx: Erx, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = await asyncio.to_thread(erx.serve, data)
    where = ("--command-address", server.address("command"), "--query-address", server.address("query"))
    async with at(server, "clinic") as client, asyncio.timeout(SECONDS):
        session = client.session(DOCTOR)
        with session.watch(PrescriptionFilter(patient_id=PATIENT)) as watch:
            complete = await anext(watch)
            assert complete.HasField("rows_complete")
            told = asyncio.create_task(changes(watch, 2 * COUNT * 3))
            before = [await release(session) for _ in range(COUNT)]
            server.kill()
            restarted = asyncio.create_task(asyncio.to_thread(erx.serve, data, *where))
            after = [await release(session) for _ in range(COUNT)]
            await restarted
            seen = await told
        for one in (*before, *after):
            history = await session.queries.FetchHistory(FetchHistoryRequest(prescription_id=one))
            assert [entry.envelope.sequence for entry in history.entries] == [1, 2, 3]
            assert [version for told_of, version in seen if told_of == one] == [1, 2, 3]


async def changes(watch: AsyncWatch, count: int) -> list[tuple[str, int]]:
    """So many changes, as prescription and version."""
    seen: list[tuple[str, int]] = []
    async for message in watch:
        changed = message.changed.prescription
        seen.append((changed.prescription_id, changed.version))
        if len(seen) == count:
            break
    return seen
