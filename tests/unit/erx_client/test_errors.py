import base64

import grpc
import pytest

from erx_client import errors, refusals
from erx_client.errors import CallFailed, class_of, typed
from eventkernel.errors import RefusalKind
from eventkernel_grpc import RemoteError, Violation
from prescriptions.domain import errors as domain

NAMES = [value for value in vars(domain).values() if isinstance(value, domain.RefusalName)]
KINDS = {
    RefusalKind.PERMISSION: (errors.NotPermitted, grpc.StatusCode.PERMISSION_DENIED),
    RefusalKind.ARGUMENT: (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    RefusalKind.PRECONDITION: (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.reason)
def test_every_refusal_of_the_domain_has_a_class_of_its_own_kind(name: domain.RefusalName) -> None:
    kind, code = KINDS[name.kind]
    found = class_of(name.reason, code)
    assert issubclass(found, kind)
    assert found.class_reason == name.reason
    assert found.__name__ == "".join(word.capitalize() for word in name.reason.split("_"))


def test_the_client_names_no_refusal_that_the_domain_has_not() -> None:
    own = [value for value in vars(refusals).values() if isinstance(value, type) and issubclass(value, CallFailed)]
    assert {value.class_reason for value in own} - {""} == {name.reason for name in NAMES}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_reason_that_is_not_known_is_told_by_its_code(code: grpc.StatusCode) -> None:
    found = class_of("SOMETHING_NEWER", code)
    assert issubclass(found, CallFailed)
    assert found.class_reason == ""


def test_the_typed_error_keeps_all_that_the_service_said() -> None:
    said = RemoteError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "not so",
        reason="INVALID_NPI",
        domain="prescriptions.erx",
        metadata={"field": "content.prescriber.npi"},
        violations=[Violation("content.prescriber.npi", "INVALID_NPI", "check digit")],
        retry_after_seconds=0.5,
    )
    failed = typed(said)
    assert type(failed) is refusals.InvalidNpi
    assert (failed.code, failed.message, failed.reason, failed.domain) == (
        said.code,
        said.message,
        said.reason,
        said.domain,
    )
    assert (failed.metadata, failed.violations) == (said.metadata, said.violations)
    assert failed.retry_after_seconds == 0.5
    assert str(failed) == str(said)


def told(code: grpc.StatusCode, reason: str, **metadata: str) -> CallFailed:
    return typed(RemoteError(code, "", reason=reason, metadata=metadata))


def test_the_facts_of_an_error_are_attributes() -> None:
    state = told(grpc.StatusCode.FAILED_PRECONDITION, "INVALID_STATE_TRANSITION", state="DRAFT", allowed="A,B")
    assert isinstance(state, errors.InvalidStateTransition)
    assert (state.state, state.allowed) == ("DRAFT", ("A", "B"))
    ended = told(grpc.StatusCode.FAILED_PRECONDITION, "INVALID_STATE_TRANSITION", state="CANCELLED", allowed="")
    assert isinstance(ended, errors.InvalidStateTransition)
    assert ended.allowed == ()
    conflict = told(grpc.StatusCode.ABORTED, "VERSION_CONFLICT", expected="3", actual="5")
    assert isinstance(conflict, errors.VersionConflict)
    assert (conflict.expected, conflict.actual) == (3, 5)
    behind = told(grpc.StatusCode.DEADLINE_EXCEEDED, "TOKEN_NOT_REACHED", wanted="9", reached="7")
    assert isinstance(behind, errors.TokenNotReached)
    assert (behind.wanted, behind.reached) == (9, 7)
    token = base64.b64encode(b"\x00here").decode()
    slow = told(grpc.StatusCode.RESOURCE_EXHAUSTED, "CONSUMER_TOO_SLOW", resume_token=token)
    assert isinstance(slow, errors.ConsumerTooSlow)
    assert slow.resume_token == b"\x00here"
    fault = told(grpc.StatusCode.INTERNAL, "INTERNAL", incident="abc")
    assert isinstance(fault, errors.ServerFault)
    assert fault.incident == "abc"
