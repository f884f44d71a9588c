from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from erx.prescriptions.types.v1 import enums_pb2
from eventkernel_grpc import decode_token
from prescriptions.testing import stories as s


def status(reply: Any) -> str:
    name: str = enums_pb2.PrescriptionStatus.Name(reply.prescription.status)
    return name.removeprefix("PRESCRIPTION_STATUS_")


async def test_from_the_draft_to_the_last_refill(server: Any, case: Any) -> None:
    it = case(refills_allowed=1)
    told = [status(await server.call(request)) for request in (it.create(), it.sign(), it.issue())]
    assert told == ["DRAFT", "SIGNED", "ISSUED"]
    claim = await server.call(it.claim(), s.AT_CORNER)
    assert (status(claim), claim.prescription.claim.active, bool(claim.claim_token)) == ("WITH_PHARMACY", True, True)
    it.token = claim.claim_token
    part = await server.call(it.part(10, 1), s.AT_CORNER)
    assert (status(part), part.prescription.quantity_remaining_this_fill.value.value) == ("PARTIALLY_DISPENSED", "20")
    whole = await server.call(it.dispense(20, 2), s.AT_CORNER)
    assert (status(whole), whole.prescription.refills_remaining) == ("AWAITING_REFILL", 0)
    back = await server.call(it.reverse(2), s.AT_CORNER)
    assert status(back) == "PARTIALLY_DISPENSED"
    assert status(await server.call(it.dispense(20, 3), s.AT_CORNER)) == "AWAITING_REFILL"
    await server.clock.advance(timedelta(days=20).total_seconds())
    it.token = (await server.call(it.claim(s.HARBOUR), s.AT_HARBOUR)).claim_token
    last = await server.call(it.dispense(30, 4), s.AT_HARBOUR)
    assert (status(last), last.prescription.fills_done, len(last.prescription.dispenses)) == ("COMPLETED", 2, 3)
    assert last.version == len(await server.events(it.id)) == 10


async def test_every_other_command(server: Any, case: Any) -> None:
    it = case()
    await server.call(it.create())
    changed = replace(it.content, refills_allowed=1)
    assert status(await server.call(it.amend(changed))) == "DRAFT"
    it.content = changed
    await server.call(it.sign())
    await server.call(it.issue())
    assert status(await server.call(it.nominate(s.CORNER), s.PATIENT)) == "ISSUED"
    it.token = (await server.call(it.claim(), s.AT_CORNER)).claim_token
    assert status(await server.call(it.give_back(), s.AT_CORNER)) == "ISSUED"
    assert status(await server.call(it.suspend())) == "ON_HOLD"
    assert status(await server.call(it.resume())) == "ISSUED"
    assert status(await server.call(it.cancel())) == "CANCELLED"
    other = await case().claimed()
    assert status(await server.call(other.not_dispensed(), s.AT_CORNER)) == "NOT_DISPENSED"
    late = await case().issued()
    await server.clock.advance(timedelta(days=800).total_seconds())
    assert status(await server.call(late.expire(), s.SYSTEM)) == "EXPIRED"
    wrong = case()
    await server.call(wrong.create())
    assert status(await server.call(wrong.void())) == "ENTERED_IN_ERROR"


async def test_a_reply_carries_the_token_of_its_version(server: Any, case: Any) -> None:
    it = case()
    reply = await server.call(it.create())
    (position,) = decode_token(reply.token, tenant="default")
    assert (position.context, position.stream, position.version) == ("prescriptions", f"prescription-{it.id}", 1)


async def test_without_an_id_the_prescription_is_found_by_its_request(server: Any, case: Any) -> None:
    it = case()
    request = it.create(prescription_id="")
    first = await server.call(request)
    again = await server.call(request)
    assert first.prescription.prescription_id == again.prescription.prescription_id
    assert await server.events(first.prescription.prescription_id) == ["PrescriptionCreated"]


async def test_what_is_allowed_next_can_be_asked(server: Any, case: Any) -> None:
    it = await case().issued()
    answer = await server.call(it.allowed())
    assert "ClaimPrescription" in answer.allowed_commands
    assert answer.version == 3


async def test_the_same_request_again_gets_the_same_reply_and_stores_nothing(
    server: Any, serve: Any, case: Any
) -> None:
    it = await case().issued()
    claiming = it.claim()
    first = await server.call(claiming, s.AT_CORNER)
    it.token = first.claim_token
    dispensing = it.dispense(30, 1)
    done = await server.call(dispensing, s.AT_CORNER)
    elsewhere = await serve()
    for each in (server, elsewhere):
        assert await each.call(claiming, s.AT_CORNER) == first
        assert await each.call(dispensing, s.AT_CORNER) == done
    assert len(await server.events(it.id)) == 5


async def test_upper_and_lower_case_ids_are_the_same_prescription(server: Any, case: Any) -> None:
    it = case()
    await server.call(it.create())
    reply = await server.call(it.sign(prescription_id=it.id.upper()))
    assert (reply.version, reply.prescription.prescription_id) == (2, it.id)


async def test_tenants_do_not_mix(server: Any, case: Any) -> None:
    it = await case().issued()
    assert (await server.refused(it.claim(), s.AT_CORNER, tenant="other")).reason == "NOT_FOUND"
    request = it.create()
    await server.call(request, tenant="other")
    assert await server.events(it.id, "other") == ["PrescriptionCreated"]
    assert len(await server.events(it.id)) == 3
    assert (await server.call(it.claim(request_id=str(uuid4())), s.AT_CORNER)).version == 4
