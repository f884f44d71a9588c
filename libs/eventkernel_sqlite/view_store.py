"""Read models in one SQLite file.

Writing goes through one connection and one thread, a transaction at a time in this process and by ``BEGIN IMMEDIATE`` among
processes; the write lock of the whole file is what makes checkpoints "locked until the end of the transaction". Readings
have connections of their own and, thanks to the WAL, neither wait for the writer nor hold it up.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventkernel.envelope import from_micros
from eventkernel.errors import StoreUnavailable
from eventkernel.ports.view_store import ViewReading, ViewStatus, ViewStore, ViewTransaction
from eventkernel.view import View
from eventkernel_sqlite.prepared_views import PreparedViews
from eventkernel_sqlite.view_file import STORE, make_tables, open_for_reading, open_for_writing
from eventkernel_sqlite.view_reading import SqliteViewReading
from eventkernel_sqlite.view_session import ViewSession
from eventkernel_sqlite.view_transaction import SqliteViewTransaction

READERS_MAX = 8
"""Readings at once; others wait."""

SELECT_STATUS = """
    SELECT c.streams, c.events_applied, c.updated_at,
           (SELECT count(*) FROM (SELECT DISTINCT tenant, stream FROM view_parked WHERE view = c.view)),
           coalesce((SELECT error FROM view_parked WHERE view = c.view ORDER BY parked_at DESC LIMIT 1), '')
    FROM view_catalogue c WHERE c.view = ?
"""


class SqliteViewStore:
    """Opens the file and makes the shared tables; ``prepare`` makes those of the views."""

    def __init__(self, path: Path, *, readers_max: int = READERS_MAX) -> None:
        self._writer = open_for_writing(path)
        self._writing = asyncio.Lock()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="views-writer")
        self._read_threads = ThreadPoolExecutor(readers_max, thread_name_prefix="views-reader")
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._readers_max = readers_max
        self._readers = asyncio.Semaphore(readers_max)
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
        for _ in range(self._readers_max):
            await self._readers.acquire()
        await asyncio.to_thread(self._read_threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    def _status(self, connection: sqlite3.Connection, view: View[Any, Any]) -> ViewStatus:
        table = self._prepared.of(connection, view).view.table
        streams, events, updated, parked, error = connection.execute(SELECT_STATUS, (table,)).fetchone()
        updated_at = None if updated is None else from_micros(updated)
        return ViewStatus(view.name, view.version, streams, events, parked, error, updated_at)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[ViewSession]:
        self._check_open()
        async with self._writing:
            session = ViewSession(self._writer, self._write_thread)
            try:
                yield session
            except BaseException:
                await session.roll_back()
                raise
            await session.commit()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(STORE, "closed")


if TYPE_CHECKING:
    _: type[ViewStore] = SqliteViewStore
