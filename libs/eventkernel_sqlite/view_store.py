"""Read models in one SQLite file.

Writing goes through one connection and one thread, a transaction at a time in this process and by ``BEGIN IMMEDIATE`` among
processes; the write lock of the whole file is what makes checkpoints "locked until the end of the transaction". Readings
have connections of their own and, thanks to the WAL, neither wait for the writer nor hold it up.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eventkernel.envelope import from_micros
from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import (
    Checkpoint,
    ParkedEvent,
    StreamChange,
    ViewReading,
    ViewStatus,
    ViewStore,
    ViewTransaction,
)
from eventkernel.view import View
from eventkernel_sqlite.connection import is_busy, translated
from eventkernel_sqlite.prepared_views import PreparedViews
from eventkernel_sqlite.view_file import STORE, make_tables, open_for_reading, open_for_writing
from eventkernel_sqlite.view_reading import SqliteViewReading
from eventkernel_sqlite.view_rows import DELETE_PARKED, add_parked, load_checkpoints, load_parked, save_steps

T = TypeVar("T")

READERS_MAX = 8
BEGIN_ATTEMPTS_MAX = 4

SELECT_STATUS = """
    SELECT c.streams, c.events_applied, c.updated_at,
           (SELECT count(*) FROM (SELECT DISTINCT tenant, stream FROM view_parked WHERE view = c.view)),
           coalesce((SELECT error FROM view_parked WHERE view = c.view ORDER BY parked_at DESC LIMIT 1), '')
    FROM view_catalogue c WHERE c.view = ?
"""


class SqliteViewStore:
    """Opens the file and makes the shared tables; ``prepare`` makes those of the views."""

    def __init__(self, path: Path) -> None:
        self._writer = open_for_writing(path)
        self._writing = asyncio.Lock()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="views-writer")
        self._read_threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="views-reader")
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._prepared = PreparedViews()
        self._closed = False

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Make the tables and indexes that are missing, in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            make_tables(connection, views)

        async with self._session() as session:
            await session.run(work)
        for view in views:
            self._prepared.add(view)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ViewTransaction]:
        """Begins with the first call that needs the file; commits at the end of the block."""
        async with self._session() as session:
            yield SqliteViewTransaction(session, self._prepared)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ViewReading]:
        """A snapshot, taken by the first read of the block."""
        self._check_open()
        async with self._readers:
            connection = self._idle.pop() if self._idle else open_for_reading(self._path)
            reading = SqliteViewReading(connection, self._read_threads, self._prepared)
            try:
                yield reading
            finally:
                await reading.end()
                self._idle.append(connection)

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts per view, from counters that move with the checkpoints."""
        async with self.reading() as reading:
            assert isinstance(reading, SqliteViewReading)
            return await reading.run(lambda connection: [self._status(connection, view) for view in views])

    async def close(self) -> None:
        """Wait for the transaction and the readings under way, then close every connection."""
        if self._closed:
            return
        self._closed = True
        async with self._writing:
            await asyncio.to_thread(self._write_thread.shutdown)
            self._writer.close()
        for _ in range(READERS_MAX):
            await self._readers.acquire()
        await asyncio.to_thread(self._read_threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    def _status(self, connection: sqlite3.Connection, view: View[Any, Any]) -> ViewStatus:
        self._prepared.of(view)
        streams, events, updated, parked, error = connection.execute(SELECT_STATUS, (view.table,)).fetchone()
        updated_at = None if updated is None else from_micros(updated)
        return ViewStatus(view.name, view.version, streams, events, parked, error, updated_at)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator["_Session"]:
        self._check_open()
        async with self._writing:
            session = _Session(self._writer, self._write_thread)
            try:
                yield session
            except BaseException:
                await session.roll_back()
                raise
            await session.commit()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(STORE, "closed")


class SqliteViewTransaction:
    """Each call crosses to the writer's thread once."""

    def __init__(self, session: "_Session", prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared
        self._versions: dict[str, dict[StreamId, int]] = {}

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints, under the file's write lock."""
        tables = self._prepared.of(view)
        found = await self._session.run(lambda connection: load_checkpoints(connection, tables, streams))
        known = {stream: checkpoint.version for stream, checkpoint in found.items()}
        self._versions[view.table] = self._versions.get(view.table, {}) | known
        return found

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """One statement a table and portion of rows."""
        tables = self._prepared.of(view)
        versions = self._versions.setdefault(view.table, {})
        if steps:
            await self._session.run(lambda connection: save_steps(connection, tables, steps, versions))

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes."""
        return await self._session.run(lambda connection: load_parked(connection, view.table, streams))

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Add to the lanes."""
        await self._session.run(lambda connection: add_parked(connection, view.table, events))

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Shorten a lane."""
        row = (view.table, stream.tenant, stream.name, up_to)
        await self._session.run(lambda connection: connection.execute(DELETE_PARKED, row).rowcount)


class _Session:
    """One transaction on the writer's connection, begun when it is first used.

    The thread runs one call after another. So a caller that is cancelled in the middle leaves no disorder: its roll-back is
    queued behind the call it no longer waits for, and before anything of the next transaction.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._begun = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of work inside the transaction."""
        return await self._in_thread(lambda: self._work(work))

    async def commit(self) -> None:
        """Durable when it returns. Raises ``StoreUnavailable`` with everything rolled back."""
        if self._begun:
            await self._in_thread(self._commit)

    async def roll_back(self) -> None:
        """Undo everything."""
        await self._in_thread(self._roll_back)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(call))

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if not self._begun:
                self._begin()
            self._check_whole()
            return work(self._connection)
        except sqlite3.Error as error:
            raise translated(STORE, error) from error

    def _check_whole(self) -> None:
        """After some errors (disk full, I/O) SQLite rolls back by itself; going on would be outside of any transaction."""
        if not self._connection.in_transaction:
            raise StoreUnavailable(STORE, "the transaction was rolled back by an earlier error")

    def _begin(self) -> None:
        self._roll_back()  # what a caller left that was cancelled even while it rolled back
        for attempt in range(BEGIN_ATTEMPTS_MAX):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or attempt == BEGIN_ATTEMPTS_MAX - 1:
                    raise
            else:
                self._begun = True
                return

    def _commit(self) -> None:
        self._check_whole()
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise translated(STORE, error) from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


if TYPE_CHECKING:
    _: type[ViewStore] = SqliteViewStore
