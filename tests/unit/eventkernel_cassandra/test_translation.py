"""What every kind of driver error becomes. Whatever is in no table is in doubt."""

import inspect
from typing import Any

import pytest
from acsylla import errors as acsylla_errors
from cassandra import (
    AuthenticationFailed,
    CoordinationFailure,
    InvalidRequest,
    OperationTimedOut,
    ReadTimeout,
    Unauthorized,
    Unavailable,
    WriteTimeout,
    WriteType,
)
from cassandra import ConsistencyLevel as Level
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException, ConnectionShutdown
from cassandra.protocol import (
    BadCredentials,
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ServerError,
    SyntaxException,
)

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_cassandra import acsylla_session, driver_session
from eventkernel_cassandra.errors import InDoubt, NotExecuted, ServerRefused
from eventkernel_cassandra.session import Kind, Statement

CONDITIONAL = Statement("append:1", "", Kind.CONDITIONAL)
PLAIN = Statement("insert_pending", "", Kind.WRITE)
SERVER_DOWN = NoHostAvailable("nobody", {"127.0.0.1": ConnectionShutdown("gone")})
WRONG_PASSWORD = NoHostAvailable("nobody", {"127.0.0.1": AuthenticationFailed("no")})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SERVER_DOWN, NotExecuted),
        (NoHostAvailable("shut down", []), NotExecuted),
        (WRONG_PASSWORD, ServerRefused),
        (AuthenticationFailed("no"), ServerRefused),
        (BadCredentials(0x0100, "no", None), ServerRefused),
        (SyntaxException(0x2000, "what", None), ServerRefused),
        (InvalidRequest("keyspace nope does not exist"), ServerRefused),
        (Unauthorized("no"), ServerRefused),
        (Unavailable("few", consistency=Level.SERIAL), NotExecuted),
        (Unavailable("few", consistency=Level.LOCAL_SERIAL), NotExecuted),
        (Unavailable("few at the commit", consistency=Level.LOCAL_QUORUM), InDoubt),
        (OperationTimedOut(), InDoubt),
        (WriteTimeout("late", write_type=WriteType.SIMPLE), InDoubt),
        (WriteTimeout("late", write_type=WriteType.CAS), InDoubt),
        (ReadTimeout("while reading the conditions"), InDoubt),
        (CoordinationFailure("failed"), InDoubt),
        (ErrorMessage(0x1700, "CAS write unknown", None), InDoubt),
        (OverloadedErrorMessage(0x1001, "hints", None), InDoubt),
        (IsBootstrappingErrorMessage(0x1002, "soon", None), InDoubt),
        (ServerError(0x0000, "oops", None), InDoubt),
        (ConnectionShutdown("while it was under way"), InDoubt),
        (ConnectionException("while it was under way"), InDoubt),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_the_drivers_errors_of_a_conditional_write(error: Exception, expected: type[Exception]) -> None:
    assert type(driver_session._translated(CONDITIONAL, error)) is expected


CERTAIN = {
    *acsylla_session.REFUSED,
    *acsylla_session.NOT_EXECUTED,
    acsylla_errors.CassErrorServerUnavailable,
}
ALL: list[Any] = [
    kind
    for _, kind in inspect.getmembers(acsylla_errors, inspect.isclass)
    if issubclass(kind, acsylla_errors.CassException)
]


@pytest.mark.parametrize("kind", ALL)
def test_acsyllas_errors_of_a_conditional_write(kind: type[Exception]) -> None:
    error = acsylla_session._translated(CONDITIONAL, kind("Unavailable: Cannot achieve consistency level SERIAL"))
    if issubclass(kind, acsylla_session.REFUSED):
        assert isinstance(error, ServerRefused)
    elif kind in CERTAIN:
        assert isinstance(error, NotExecuted)
    else:
        assert isinstance(error, InDoubt)


@pytest.mark.parametrize(
    ("level", "expected"), [("SERIAL", NotExecuted), ("LOCAL_SERIAL", NotExecuted), ("LOCAL_QUORUM", InDoubt)]
)
def test_too_few_replicas_are_certain_before_the_decision_and_not_at_the_commit(
    level: str, expected: type[Exception]
) -> None:
    error = acsylla_errors.CassErrorServerUnavailable(f"Unavailable: Cannot achieve consistency level {level}")
    assert type(acsylla_session._translated(CONDITIONAL, error)) is expected
    assert type(acsylla_session._translated(PLAIN, error)) is NotExecuted


def test_too_few_replicas_for_a_plain_write_are_found_out_before_it_is_sent() -> None:
    error = driver_session._translated(PLAIN, Unavailable("few", consistency=Level.LOCAL_QUORUM))
    assert type(error) is NotExecuted


@pytest.mark.parametrize("error", [OperationTimedOut(), ReadTimeout("late"), SERVER_DOWN])
def test_a_read_without_an_answer_has_changed_nothing(error: Exception) -> None:
    assert type(driver_session._unanswered(PLAIN, error)) is NotExecuted


def test_the_kernel_sees_unavailable_and_mismatch_and_never_a_doubt() -> None:
    assert issubclass(NotExecuted, StoreUnavailable)
    assert issubclass(ServerRefused, StoreMismatch)
    assert not issubclass(InDoubt, StoreUnavailable)
