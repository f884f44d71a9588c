"""The single writer of one file in one process: what waits together is committed together.

Callers hand over a function of the connection and await its result. What has gathered runs on the event loop as one
transaction: one fsync for all of it, and what comes in meanwhile gathers for the next. COMMIT waits for the disk; where the
disk is quick it is called on the loop as well, else in a thread.

A transaction that is begun at once holds one item, however many callers there are, because a busy loop brings them one by
one. So the writer lingers as long as new items keep coming, for some turns of the loop or a few milliseconds. A caller that
is alone gains nothing by that: after a batch of one the writer lingers only now and then, to find out whether it is alone.

Why not all of it in a thread: the driver lets go of the interpreter lock at every row, and a thread beside a busy loop waits
for it anew each time. 64 appends in flight beside a loop that always has something to do, on a disk that commits in 0.2 ms:
210 a second with statements or COMMIT in a thread, 12,000 to 20,000 with both on the loop (``tests/bench/sqlite_append.py``).
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from eventkernel import failpoints
from eventkernel.errors import Overloaded, StoreUnavailable
from eventkernel_sqlite.connection import is_busy, translated
from eventkernel_sqlite.room import Room

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]

BATCH_ITEMS_MAX = 256
QUEUE_ITEMS_MAX = 8192
LOCK_WAIT_SECONDS_MAX = 15.0
LOCK_PAUSE_SECONDS_MAX = 0.008
NEAR_COMMIT_SECONDS_MAX = 0.004
NEAR_COMMIT_EVERY = 16
LINGER_SECONDS_MAX = 0.02
LINGER_TURNS_MAX = 24
LINGER_ALONE_EVERY = 16


class CommitInDoubt(StoreUnavailable):
    """COMMIT itself failed: the transaction may be in the WAL or not, and a crash now would decide it."""


@dataclass(slots=True)
class _Item:
    work: Work[Any]
    future: "asyncio.Future[Any]"
    alone: bool = False
    result: Any = None


@dataclass(slots=True)
class _Lingering:
    """How long the next transaction has been held back, and what that brought."""

    until: float = 0.0
    waiting: int = 0
    turns: int = 0

    def goes_on(self, waiting: int) -> bool:
        """Whether to hold it back for another turn of the loop."""
        now = time.perf_counter()
        if not self.waiting:
            self.until = now + LINGER_SECONDS_MAX
        self.turns = self.turns + 1 if waiting == self.waiting else 0
        self.waiting = waiting
        return self.turns < LINGER_TURNS_MAX and now < self.until and waiting < BATCH_ITEMS_MAX


class Writer:
    """Runs work on one connection, many items a transaction, in the order they came. Belongs to one event loop.

    Work is short and runs on the loop. It checks before it writes and raises before its first write, or else everything
    gathered with it is rolled back and run again, each alone: so work must be repeatable.
    Errors: what the work raised; ``StoreUnavailable`` when nothing was changed; ``CommitInDoubt`` when that cannot be told;
    ``Overloaded`` when the queue is full.
    """

    def __init__(
        self, connection: sqlite3.Connection, store: str, *, near_commit_seconds_max: float = NEAR_COMMIT_SECONDS_MAX
    ) -> None:
        self._connection = connection
        self._connection.execute("PRAGMA busy_timeout = 0")  # the loop never waits for a lock; the thread does
        self._store = store
        self._near_commit_seconds_max = near_commit_seconds_max
        self._commit_seconds = 0.0
        self._far_commits = 0
        self._alone = 0  # batches of one in a row
        self._lingering = _Lingering()
        self._room = Room()
        self._waiting: deque[_Item] = deque()
        self._active = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"{store}-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """The result of ``work(connection)``, once it is committed. A caller that is cancelled may find it done or not."""
        if self._closed:
            raise StoreUnavailable(self._store, "closed")
        if len(self._waiting) >= QUEUE_ITEMS_MAX:
            raise Overloaded(f"{self._store} writer queue", at=QUEUE_ITEMS_MAX)
        loop = self._bound()
        item = _Item(work, loop.create_future())
        self._waiting.append(item)
        if not self._active:
            self._active = True
            loop.call_soon(self._gather_more)
        result: T = await item.future
        return result

    async def close(self) -> None:
        """Finish what waits, then close the connection. Work handed over later is refused."""
        if self._closed:
            return
        self._closed = True
        if self._active:
            self._idle = self._bound().create_future()
            await self._idle
        self._jobs.put(self._connection.close)
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _bound(self) -> asyncio.AbstractEventLoop:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise RuntimeError(f"{self._store} belongs to another event loop")
        return self._loop

    # On the loop.

    def _gather_more(self) -> None:
        """Begin the next transaction now, or look again in the next turn of the loop whether more has come."""
        waiting = len(self._waiting)
        may_linger = waiting and not self._closed and self._alone % LINGER_ALONE_EVERY == 0
        if may_linger and not self._waiting[0].alone and self._lingering.goes_on(waiting):
            self._bound().call_soon(self._gather_more)
            return
        self._lingering = _Lingering()
        self._next()

    def _next(self) -> None:
        batch = self._gather()
        if not batch:
            self._active = False
            if self._idle is not None:
                self._idle.set_result(None)
            return
        self._alone = self._alone + 1 if len(batch) == 1 else 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                self._room.enter(self._bound())
                self._jobs.put(lambda: self._wait_for_lock(batch))
            else:
                self._fail(batch, StoreUnavailable(self._store, f"no transaction: {error}"))
            return
        self._work(batch)

    def _gather(self) -> list[_Item]:
        batch: list[_Item] = []
        while self._waiting and len(batch) < BATCH_ITEMS_MAX:
            if self._waiting[0].alone and batch:
                break
            item = self._waiting.popleft()
            if not item.future.cancelled():
                batch.append(item)
            if item.alone and batch:
                break
        return batch

    def _work(self, batch: list[_Item]) -> None:
        connection = self._connection
        try:
            for item in batch:
                item.result = item.work(connection)
        except Exception as error:  # noqa: BLE001 - whatever the work raised goes to whoever gave the work
            self._undo(batch, error)
        else:
            self._commit(batch)

    def _commit(self, batch: list[_Item]) -> None:
        if self._commit_seconds > self._near_commit_seconds_max and self._far_commits < NEAR_COMMIT_EVERY:
            self._far_commits += 1
            self._room.enter(self._bound())
            self._jobs.put(lambda: self._commit_far(batch))
            return
        self._far_commits = 0
        begin = time.perf_counter()
        failure = self._try_commit()
        self._commit_seconds += (time.perf_counter() - begin - self._commit_seconds) / 8
        self._committed(batch, failure)

    def _committed(self, batch: list[_Item], failure: CommitInDoubt | None) -> None:
        if failure is not None:
            self._fail(batch, failure)
            return
        for item in batch:
            if not item.future.done():
                item.future.set_result(item.result)
        self._bound().call_soon(self._gather_more)

    def _try_commit(self) -> CommitInDoubt | None:
        failpoints.reached("sqlite-before-commit")
        try:
            self._connection.commit()  # unlike execute("COMMIT"), lets go of the interpreter lock once
        except sqlite3.Error as error:
            self._roll_back()
            return CommitInDoubt(self._store, f"commit failed: {error}")
        failpoints.reached("sqlite-after-commit")
        return None

    def _undo(self, batch: list[_Item], cause: Exception) -> None:
        broken = self._roll_back()
        if broken is not None:
            self._fail(batch, broken)
        elif len(batch) == 1:
            self._fail(batch, translated(self._store, cause) if isinstance(cause, sqlite3.Error) else cause)
        else:
            for item in batch:
                item.alone = True
            self._waiting.extendleft(reversed(batch))
            self._next()

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        for item in batch:
            if not item.future.done():
                item.future.set_exception(error)
        self._bound().call_soon(self._gather_more)

    def _back(self, step: Callable[..., None], *arguments: object) -> None:
        self._room.leave()
        step(*arguments)

    # In the thread.

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _commit_far(self, batch: list[_Item]) -> None:
        self._hand_over(self._committed, batch, self._try_commit())

    def _wait_for_lock(self, batch: list[_Item]) -> None:
        """Another process writes. SQLite's own waiting sleeps up to 100 ms at a time and loses to a steady writer."""
        until, pause = time.monotonic() + LOCK_WAIT_SECONDS_MAX, 0.0005
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() > until:
                    failure = StoreUnavailable(self._store, f"no write lock: {error}")
                    self._hand_over(self._fail, batch, failure)
                    return
            else:
                self._hand_over(self._work, batch)
                return
            time.sleep(pause)
            pause = min(pause * 2, LOCK_PAUSE_SECONDS_MAX)

    def _hand_over(self, step: Callable[..., None], *arguments: object) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            self._roll_back()
        else:
            loop.call_soon_threadsafe(self._back, step, *arguments)

    def _roll_back(self) -> CommitInDoubt | None:
        """End what is open, so that the next BEGIN finds none. SQLite may have ended it already."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error as error:
            return CommitInDoubt(self._store, f"rollback failed: {error}")
        return None
