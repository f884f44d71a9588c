"""A prescription's whole life through the servers, in one process and in four."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bootstrap.testing.calls import Caller, caller, dispensing, signing
from bootstrap.testing.data import settled
from bootstrap.testing.program import FREE_PORTS, Child, Erx
from erx.prescriptions.types.v1.enums_pb2 import PrescriptionStatus
from erx.prescriptions.v1.query_service_pb2 import QueueBucket
from eventkernel_grpc import RemoteError
from prescriptions.testing import stories
from prescriptions.views import VIEWS
from prescriptions.wire.content import content_to_reply
from prescriptions.wire.values import reason_to

ROLES = ("projector", "relay", "query", "command")


def one_process(erx: Erx, data: Path) -> list[Child]:
    return [erx.serve(data)]


def four_processes(erx: Erx, data: Path) -> list[Child]:
    started = [erx.start("serve", role, "--data", data, *FREE_PORTS) for role in ROLES]
    return [child.says("ready") for child in started]


@pytest.fixture(params=[one_process, four_processes])
def serving(request: pytest.FixtureRequest, erx: Erx, tmp_path: Path) -> list[Child]:
    started: Callable[[Erx, Path], list[Child]] = request.param
    return started(erx, tmp_path / "data")


@asynccontextmanager
async def calls(children: list[Child], tenant: str) -> AsyncIterator[Caller]:
    said = {name: child for child in children for name in ("command", "query") if f"{name} server" in child.output}
    async with caller(said["command"].address("command"), said["query"].address("query"), tenant=tenant) as opened:
        yield opened


async def test_a_prescription_lives_from_draft_to_completed(serving: list[Child], tmp_path: Path, tenant: str) -> None:
    async with calls(serving, tenant) as c:
        completed = await whole_life(c)
        await is_told_everywhere(c, completed)
    for child in reversed(serving):
        assert child.stopped().code == 0, child.errors
    audited = await settled(tmp_path / "data")
    assert (audited.streams, audited.events, audited.repeats) == (2, 14, 0)


async def whole_life(c: Caller) -> Any:
    """One refill, the first fill in two parts, a claim given back; beside it a draft that is withdrawn."""
    draft = (await c.write(refills_allowed=1)).prescription
    await c.do(
        "AmendPrescription",
        prescription_id=draft.prescription_id,
        content=content_to_reply(stories.content(refills_allowed=1, medication_text="amoxicillin 500 mg capsules")),
        expected_version=1,
    )
    shown = (await c.ask("FetchPrescription", prescription_id=draft.prescription_id, min_version=2)).prescription
    assert shown.content_sha256 != draft.content_sha256
    with pytest.raises(RemoteError) as refused:
        await c.do("SignPrescription", **signing(draft))
    assert (refused.value.code.name, refused.value.reason) == ("FAILED_PRECONDITION", "HASH_MISMATCH")
    await c.do("SignPrescription", **signing(shown))
    issued = await c.do("IssuePrescription", prescription_id=draft.prescription_id)
    one = {"prescription_id": issued.prescription.prescription_id}

    claim = await c.claim(**one)
    await c.do("ReturnPrescription", claim_token=claim.claim_token, **one)
    claim = await c.claim(**one)
    await c.do("DispensePartially", claim_token=claim.claim_token, partial_reason=1, **one, **dispensing(10))
    await c.dispense(**one, claim_token=claim.claim_token, amount=20)
    refill = await c.claim(**one)
    completed = await c.dispense(**one, claim_token=refill.claim_token)
    assert completed.prescription.status == PrescriptionStatus.PRESCRIPTION_STATUS_COMPLETED
    assert completed.version == completed.prescription.version == 11

    other = await c.write()
    await c.do("SignPrescription", **signing(other.prescription))
    withdrawn = {"prescription_id": other.prescription.prescription_id}
    cancelled = await c.do("CancelPrescription", reason=reason_to(stories.WHY), **withdrawn)
    seen = await c.ask("FetchPrescription", token=cancelled.token, **withdrawn)
    assert seen.prescription.status == PrescriptionStatus.PRESCRIPTION_STATUS_CANCELLED
    return completed


async def is_told_everywhere(c: Caller, completed: Any) -> None:
    prescription_id, token = completed.prescription.prescription_id, completed.token
    one = {"prescription_id": prescription_id}

    now = (await c.ask("FetchPrescription", token=token, **one)).prescription
    assert (now.version, now.fills_done, len(now.dispenses)) == (11, 2, 3)
    assert now.allowed_commands == completed.prescription.allowed_commands

    listed = await c.ask("FetchAllPrescriptions", token=token, include_total=True, page_size=1)
    assert listed.total_size == 2
    rest = await c.ask(
        "FetchAllPrescriptions", token=token, include_total=True, page_size=1, page_token=listed.next_page_token
    )
    assert prescription_id in {p.prescription_id for p in (*listed.prescriptions, *rest.prescriptions)}

    (medication,) = (
        await c.ask("FetchMedicationList", token=token, patient_id="patient-1", include_inactive=True)
    ).medications
    assert medication.medication.code == stories.AMOXICILLIN.code
    assert medication.last_dispense.quantity.value.value == "30"
    queue = await c.ask("FetchPharmacyQueue", token=token, pharmacy_id=stories.CORNER.ncpdp_id)
    assert prescription_id not in {entry.prescription_id for entry in queue.entries}

    events = await c.history(prescription_id)
    assert [entry.envelope.sequence for entry in events] == list(range(1, 12))
    assert events[0].envelope.actor.id == stories.PRESCRIBER.id
    await was_so_before(c, prescription_id, events)

    totals = (await c.ask("FetchStatistics", token=token)).totals
    assert (totals.prescriptions, totals.issued, totals.fills, totals.partial_dispenses) == (2, 1, 2, 1)
    status = await c.ask("ProjectionStatus", token=token)
    assert {view.view for view in status.views} == {view.name for view in VIEWS}
    assert not any(view.HasField("last_error") for view in status.views)


async def was_so_before(c: Caller, prescription_id: str, events: list[Any]) -> None:
    one = {"prescription_id": prescription_id}
    third = events[2].envelope
    for point in (
        {"version": 3},
        {"occurred_time": third.occurred_at},
        {"recorded_time": third.recorded_at},
    ):
        before = (await c.ask("FetchAsOf", **one, **point)).prescription
        assert (before.version, before.status) == (3, PrescriptionStatus.PRESCRIPTION_STATUS_SIGNED), point


async def test_a_pharmacy_sees_what_it_can_claim_and_what_it_holds(serving: list[Child], tenant: str) -> None:
    async with calls(serving, tenant) as c:
        issued = await c.issued()
        one = issued.prescription.prescription_id
        pharmacy = {"pharmacy_id": stories.CORNER.ncpdp_id}
        (entry,) = (await c.ask("FetchPharmacyQueue", token=issued.token, **pharmacy)).entries
        assert (entry.prescription_id, entry.bucket) == (one, QueueBucket.QUEUE_BUCKET_CLAIMABLE)
        assert entry.patient_id == ""
        claim = await c.claim(one)
        (entry,) = (await c.ask("FetchPharmacyQueue", token=claim.token, **pharmacy)).entries
        assert (entry.bucket, entry.patient_id) == (QueueBucket.QUEUE_BUCKET_HELD, "patient-1")
        harbour = await c.ask("FetchPharmacyQueue", token=claim.token, pharmacy_id=stories.HARBOUR.ncpdp_id)
        assert not harbour.entries


async def test_a_token_makes_a_query_wait_in_another_process(serving: list[Child], tenant: str) -> None:
    async with calls(serving, tenant) as c:
        for _ in range(10):
            reply = await c.write(request_id=str(uuid4()))
            seen = await c.ask(
                "FetchPrescription", token=reply.token, prescription_id=reply.prescription.prescription_id
            )
            assert seen.prescription.version == 1
