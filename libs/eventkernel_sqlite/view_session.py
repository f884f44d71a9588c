"""One write transaction of the file of views, on the writer's connection and in its thread."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from eventkernel.errors import StoreUnavailable
from eventkernel_sqlite.connection import is_busy, translated
from eventkernel_sqlite.view_file import STORE

T = TypeVar("T")

BEGIN_ATTEMPTS_MAX = 4


class ViewSession:
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
