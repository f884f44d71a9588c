"""From a driver's error to the kernel's, once, at the edge of this package.

::

    KernelError
    ├── StoreUnavailable      (kernel) no answer, no connection, a lock or statement out of time; rolled back
    ├── StoreMismatch         (kernel) wrong password, database, rights or tables; starting is refused
    └── RowRefused            Postgres cannot hold a value (a text with NUL, a sum beyond 64 bit, a null in a column without, a
                              key that no index has room for)

What is none of these is a mistake in a statement of ours and passes as psycopg raised it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from eventkernel.errors import KernelError, StoreMismatch, StoreUnavailable

STORE = "postgres"

# While it connects, libpq gives the server's refusal as text alone, without its SQLSTATE.
_NOT_OURS = re.compile(
    r"database \".*\" does not exist|role \".*\" does not exist|password authentication failed|no password supplied"
    r"|authentication failed|no pg_hba\.conf entry|permission denied for database|is not permitted to log in"
    r"|server does not support SSL|certificate verify failed|does not match host name|invalid connection option"
)

_MISMATCHES = (
    pg.InvalidAuthorizationSpecification,
    pg.InvalidPassword,
    pg.InvalidCatalogName,
    pg.InvalidSchemaName,
    pg.InsufficientPrivilege,
    pg.UndefinedTable,
    pg.UndefinedColumn,
    pg.DatatypeMismatch,
)
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    pg.ProgramLimitExceeded,  # psycopg counts it as operational, but the same row meets the same limit again
)
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    pg.FeatureNotSupported,  # "cached plan must not change result type": the table was altered under us
)


class RowRefused(KernelError):
    """Postgres refuses a value. The same row will be refused again; its event needs a person."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{STORE} refuses a row: {cause}")
        self.cause = cause


def translated(error: psycopg.Error) -> Exception:
    """The kernel's error, most specific first; what is nobody's mistake but ours comes back as it is."""
    cause = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, _MISMATCHES) or (error.sqlstate is None and _NOT_OURS.search(cause)):
        return StoreMismatch(STORE, expected="a database this program may use", actual=cause)
    if isinstance(error, _REFUSALS):
        return RowRefused(cause)
    if isinstance(error, _UNAVAILABLE):
        return StoreUnavailable(STORE, cause)
    return error


@contextmanager
def translating() -> Iterator[None]:
    """Turn the driver's errors into the kernel's."""
    try:
        yield
    except psycopg.Error as error:
        found = translated(error)
        if found is error:
            raise
        raise found from error
