import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_sqlite import connection as connection_module
from eventkernel_sqlite.connection import Schema, open_reader, open_writer, primary_code, translated
from eventkernel_sqlite.database import Database

FIRST = ("CREATE TABLE a (id INTEGER PRIMARY KEY)", "INSERT INTO a VALUES (1)")
SECOND = ("CREATE TABLE b (id INTEGER PRIMARY KEY)",)
ONE = Schema("x.db", 0x11, (FIRST,))
TWO = Schema("x.db", 0x11, (FIRST, SECOND))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "x.db", ONE)
    yield opened
    await opened.close()


def test_a_new_file_waits_for_the_disk_at_every_commit_and_keeps_a_wal(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "deeper" / "x.db", ONE)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "2 is FULL"
    connection.close()


def test_migrations_run_once_and_only_those_that_are_missing(tmp_path: Path) -> None:
    for schema in (ONE, ONE, TWO, TWO):
        open_writer(tmp_path / "x.db", schema).close()
    connection = open_writer(tmp_path / "x.db", TWO)
    assert connection.execute("SELECT count(*) FROM a, (SELECT count(*) FROM b)").fetchone() == (1,)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    open_writer(tmp_path / "x.db", ONE).close()
    broken = Schema("x.db", 0x11, (FIRST, ("CREATE TABLE c (id INTEGER PRIMARY KEY)", "CREATE TABLE c (id INTEGER)")))
    with pytest.raises(StoreUnavailable):
        open_writer(tmp_path / "x.db", broken)
    connection = open_writer(tmp_path / "x.db", TWO)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'c'").fetchone() is None
    connection.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    open_writer(tmp_path / "x.db", TWO).close()
    with pytest.raises(StoreMismatch, match="at most 1 migrations, found 2"):
        open_writer(tmp_path / "x.db", ONE)


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "x.db")
    foreign.execute("CREATE TABLE theirs (id INTEGER)")
    foreign.close()
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(StoreMismatch, match="application id 0x11"):
        open_writer(tmp_path / "x.db", ONE)
    assert (tmp_path / "x.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"certainly not a database " * 100)
    with pytest.raises(StoreMismatch, match="a sound SQLite file"):
        open_writer(tmp_path / "x.db", ONE)


def test_a_folder_in_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    with pytest.raises(StoreUnavailable):
        open_writer(tmp_path / "x.db", ONE)


async def test_many_openings_of_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    opened = await asyncio.gather(*(asyncio.to_thread(open_writer, tmp_path / "x.db", TWO) for _ in range(12)))
    for connection in opened:
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)
        connection.close()


def test_a_file_that_is_as_it_should_be_is_opened_while_somebody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_SECONDS", 0.0)
    monkeypatch.setattr(connection_module, "OPEN_ATTEMPTS_MAX", 1)
    first = open_writer(tmp_path / "x.db", ONE)
    first.execute("BEGIN IMMEDIATE")
    open_writer(tmp_path / "x.db", ONE).close()
    first.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_writer(tmp_path / "x.db", ONE).close()
    reader = open_reader(tmp_path / "x.db", ONE)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO a VALUES (2)")
    reader.close()


@pytest.mark.parametrize(
    ("code", "kernel_error"),
    [
        (sqlite3.SQLITE_BUSY, StoreUnavailable),
        (sqlite3.SQLITE_LOCKED, StoreUnavailable),
        (sqlite3.SQLITE_FULL, StoreUnavailable),
        (sqlite3.SQLITE_IOERR, StoreUnavailable),
        (sqlite3.SQLITE_CANTOPEN, StoreUnavailable),
        (sqlite3.SQLITE_CORRUPT, StoreMismatch),
        (sqlite3.SQLITE_NOTADB, StoreMismatch),
        (0, StoreUnavailable),
    ],
)
def test_each_error_of_the_driver_has_its_kernel_error(code: int, kernel_error: type[Exception]) -> None:
    error = sqlite3.OperationalError("why")
    if code:
        error.sqlite_errorcode = code | 0x100
    assert primary_code(error) == code
    assert type(translated("x.db", error)) is kernel_error


async def test_reads_see_what_is_committed_and_a_long_read_sees_one_snapshot(database: Database) -> None:
    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = connection.execute("SELECT count(*) FROM a").fetchone()[0]
        asyncio.run_coroutine_threadsafe(write(), loop).result(10)
        return first, connection.execute("SELECT count(*) FROM a").fetchone()[0]

    async def write() -> None:
        await database.write(lambda connection: connection.execute("INSERT INTO a VALUES (2)").rowcount)

    loop = asyncio.get_running_loop()
    assert await database.read(twice) == (1, 1)
    assert database.read_now(lambda connection: connection.execute("SELECT count(*) FROM a").fetchone()) == (2,)


async def test_errors_of_reads_are_the_kernels(database: Database) -> None:
    with pytest.raises(StoreUnavailable):
        database.read_now(lambda connection: connection.execute("SELECT * FROM absent"))
    with pytest.raises(StoreUnavailable):
        await database.read(lambda connection: connection.execute("SELECT * FROM absent"))


async def test_a_closed_database_refuses_and_may_be_closed_again(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(StoreUnavailable):
        database.read_now(lambda connection: None)
    with pytest.raises(StoreUnavailable):
        await database.read(lambda connection: None)
    with pytest.raises(StoreUnavailable):
        await database.write(lambda connection: None)
