from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc

from prescriptions.streams import stream_of
from prescriptions.testing import stories as s
from prescriptions.wire import values as w

Code = grpc.StatusCode


async def test_a_state_that_does_not_allow_a_command_says_which_it_does(server: Any, case: Any) -> None:
    it = case()
    await server.call(it.create())
    error = await server.refused(it.issue())
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "INVALID_STATE_TRANSITION")
    assert (error.metadata["state"], error.metadata["command"]) == ("DRAFT", "IssuePrescription")
    assert "SignPrescription" in error.metadata["allowed"].split(",")
    assert await server.events(it.id) == ["PrescriptionCreated"]


async def test_each_kind_of_refusal_has_its_code(server: Any, case: Any) -> None:
    it = case()
    bad = case(prescriber=type(s.AUTHOR)("dr-grey", npi="1234567890"))
    error = await server.refused(bad.create())
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_NPI")
    await server.call(it.create())
    error = await server.refused(it.sign(), s.OTHER_PRESCRIBER)
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "NOT_AUTHOR")
    error = await server.refused(it.sign(content_sha256=b"\0" * 32))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "HASH_MISMATCH")


async def test_what_the_proto_forbids_is_named_by_field(server: Any, case: Any) -> None:
    error = await server.refused(case().create(request_id="one"))
    assert error.code is Code.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["request_id"]


async def test_a_prescription_that_is_not_there(server: Any, case: Any) -> None:
    it = case()
    for request in (it.sign(), it.allowed()):
        error = await server.refused(request)
        assert (error.code, error.reason) == (Code.NOT_FOUND, "NOT_FOUND")


async def test_the_same_request_id_with_other_content(server: Any, case: Any) -> None:
    it = await case().issued()
    request_id = str(uuid4())
    await server.call(it.claim(request_id=request_id), s.AT_CORNER)
    for request, actor in (
        (it.claim(s.HARBOUR, request_id=request_id), s.AT_HARBOUR),
        (it.claim(request_id=request_id), s.AT_HARBOUR),
        (it.cancel(request_id=request_id), s.PRESCRIBER),
    ):
        error = await server.refused(request, actor)
        assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
        assert error.metadata["request_id"] == request_id
    assert len(await server.events(it.id)) == 4


async def test_a_request_id_is_known_within_its_own_prescription(server: Any, case: Any) -> None:
    request_id = str(uuid4())
    one, other = await case().issued(), await case().issued()
    told = [await server.call(each.claim(request_id=request_id), s.AT_CORNER) for each in (one, other)]
    assert [reply.version for reply in told] == [4, 4]
    assert told[0].claim_token != told[1].claim_token
    stored = [await server.store.load(stream_of("default", each.id)) for each in (one, other)]
    assert len({event.event_id for loaded in stored for event in loaded.events}) == 8


async def test_an_expected_version_that_is_not_the_streams(server: Any, serve: Any, case: Any) -> None:
    it = await case().issued()
    for each in (server, await serve()):
        error = await each.refused(it.issue(expected_version=1))
        assert (error.code, error.reason) == (Code.ABORTED, "VERSION_CONFLICT")
        assert (error.metadata["expected"], error.metadata["actual"]) == ("1", "3")
    assert (await server.call(it.claim(expected_version=3), s.AT_CORNER)).version == 4


async def test_only_named_roles_may_backdate(server: Any, case: Any) -> None:
    earlier = w.time_to(server.clock.now() - timedelta(days=1))
    it = case()
    error = await server.refused(it.create(effective_time=earlier))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BACKDATING_NOT_ALLOWED")
    later = w.time_to(server.clock.now() + timedelta(days=1))
    assert (await server.refused(it.create(effective_time=later))).reason == "EFFECTIVE_TIME_IN_FUTURE"
    reply = await server.call(it.create(effective_time=earlier), s.IMPORTER)
    assert reply.prescription.create_time == earlier
    assert reply.prescription.record_time == w.time_to(server.clock.now())
