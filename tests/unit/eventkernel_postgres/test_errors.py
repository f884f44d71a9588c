import psycopg
import pytest
from psycopg import errors as pg

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_postgres.errors import RowRefused, translated, translating

FATAL = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  '


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pg.InvalidPassword("x"), StoreMismatch),
        (pg.InvalidAuthorizationSpecification("x"), StoreMismatch),
        (pg.InvalidCatalogName("x"), StoreMismatch),
        (pg.InvalidSchemaName("x"), StoreMismatch),
        (pg.InsufficientPrivilege("x"), StoreMismatch),
        (pg.UndefinedTable("x"), StoreMismatch),
        (pg.UndefinedColumn("x"), StoreMismatch),
        (pg.DatatypeMismatch("x"), StoreMismatch),
        (psycopg.OperationalError(FATAL + 'password authentication failed for user "erx"'), StoreMismatch),
        (psycopg.OperationalError(FATAL + 'database "b" does not exist'), StoreMismatch),
        (psycopg.OperationalError(FATAL + 'role "r" does not exist'), StoreMismatch),
        (psycopg.OperationalError(FATAL + 'no pg_hba.conf entry for host "10.0.0.1"'), StoreMismatch),
        (psycopg.OperationalError("SSL error: certificate verify failed"), StoreMismatch),
        (psycopg.OperationalError(FATAL + "the database system is starting up"), StoreUnavailable),
        (psycopg.OperationalError(FATAL + "sorry, too many clients already"), StoreUnavailable),
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreUnavailable),
        (psycopg.InterfaceError("the connection is closed"), StoreUnavailable),
        (pg.ConnectionTimeout("x"), StoreUnavailable),
        (pg.AdminShutdown("x"), StoreUnavailable),
        (pg.DeadlockDetected("x"), StoreUnavailable),
        (pg.SerializationFailure("x"), StoreUnavailable),
        (pg.LockNotAvailable("x"), StoreUnavailable),
        (pg.QueryCanceled("x"), StoreUnavailable),
        (pg.DiskFull("x"), StoreUnavailable),
        (pg.ReadOnlySqlTransaction("x"), StoreUnavailable),
        (pg.IdleInTransactionSessionTimeout("x"), StoreUnavailable),
        (pg.FeatureNotSupported("cached plan must not change result type"), StoreUnavailable),
        (pg.NotNullViolation("x"), RowRefused),
        (pg.NumericValueOutOfRange("x"), RowRefused),
        (pg.ProgramLimitExceeded("index row size 3088 exceeds btree version 4 maximum 2704"), RowRefused),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), RowRefused),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_drivers_error_becomes_the_kernels(error: psycopg.Error, expected: type[Exception]) -> None:
    found = translated(error)
    assert type(found) is expected
    assert str(error) in str(found)
    with pytest.raises(expected) as caught, translating():
        raise error
    assert caught.value.__cause__ is error


def test_a_mistake_in_a_statement_of_ours_passes_as_it_is() -> None:
    error = pg.SyntaxError("x")
    with pytest.raises(pg.SyntaxError) as caught, translating():
        raise error
    assert caught.value is error
