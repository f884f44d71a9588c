import inspect
import re
from types import ModuleType

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from eventkernel import errors as kernel
from eventkernel.errors import KernelError, RefusalKind
from eventkernel_grpc import errors as edge
from eventkernel_grpc.error_table import TABLE, row_of, rule_reason

Code = grpc.StatusCode
SECRET = "10.1.2.3:9042 password=hunter2"


def classes_of(module: ModuleType) -> list[type[KernelError]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, KernelError) and kind is not KernelError and kind.__module__ == module.__name__
    ]


TREE = [*classes_of(kernel), *classes_of(edge)]

# Every row, with the error it is shown for: code, reason and the metadata that must be there.
CASES: list[tuple[BaseException, Code, str, dict[str, str]]] = [
    (
        kernel.Refusal("PRESCRIPTION_EXPIRED", "expired", state="ISSUED", command="Claim", details={"at": "noon"}),
        Code.FAILED_PRECONDITION,
        "PRESCRIPTION_EXPIRED",
        {"state": "ISSUED", "command": "Claim", "allowed": "", "at": "noon"},
    ),
    (
        kernel.Refusal("NOT_AUTHOR", "not the author", kind=RefusalKind.PERMISSION),
        Code.PERMISSION_DENIED,
        "NOT_AUTHOR",
        {},
    ),
    (
        kernel.Refusal("INVALID_NPI", "check digit", kind=RefusalKind.ARGUMENT, field="prescriber.npi"),
        Code.INVALID_ARGUMENT,
        "INVALID_NPI",
        {"field": "prescriber.npi"},
    ),
    (
        kernel.TransitionRefused(state="DRAFT", command="Claim", allowed=["Sign", "Amend"]),
        Code.FAILED_PRECONDITION,
        "INVALID_STATE_TRANSITION",
        {"state": "DRAFT", "command": "Claim", "allowed": "Sign,Amend"},
    ),
    (kernel.InvalidCommand("a.b", "must be c"), Code.INVALID_ARGUMENT, "INVALID_FIELD", {"field": "a.b"}),
    (kernel.StreamNotFound("prescription-1"), Code.NOT_FOUND, "NOT_FOUND", {"resource": "prescription-1"}),
    (
        kernel.VersionConflict("prescription-1", expected=3, actual=5),
        Code.ABORTED,
        "VERSION_CONFLICT",
        {"expected": "3", "actual": "5"},
    ),
    (
        kernel.IdempotencyMismatch("prescription-1", "id-1"),
        Code.ALREADY_EXISTS,
        "IDEMPOTENCY_MISMATCH",
        {"request_id": "id-1"},
    ),
    (
        kernel.OutcomeUnknown("prescription-1", "id-1", SECRET),
        Code.UNAVAILABLE,
        "OUTCOME_UNKNOWN",
        {"request_id": "id-1"},
    ),
    (kernel.StoreUnavailable("cassandra", SECRET), Code.UNAVAILABLE, "STORE_UNAVAILABLE", {}),
    (kernel.StoreMismatch("cassandra", expected="a", actual=SECRET), Code.INTERNAL, "STORE_MISMATCH", {}),
    (kernel.Overloaded("appends", at=9), Code.RESOURCE_EXHAUSTED, "OVERLOADED", {"limit": "appends", "at": "9"}),
    (
        kernel.ConsumerTooSlow("waiting changes", at=7, token=b"where"),
        Code.RESOURCE_EXHAUSTED,
        "CONSUMER_TOO_SLOW",
        {"limit": "waiting changes", "at": "7", "resume_token": "d2hlcmU="},
    ),
    (kernel.PublishFailed("topic", SECRET), Code.UNAVAILABLE, "PUBLISH_FAILED", {}),
    (
        kernel.TokenNotReached("rows", "prescription-1", wanted=7, reached=4),
        Code.DEADLINE_EXCEEDED,
        "TOKEN_NOT_REACHED",
        {"wanted": "7", "reached": "4"},
    ),
    (kernel.BadPageToken("cannot be read"), Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN", {"field": "page_token"}),
    (kernel.EventUnreadable(SECRET), Code.INTERNAL, "EVENT_UNREADABLE", {}),
    (kernel.UnknownEventType("Odd"), Code.INTERNAL, "UNKNOWN_EVENT_TYPE", {"event_type": "Odd"}),
    (
        kernel.UnknownSchemaVersion("Odd", version=9, newest=3),
        Code.INTERNAL,
        "UNKNOWN_SCHEMA_VERSION",
        {"schema_version": "9", "schema_version_newest": "3"},
    ),
    (kernel.UpcastFailed("Odd", version=1, cause=SECRET), Code.INTERNAL, "UPCAST_FAILED", {"event_type": "Odd"}),
    (kernel.UpcasterGap([SECRET]), Code.INTERNAL, "UPCASTER_GAP", {}),
    (
        kernel.Divergence("prescription-1", version=2, expected=SECRET, actual=SECRET),
        Code.DATA_LOSS,
        "DIVERGENCE",
        {"stream": "prescription-1", "version": "2"},
    ),
    (
        edge.RequestTooLarge(size=11, at_most=10),
        Code.RESOURCE_EXHAUSTED,
        "MESSAGE_TOO_LARGE",
        {"bytes": "11", "limit": "10"},
    ),
    (
        edge.RequestInvalid([edge.Violation("a", "string.uuid", "must be a valid UUID")]),
        Code.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        {"violations": "1"},
    ),
    (
        edge.MetadataInvalid("erx-actor-id", "must be given"),
        Code.INVALID_ARGUMENT,
        "INVALID_METADATA",
        {"key": "erx-actor-id"},
    ),
    (edge.DeadlinePassed("/a/B", seconds=1), Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED", {"method": "/a/B"}),
    (
        edge.OutcomeNotKnown("/a/B", seconds=1, request_id="id-1"),
        Code.UNAVAILABLE,
        "OUTCOME_UNKNOWN",
        {"method": "/a/B", "request_id": "id-1"},
    ),
    (edge.MethodUnknown("/a/B"), Code.UNIMPLEMENTED, "METHOD_UNKNOWN", {"method": "/a/B"}),
    (edge.ServerDraining(), Code.UNAVAILABLE, "SERVER_DRAINING", {}),
    (edge.BindFailed("127.0.0.1:1", SECRET), Code.INTERNAL, "BIND_FAILED", {}),
    (edge.RemoteError(Code.UNKNOWN, SECRET), Code.INTERNAL, "REMOTE_ERROR", {}),
    (ValueError(SECRET), Code.INTERNAL, "INTERNAL", {}),
]

cases = pytest.mark.parametrize(
    ("error", "code", "reason", "metadata"), CASES, ids=[f"{type(case[0]).__name__}-{case[2]}" for case in CASES]
)


def details_of(error: BaseException) -> dict[str, bytes]:
    status = status_pb2.Status.FromString(row_of(type(error)).show(error).trailers("d"))
    return {detail.type_url.rpartition(".")[2]: detail.value for detail in status.details}


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_class_of_both_trees_has_a_row_and_a_case(kind: type[KernelError]) -> None:
    assert kind in TABLE
    assert any(type(error) is kind for error, *_ in CASES)


@cases
def test_error_is_shown_as_the_table_says(
    error: BaseException, code: Code, reason: str, metadata: dict[str, str]
) -> None:
    shown = row_of(type(error)).show(error)
    assert (shown.code, shown.reason) == (code, reason)
    assert metadata.items() <= shown.metadata.items()


@cases
def test_status_carries_an_error_info_that_keeps_the_standard_s_form(
    error: BaseException, code: Code, reason: str, metadata: dict[str, str]
) -> None:
    info = error_details_pb2.ErrorInfo.FromString(details_of(error)["ErrorInfo"])
    assert (info.reason, info.domain) == (reason, "d")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", info.reason)
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_-]{0,63}", key) for key in info.metadata)


@cases
def test_retry_info_is_there_exactly_for_retriable_errors(
    error: BaseException, code: Code, reason: str, metadata: dict[str, str]
) -> None:
    assert ("RetryInfo" in details_of(error)) is bool(getattr(error, "retriable", False))


@cases
def test_what_names_stores_hosts_or_payloads_does_not_reach_the_caller(
    error: BaseException, code: Code, reason: str, metadata: dict[str, str]
) -> None:
    shown = row_of(type(error)).show(error)
    assert SECRET not in shown.message
    assert SECRET.encode() not in shown.trailers("d")


@cases
def test_internal_and_lossy_answers_are_always_explained_in_the_log(
    error: BaseException, code: Code, reason: str, metadata: dict[str, str]
) -> None:
    assert row_of(type(error)).hidden or code not in (Code.INTERNAL, Code.DATA_LOSS, Code.UNKNOWN)


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (CASES[0][0], "PreconditionFailure"),
        (CASES[2][0], "BadRequest"),
        (CASES[3][0], "PreconditionFailure"),
        (CASES[4][0], "BadRequest"),
        (CASES[5][0], "ResourceInfo"),
    ],
    ids=["refusal", "refused argument", "transition", "invalid command", "not found"],
)
def test_the_detail_that_fits_comes_beside_the_error_info(error: BaseException, detail: str) -> None:
    assert detail in details_of(error)


def test_subclass_of_an_adapter_takes_the_row_of_its_parent() -> None:
    class NodeDown(kernel.StoreUnavailable):
        pass

    assert row_of(NodeDown) is TABLE[kernel.StoreUnavailable]


def test_rule_id_becomes_a_reason() -> None:
    assert rule_reason("string.min_len") == "STRING_MIN_LEN"
