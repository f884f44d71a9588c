import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from eventkernel.errors import Overloaded, StoreUnavailable
from eventkernel.ports.event_store import Position, Unknown
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_sqlite import writer as writer_module
from eventkernel_sqlite.connection import Schema, open_writer
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.writer import CommitInDoubt, Writer

SCHEMA = Schema("t.db", 0x74657374, (("CREATE TABLE t (id INTEGER PRIMARY KEY)",),))


class Disk(sqlite3.Connection):
    """A connection whose COMMIT can be made to fail, and that counts commits."""

    failures: int = 0
    commits: int = 0

    def commit(self) -> None:
        if self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("disk I/O error")
        self.commits += 1
        super().commit()


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def numbers(path: Path) -> list[int]:
    reader = sqlite3.connect(path)
    try:
        return [number for (number,) in reader.execute("SELECT id FROM t ORDER BY id")]
    finally:
        reader.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    open_writer(tmp_path / "t.db", SCHEMA).close()
    return tmp_path / "t.db"


@pytest.fixture
def disk(path: Path) -> Disk:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Disk)


@pytest.fixture(params=[1.0, -1.0], ids=["commit on the loop", "commit in the thread"])
async def writer(disk: Disk, request: pytest.FixtureRequest) -> AsyncIterator[Writer]:
    opened = Writer(disk, "t.db", near_commit_seconds_max=request.param)
    yield opened
    await opened.close()


async def test_what_gathers_is_committed_together_and_in_order(writer: Writer, disk: Disk, path: Path) -> None:
    assert await asyncio.gather(*(writer.run(insert(number)) for number in range(200))) == list(range(200))
    assert disk.commits == 1
    assert numbers(path) == list(range(200))


async def test_callers_who_come_one_by_one_share_a_commit(writer: Writer, disk: Disk, path: Path) -> None:
    tasks = []
    for number in range(20):
        tasks.append(asyncio.create_task(writer.run(insert(number))))
        await turns(3)
    await asyncio.gather(*tasks)
    assert disk.commits == 1
    assert numbers(path) == list(range(20))


async def test_a_caller_who_is_alone_waits_for_nobody_but_now_and_then(disk: Disk) -> None:
    writer = Writer(disk, "t.db", near_commit_seconds_max=1.0)
    lingered = 0
    for number in range(writer_module.LINGER_ALONE_EVERY * 2):
        task = asyncio.create_task(writer.run(insert(number)))
        await turns(3)
        lingered += disk.commits == number
        await task
    await writer.close()
    assert lingered == 2
    assert disk.commits == writer_module.LINGER_ALONE_EVERY * 2


async def test_a_batch_has_a_named_limit(writer: Writer, disk: Disk) -> None:
    await asyncio.gather(*(writer.run(insert(number)) for number in range(writer_module.BATCH_ITEMS_MAX + 1)))
    assert disk.commits == 2


async def test_work_that_fails_takes_nobody_with_it(writer: Writer, path: Path) -> None:
    answers = await asyncio.gather(*(writer.run(insert(number)) for number in (1, 2, 1, 3)), return_exceptions=True)
    assert [answers[0], answers[1], answers[3]] == [1, 2, 3]
    assert isinstance(answers[2], StoreUnavailable)
    assert numbers(path) == [1, 2, 3]


async def test_what_the_work_raises_comes_back_as_it_is(writer: Writer, path: Path) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (77)")
        raise LookupError("no")

    answers = await asyncio.gather(
        writer.run(insert(1)), writer.run(refuse), writer.run(insert(2)), return_exceptions=True
    )
    assert isinstance(answers[1], LookupError)
    assert numbers(path) == [1, 2]


async def test_a_failed_commit_is_in_doubt_for_everyone_in_it_and_the_next_one_works(
    writer: Writer, disk: Disk, path: Path
) -> None:
    disk.failures = 1
    answers = await asyncio.gather(writer.run(insert(1)), writer.run(insert(2)), return_exceptions=True)
    assert all(isinstance(answer, CommitInDoubt) for answer in answers)
    assert await writer.run(insert(3)) == 3
    assert numbers(path) == [3]


async def test_another_process_s_lock_is_waited_for_without_holding_the_loop(writer: Writer, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(writer.run(insert(1)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    assert await writing == 1


async def test_a_lock_that_is_never_given_is_an_error_that_changed_nothing(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LOCK_WAIT_SECONDS_MAX", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="lock"):
        await writer.run(insert(1))
    other.execute("ROLLBACK")
    other.close()
    assert await writer.run(insert(2)) == 2
    assert numbers(path) == [2]


async def test_a_full_queue_refuses(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_ITEMS_MAX", 3)
    answers = await asyncio.gather(*(writer.run(insert(number)) for number in range(5)), return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers] == [False, False, False, True, True]


async def test_closing_finishes_what_waits_and_refuses_what_comes(writer: Writer, path: Path) -> None:
    waiting = [asyncio.create_task(writer.run(insert(number))) for number in range(600)]
    await asyncio.sleep(0)
    await writer.close()
    assert [task.result() for task in waiting] == list(range(600))
    assert numbers(path) == list(range(600))
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.run(insert(1000))


async def test_a_cancelled_caller_does_not_disturb_the_others(writer: Writer, path: Path) -> None:
    tasks = [asyncio.create_task(writer.run(insert(number))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [0, 2]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert {0, 2} <= set(numbers(path))


async def test_a_slow_disk_is_committed_to_in_the_thread_and_the_loop_goes_on(disk: Disk) -> None:
    writer = Writer(disk, "t.db", near_commit_seconds_max=-1.0)
    await writer.run(insert(0))
    release = threading.Event()
    quick = disk.commit

    def slow() -> None:
        assert release.wait(10)
        quick()

    disk.commit = slow  # type: ignore[method-assign]
    writing = asyncio.create_task(writer.run(insert(1)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not writing.done()
    release.set()
    assert await writing == 1
    await writer.close()


async def test_an_append_whose_commit_fails_has_an_unknown_outcome_and_a_retry_settles_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "journal.db", JOURNAL)
    connection = sqlite3.connect(tmp_path / "journal.db", isolation_level=None, check_same_thread=False, factory=Disk)
    await database._writer.close()
    database._writer = Writer(connection, "journal.db")
    store, stream = SqliteEventStore(database), new_stream()
    entry = new_entry(stream)
    connection.failures = 1
    assert isinstance(await store.append(stream, Position(0), [entry]), Unknown)
    await store.append(stream, Position(0), [entry])
    assert [event.meta.command_id for event in (await store.load(stream)).events] == [entry.command_id]
    await store.close()
