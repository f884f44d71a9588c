"""The single writer of one file in one process: a thread that commits what is waiting together.

Callers hand over a function of the connection and await its result. The thread takes everything that waits, up to a named
limit, and runs it in one transaction: one fsync for all of them. Results are given back after COMMIT has returned, with one
wake-up of the event loop per batch.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from eventkernel.errors import Overloaded, StoreUnavailable
from eventkernel_sqlite.connection import is_busy, translated

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]

BATCH_ITEMS_MAX = 256
QUEUE_ITEMS_MAX = 8192
BEGIN_ATTEMPTS_MAX = 4


class CommitInDoubt(StoreUnavailable):
    """COMMIT itself failed: the transaction may be in the WAL or not, and a crash now would decide it."""


@dataclass(slots=True)
class _Item:
    work: Work[Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Stop:
    done: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Runs work on one connection, many items a transaction, in the order they came.

    A work function checks before it writes and raises before its first write, or else lets the whole batch be rolled back;
    then every item of it is run again alone, so work must be repeatable and must not keep results from a run of before.
    Errors: what the work raised; ``StoreUnavailable`` when nothing was changed; ``CommitInDoubt`` when that cannot be told;
    ``Overloaded`` when the queue is full.
    """

    def __init__(self, connection: sqlite3.Connection, store: str) -> None:
        self._connection = connection
        self._store = store
        self._queue: SimpleQueue[_Item | _Stop] = SimpleQueue()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name=f"{store}-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """The result of ``work(connection)``, once it is committed. A caller that is cancelled does not undo it."""
        if self._closed:
            raise StoreUnavailable(self._store, "closed")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._queue.qsize() >= QUEUE_ITEMS_MAX:
            raise Overloaded(f"{self._store} writer queue", at=QUEUE_ITEMS_MAX)
        item = _Item(work, self._loop.create_future())
        self._queue.put(item)
        result: T = await item.future
        return result

    async def close(self) -> None:
        """Finish what is queued, then close the connection. Work handed over later is refused."""
        if not self._closed:
            self._closed = True
            stop = _Stop()
            self._queue.put(stop)
            await asyncio.to_thread(stop.done.wait)

    def _serve(self) -> None:
        while True:
            first = self._queue.get()
            batch: list[_Item] = []
            stop = first if isinstance(first, _Stop) else None
            if isinstance(first, _Item):
                batch.append(first)
                stop = self._fill(batch)
            if batch:
                self._write(batch)
                self._give_back(batch)
            if stop is not None:
                self._connection.close()
                stop.done.set()
                return

    def _fill(self, batch: list[_Item]) -> _Stop | None:
        while len(batch) < BATCH_ITEMS_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return None
            if isinstance(item, _Stop):
                return item
            batch.append(item)
        return None

    def _write(self, batch: list[_Item]) -> None:
        try:
            self._transact(batch)
        except _WorkFailed as failed:
            if len(batch) == 1:
                batch[0].error = self._kernel_error(failed.cause)
                return
            for item in batch:
                self._write([item])
        except StoreUnavailable as error:
            for item in batch:
                item.error = error

    def _transact(self, batch: list[_Item]) -> None:
        """One transaction for all. Whatever is raised, nothing is left open on the connection."""
        try:
            self._begin()
            for item in batch:
                try:
                    item.result = item.work(self._connection)
                except Exception as error:
                    raise _WorkFailed(error) from error
            self._commit()
        finally:
            if self._connection.in_transaction:
                self._roll_back()

    def _begin(self) -> None:
        for attempt in range(BEGIN_ATTEMPTS_MAX):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error) or attempt == BEGIN_ATTEMPTS_MAX - 1:
                    raise StoreUnavailable(self._store, f"no write lock: {error}") from error
            else:
                return

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise CommitInDoubt(self._store, f"commit failed: {error}") from error

    def _roll_back(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise CommitInDoubt(self._store, f"rollback failed: {error}") from error

    def _kernel_error(self, cause: Exception) -> Exception:
        return translated(self._store, cause) if isinstance(cause, sqlite3.Error) else cause

    def _give_back(self, batch: list[_Item]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(_resolve, batch)


class _WorkFailed(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__(repr(cause))
        self.cause = cause


def _resolve(batch: list[_Item]) -> None:
    for item in batch:
        if item.future.done():
            continue
        if item.error is not None:
            item.future.set_exception(item.error)
        else:
            item.future.set_result(item.result)
