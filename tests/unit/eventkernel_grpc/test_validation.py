import protovalidate
import pytest

from erx.prescriptions.v1 import lifecycle_commands_pb2 as commands
from eventkernel_grpc.errors import RequestInvalid
from eventkernel_grpc.validation import RequestValidator, refuse_nul

VALID_ID = "0b8f3b0e-6b1a-4c7e-9d56-5b8a6b2f3c11"


@pytest.fixture(scope="module")
def validator() -> RequestValidator:
    validator = RequestValidator()
    validator.prepare(commands.CreatePrescriptionRequest)
    return validator


def test_every_violation_is_listed_with_the_field_s_path_and_the_rule(validator: RequestValidator) -> None:
    request = commands.CreatePrescriptionRequest(request_id="no", expected_version=-1)
    request.content.medication.add(system="s", code="c")
    request.content.medication.add(system="s")
    with pytest.raises(RequestInvalid) as caught:
        validator.check(request)
    found = {(violation.field, violation.rule) for violation in caught.value.violations}
    assert {
        ("request_id", "string.uuid"),
        ("expected_version", "int64.gte"),
        ("content.patient_id", "required"),
        ("content.medication[1].code", "string.min_len"),
    } <= found


def test_as_many_violations_as_protovalidate_itself_finds(validator: RequestValidator) -> None:
    request = commands.CreatePrescriptionRequest()
    request.content.SetInParent()
    with pytest.raises(RequestInvalid) as caught:
        validator.check(request)
    assert len(caught.value.violations) == len(protovalidate.collect_violations(request))


def test_valid_request_passes(validator: RequestValidator) -> None:
    validator.check(commands.ResumePrescriptionRequest(request_id=VALID_ID, prescription_id=VALID_ID))


def test_a_text_with_nul_is_named_with_its_field_wherever_it_is() -> None:
    request = commands.CreatePrescriptionRequest(request_id=VALID_ID)
    request.content.medication.add(system="s", code="c")
    request.content.medication.add(system="s", code="c\0")
    request.content.dosage.text = "one\0two"
    with pytest.raises(RequestInvalid) as caught:
        refuse_nul(request, request.SerializeToString())
    assert [(violation.field, violation.rule) for violation in caught.value.violations] == [
        ("content.medication[1].code", "string.no_nul"),
        ("content.dosage.text", "string.no_nul"),
    ]


def test_bytes_may_be_zero() -> None:
    request = commands.SignPrescriptionRequest(request_id=VALID_ID, content_sha256=bytes(32))
    raw = request.SerializeToString()
    assert b"\0" in raw
    refuse_nul(request, raw)
