"""One embedded file as a process sees it: its writer, and connections to read with."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from eventkernel.errors import StoreUnavailable
from eventkernel_sqlite.connection import Schema, open_reader, open_writer, translated
from eventkernel_sqlite.room import Room
from eventkernel_sqlite.writer import Work, Writer

T = TypeVar("T")

READER_THREADS = 2


class Database:
    """Opens, migrates and holds the file. Every adapter on the file in this process shares one of these.

    ``read_now`` runs on the caller's thread: for point reads and short pages, where a hop to another thread costs several
    times the read. ``read`` runs in a thread, inside one read transaction (one snapshot): for what reads much and returns
    little. ``write`` waits for the group commit.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.store = schema.store
        self._closed = False
        self._room = Room()
        self._writer = Writer(open_writer(path, schema), schema.store)
        self._near = open_reader(path, schema)
        self._far: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(READER_THREADS):
            self._far.put(open_reader(path, schema))
        self._threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix=f"{schema.store}-reader")

    async def write(self, work: Work[T]) -> T:
        """The result of ``work`` once committed; see ``Writer`` for what work may do and which errors come."""
        return await self._writer.run(work)

    def read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of a short read, here and now. Each statement sees what is committed at its start."""
        if self._closed:
            raise StoreUnavailable(self.store, "closed")
        try:
            return work(self._near)
        except sqlite3.Error as error:
            raise translated(self.store, error) from error

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of a longer read, in a thread; all its statements see one snapshot."""
        if self._closed:
            raise StoreUnavailable(self.store, "closed")
        loop = asyncio.get_running_loop()
        self._room.enter(loop)
        try:
            return await loop.run_in_executor(self._threads, self._snapshot, work)
        finally:
            self._room.leave()

    async def close(self) -> None:
        """Finish reads and writes under way, then close every connection. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._near.close()
        for _ in range(READER_THREADS):
            self._far.get().close()

    def _snapshot(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._far.get()
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translated(self.store, error) from error
        finally:
            self._far.put(connection)
