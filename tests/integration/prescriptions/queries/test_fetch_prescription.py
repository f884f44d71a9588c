"""One prescription: what is told, of whom, and to whom it does not exist."""

from typing import Any

import grpc
import pytest

from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.values import Sealed
from prescriptions.testing.recorded import prescription, untold


async def test_a_prescription_is_told_as_of_its_newest_event(side: Any) -> None:
    story = untold().create().sign().issue()
    one = await side.told(1, story)
    reply = await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one))
    assert reply.prescription.prescription_id == one
    assert reply.prescription.version == 3
    assert reply.prescription.status == enums_pb2.PRESCRIPTION_STATUS_ISSUED
    assert "ClaimPrescription" in reply.prescription.allowed_commands


async def test_an_id_in_capitals_is_the_same_id(side: Any) -> None:
    one = await side.told(1, untold().create())
    reply = await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one.upper()))
    assert reply.prescription.prescription_id == one


async def test_an_undone_dispense_is_told_as_reversed_in_its_place(side: Any) -> None:
    story = untold().create().sign().issue().claim().part(10, 1).reverse(1).part(5, 2)
    one = await side.told(1, story)
    reply = await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one))
    assert [dispense.reversed for dispense in reply.prescription.dispenses] == [True, False]
    assert reply.prescription.quantity_dispensed_this_fill.value.value == "5"


async def test_the_hash_of_a_draft_is_that_of_its_whole_content(side: Any) -> None:
    story = untold(patient_snapshot=Sealed("key", b"cipher", b"nonce")).create()
    one = await side.told(1, story)
    reply = await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one))
    assert reply.prescription.content_sha256 == content_sha256(story.content)


async def test_an_unknown_id_is_not_found(side: Any) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=prescription(1)))
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert failed.value.metadata["resource"] == f"prescription-{prescription(1)}"


async def test_another_tenants_prescription_is_not_found(side: Any) -> None:
    one = await side.told(1, untold().create(), tenant="north")
    assert await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one), tenant="north")
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=one), tenant="south")
    assert failed.value.code is grpc.StatusCode.NOT_FOUND


async def test_a_malformed_id_is_an_invalid_argument(side: Any) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id="one"))
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in failed.value.violations] == ["prescription_id"]
