"""Opening one of the embedded files: settings, its identity, and its numbered migrations.

A file carries its kind in ``PRAGMA application_id`` and the number of migrations applied in ``PRAGMA user_version``, both in
the header (https://sqlite.org/pragma.html). A file of another kind, or with more migrations than this program knows, is
refused with ``StoreMismatch`` before anything is written to it.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventkernel.errors import KernelError, StoreMismatch, StoreUnavailable

BUSY_TIMEOUT_SECONDS = 5.0
OPEN_ATTEMPTS_MAX = 20
READER_MMAP_BYTES = 256 * 1024 * 1024
CACHE_KIBIBYTES = 16 * 1024
STATEMENTS_CACHED = 256

_RETRIED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NOT_OURS = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file is: the store's name in errors, its four-byte id, and its migrations, each a sequence of statements.

    Migrations are added at the end and never edited: the count in the file says which ones it has had.
    """

    store: str
    application_id: int
    migrations: tuple[Sequence[str], ...]


def open_writer(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open for writing, creating and migrating as needed; any number of processes may do so at once.

    A file that is as it should be is opened without waiting for whoever writes to it.
    The connection is in autocommit mode (``BEGIN`` is explicit) and may be used from any thread, one at a time.
    ``synchronous=FULL`` makes every COMMIT wait for the WAL's fsync: what was acknowledged survives a crash of the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise translated(schema.store, error) from error
    try:
        _until_not_busy(connection, schema)
    except sqlite3.Error as error:
        connection.close()
        raise translated(schema.store, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open for reading committed rows of a file that ``open_writer`` has prepared; writing through it is refused."""
    try:
        connection = _connect(path)
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA mmap_size = {READER_MMAP_BYTES}")
    except sqlite3.Error as error:
        raise translated(schema.store, error) from error
    return connection


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error, 0 where the module raised it on its own (https://sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock, so that trying again is right."""
    return primary_code(error) in _RETRIED


def translated(store: str, error: sqlite3.Error) -> KernelError:
    """The kernel's error for a driver's error outside of a commit."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if primary_code(error) in _NOT_OURS:
        return StoreMismatch(store, expected="a sound SQLite file", actual=f"{name}: {error}")
    return StoreUnavailable(store, f"{name}: {error}")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_CACHED,
    )
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    return connection


def _until_not_busy(connection: sqlite3.Connection, schema: Schema) -> None:
    """Where two processes create a file, changing its journal mode answers SQLITE_BUSY without asking the busy timeout."""
    for attempt in range(OPEN_ATTEMPTS_MAX):
        try:
            _prepare(connection, schema)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or attempt == OPEN_ATTEMPTS_MAX - 1:
                raise
            time.sleep(0.01 * (attempt + 1))
        else:
            return


def _prepare(connection: sqlite3.Connection, schema: Schema) -> None:
    with _transaction(connection, "BEGIN"):
        applied = _check(connection, schema)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if applied == len(schema.migrations):
        return
    with _transaction(connection, "BEGIN IMMEDIATE"):
        _migrate(connection, schema, _check(connection, schema))


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.commit()
    finally:
        connection.rollback()


def _check(connection: sqlite3.Connection, schema: Schema) -> int:
    """The number of migrations that the file has had."""
    kind = _pragma(connection, "application_id")
    applied = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if kind != schema.application_id and (kind or applied or tables):
        raise StoreMismatch(schema.store, expected=f"application id {schema.application_id:#x}", actual=f"{kind:#x}")
    if applied > len(schema.migrations):
        raise StoreMismatch(
            schema.store,
            expected=f"at most {len(schema.migrations)} migrations",
            actual=f"{applied}, by a newer program",
        )
    return applied


def _migrate(connection: sqlite3.Connection, schema: Schema, applied: int) -> None:
    for statements in schema.migrations[applied:]:
        for statement in statements:
            connection.execute(statement)
    if applied < len(schema.migrations):
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {len(schema.migrations)}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
