"""Read your writes: tokens, modes, and what an answer says about its own age."""

import asyncio
from typing import Any

import grpc
import pytest

from erx.eventlog.v1 import consistency_pb2 as cp
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel.envelope import StreamPosition
from eventkernel_grpc import RemoteError, decode_token, encode_token, remote_errors
from prescriptions.testing.recorded import prescription, untold


def seen(number: int, version: int, tenant: str = "default") -> bytes:
    position = StreamPosition("prescriptions", f"prescription-{prescription(number)}", version)
    return encode_token([position], tenant=tenant)


def one(number: int = 1, **fields: Any) -> q.FetchPrescriptionRequest:
    return q.FetchPrescriptionRequest(prescription_id=prescription(number), **fields)


async def test_a_query_with_a_token_waits_until_the_view_is_there(live_side: Any) -> None:
    story = untold().create()
    await live_side.told(1, story)
    await live_side.write(1, story.sign())
    async with live_side.served() as stub:
        asked = asyncio.ensure_future(stub.FetchPrescription(one(token=seen(1, 2)), timeout=20))
        await asyncio.wait({asked}, timeout=0.05)
        assert not asked.done()
        await live_side.project()
        reply = await asked
    assert reply.prescription.version == 2
    assert reply.as_of.requested_token_reached


async def test_a_token_in_the_metadata_counts_as_one_in_the_request(live_side: Any) -> None:
    await live_side.told(1, untold().create())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await live_side.ask("FetchPrescription", one(), token=seen(1, 2), seconds=2.0)
    assert failed.value.reason == "TOKEN_NOT_REACHED"


async def test_a_view_that_does_not_get_there_in_time_says_how_far_it_is(live_side: Any) -> None:
    await live_side.told(1, untold().create())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await live_side.ask("FetchPrescription", one(min_version=3), seconds=2.0)
    assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failed.value.reason == "TOKEN_NOT_REACHED"
    assert (failed.value.metadata["wanted"], failed.value.metadata["reached"]) == ("3", "1")
    assert failed.value.retry_after_seconds


async def test_any_answers_at_once_and_says_that_the_token_is_not_reached(side: Any) -> None:
    await side.told(1, untold().create())
    reply = await side.ask("FetchPrescription", one(token=seen(1, 2), consistency=cp.CONSISTENCY_MODE_ANY))
    assert reply.prescription.version == 1
    assert reply.as_of.HasField("requested_token_reached")
    assert not reply.as_of.requested_token_reached


async def test_without_a_token_nothing_is_said_about_one(side: Any) -> None:
    await side.told(1, untold().create())
    reply = await side.ask("FetchPrescription", one())
    assert not reply.as_of.HasField("requested_token_reached")


async def test_the_token_of_an_answer_is_good_for_the_next_question(side: Any) -> None:
    await side.told(1, untold().create().sign())
    reply = await side.ask("FetchPrescription", one())
    (position,) = decode_token(reply.as_of.token, tenant="default")
    assert (position.stream, position.version) == (f"prescription-{prescription(1)}", 2)
    again = await side.ask("FetchPrescription", one(token=reply.as_of.token))
    assert again.as_of.requested_token_reached


async def test_the_token_of_an_answer_comes_as_metadata_too(side: Any) -> None:
    await side.told(1, untold().create())
    async with side.served() as stub:
        call = stub.FetchPrescription(one(), timeout=20)
        reply = await call
        trailing = dict(await call.trailing_metadata())
    assert trailing["erx-consistency-bin"] == reply.as_of.token


async def test_a_server_without_an_overlay_waits_instead_and_says_so(live_side: Any) -> None:
    story = untold().create()
    await live_side.told(1, story)
    await live_side.write(1, story.sign())
    overlay = cp.CONSISTENCY_MODE_OVERLAY
    async with live_side.served() as stub:
        asked = asyncio.ensure_future(stub.FetchPrescription(one(token=seen(1, 2), consistency=overlay), timeout=20))
        await asyncio.wait({asked}, timeout=0.05)
        assert not asked.done()
        await live_side.project()
        reply = await asked
    assert reply.prescription.version == 2
    assert reply.as_of.overlay_degraded


@pytest.mark.parametrize(
    "token", [b"\xff\xff", b"\x0a\x00", seen(1, 1, tenant="north")], ids=["broken", "empty", "other tenant's"]
)
async def test_a_token_that_no_server_gave_to_this_tenant_is_refused(side: Any, token: bytes) -> None:
    await side.told(1, untold().create())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPrescription", one(token=token))
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in failed.value.violations] == ["token"]


async def test_positions_of_other_contexts_are_no_business_of_this_view(side: Any) -> None:
    await side.told(1, untold().create())
    token = encode_token([StreamPosition("payments", "transaction-1", 9)], tenant="default")
    reply = await side.ask("FetchPrescription", one(token=token))
    assert reply.prescription.version == 1


async def test_an_answer_says_how_far_the_view_has_read_and_how_far_it_is_behind(side: Any) -> None:
    story = untold().create()
    await side.told(1, story)
    await side.write(1, story.sign().issue())
    reply = await side.ask("FetchPrescription", one())
    made = reply.as_of
    assert (made.view, made.view_version) == ("prescription_view", 1)
    assert made.events_behind == 2
    assert sum(p.end_offset - p.next_offset for p in made.positions) == 2
    assert len(made.positions) == 4
    assert made.HasField("applied_at")


async def test_lists_wait_for_a_token_as_well(live_side: Any) -> None:
    await live_side.told(1, untold().create())
    for method, request in (
        ("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(token=seen(1, 2))),
        ("FetchMedicationList", q.FetchMedicationListRequest(token=seen(1, 2), patient_id="patient-1")),
        ("FetchPharmacyQueue", q.FetchPharmacyQueueRequest(token=seen(1, 2), pharmacy_id="9900007")),
        ("ProjectionStatus", q.ProjectionStatusRequest(token=seen(1, 2))),
    ):
        with pytest.raises(RemoteError) as failed, remote_errors():
            await live_side.ask(method, request, seconds=2.0)
        assert failed.value.reason == "TOKEN_NOT_REACHED"
