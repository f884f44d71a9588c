"""A PostgreSQL server as the view store's clients can tell: transactions that lock checkpoints, and commits without an answer.

Rows, checkpoints and lanes are those of ``MemoryViewStore``. A transaction reads what is committed, notes what it writes, and
does it all at once when its commit arrives: sooner, later, or never, whatever its client has heard meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports import (
    Checkpoint,
    JointChange,
    LaneHead,
    ParkedEvent,
    StreamChange,
    ViewCatalogue,
    ViewNotes,
    ViewReading,
    ViewStatus,
    ViewStore,
    ViewTransaction,
)
from eventkernel.ports.view_advance import advance_by_loading
from eventkernel.view import View
from eventkernel_memory.view_store import MemoryViewStore
from eventkernel_simulation.loop import Process
from eventkernel_simulation.weather import Weather

T = TypeVar("T")
Write: TypeAlias = Callable[[ViewTransaction], Awaitable[None]]
Place: TypeAlias = tuple[str, StreamId]

LOCK_SECONDS = 5.0
IDLE_SECONDS = 4.0
"""After so long without a call the server ends a transaction, whose client may be frozen."""


class Database:
    """What all processes share. ``heard`` is told after every commit."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.loop = weather.loop
        self.tables = MemoryViewStore()
        self.up = True
        self.heard: Callable[[], None] | None = None
        self.open: list[SimulatedTransaction] = []
        self._locks: dict[Place, list[tuple[SimulatedTransaction, asyncio.Future[None]]]] = {}

    def crash(self, seconds: float) -> None:
        """Every transaction is gone; what was committed is there."""
        self.up = False
        for transaction in list(self.open):
            self.end(transaction, "the server is gone")
        self.loop.later(seconds, self._come_back)

    async def lock(self, transaction: "SimulatedTransaction", place: Place) -> None:
        """Wait for whoever came before."""
        self._check(transaction)
        granted: asyncio.Future[None] = self.loop.create_future()
        queue = self._locks.setdefault(place, [])
        if any(holder is transaction for holder, _ in queue[:1]):
            return
        queue.append((transaction, granted))
        transaction.waits.append(granted)
        if len(queue) == 1:
            granted.set_result(None)
        try:
            async with asyncio.timeout(LOCK_SECONDS):
                await granted
        except TimeoutError as error:
            self.end(transaction, "waited too long for a lock")
            raise StoreUnavailable("postgres", "waited too long for a lock") from error
        self._check(transaction)

    def end(self, transaction: "SimulatedTransaction", cause: str = "") -> None:
        """Release its locks; with a cause, roll it back."""
        if transaction not in self.open:
            return
        self.open.remove(transaction)
        transaction.ended = cause or "ended"
        for place, queue in list(self._locks.items()):
            first = queue[0][0]
            queue[:] = [entry for entry in queue if entry[0] is not transaction]
            if not queue:
                del self._locks[place]
            elif first is transaction and not queue[0][1].done():
                queue[0][1].set_result(None)
        for granted in transaction.waits:
            if not granted.done():
                granted.set_result(None)

    def commit(self, transaction: "SimulatedTransaction") -> bool:
        """Do what it wrote, all at once; False where the transaction is gone."""
        if transaction not in self.open:
            return False
        at_once(self._write(transaction.writes))
        self.end(transaction)
        if self.heard is not None:
            self.heard()
        return True

    def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far a view is, as of now."""

        async def read() -> Mapping[StreamId, Checkpoint]:
            async with self.tables.reading() as reading:
                return await reading.checkpoints(view, streams)

        return at_once(read())

    async def _write(self, writes: Sequence[Write]) -> None:
        async with self.tables.transaction() as tables:
            for write in writes:
                await write(tables)

    def _check(self, transaction: "SimulatedTransaction") -> None:
        if transaction.ended:
            raise StoreUnavailable("postgres", f"the transaction is gone: {transaction.ended}")

    def _come_back(self) -> None:
        self.up = True


class SimulatedTransaction:
    """``ViewTransaction`` of one process."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process
        self._weather = database.weather
        self.writes: list[Write] = []
        self.waits: list[asyncio.Future[None]] = []
        self.ended = ""
        self.touched_at = database.loop.time()

    @property
    def catalogue(self) -> ViewCatalogue:
        """As committed, and as this transaction changes it."""
        return _Catalogue(self)

    @property
    def notes(self) -> ViewNotes:
        """As committed, and as this transaction changes them."""
        return _Notes(self)

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints, locked one after the other."""
        await self._call()
        for stream in sorted(set(streams)):
            await self._database.lock(self, (view.base, stream))
        return await self._read(lambda tables: tables.load(view, streams))

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """Kept for the commit: the checkpoints are locked, and stay where they are until then."""
        await self.add(lambda tables: tables.save(view, steps))

    async def advance(self, joint: Sequence[JointChange]) -> None:
        """The checkpoints are locked and looked at, and what was found is kept for the commit."""
        await advance_by_loading(self, joint)

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes."""
        return await self.ask(lambda tables: tables.parked(view, streams))

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Kept for the commit."""
        await self.add(lambda tables: tables.park(view, events))

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Kept for the commit."""
        await self.add(lambda tables: tables.unpark(view, stream, up_to))

    async def ask(self, read: Callable[[ViewTransaction], Awaitable[T]]) -> T:
        """Read what is committed, and what this transaction has written itself."""
        await self._call()
        return await self._read(read)

    async def add(self, write: Write) -> None:
        """Keep something for the commit."""
        await self._call()
        self.writes.append(write)

    async def commit(self) -> None:
        """Send the commit; what becomes of it may stay unknown."""
        weather, database = self._weather, self._database
        fault = weather.one_of(("pg.commit_lost", "pg.commit_unanswered", "pg.commit_late"))
        if weather.tracing:
            weather.note(self._process.name, f"commit of {len(self.writes)} writes{': ' + fault if fault else ''}")
        if fault == "pg.commit_lost":
            database.loop.later(weather.trip(), database.end, self, "the connection was lost")
        elif fault == "pg.commit_late":
            # The locks stay with it: whoever comes after waits until it has happened.
            database.loop.later(min(weather.long(), IDLE_SECONDS), database.commit, self)
        else:
            await asyncio.sleep(weather.trip())
            committed = database.commit(self)
            await asyncio.sleep(weather.trip())
            if committed and fault is None:
                return
        raise StoreUnavailable("postgres", f"no answer to a commit ({fault or self.ended})")

    async def _call(self) -> None:
        await asyncio.sleep(self._weather.trip())
        self.touched_at = self._database.loop.time()
        if self.ended:
            raise StoreUnavailable("postgres", f"the transaction is gone: {self.ended}")
        if self._weather.strikes("pg.failed"):
            self._database.end(self, "the connection was lost")
            raise StoreUnavailable("postgres", "the connection was lost")

    async def _read(self, read: Callable[[ViewTransaction], Awaitable[T]]) -> T:
        tables = self._database.tables
        if not self.writes:
            async with tables.transaction() as committed:
                return await read(committed)
        found: list[T] = []
        with suppress(_ThrownAway):
            async with tables.transaction() as trial:
                for write in self.writes:
                    await write(trial)
                found.append(await read(trial))
                raise _ThrownAway
        return found[0]


class _ThrownAway(Exception):
    """Ends a trial without a trace of it."""


class _Catalogue:
    """``ViewCatalogue`` of a transaction. Nobody switches generations here, so that they are not locked."""

    def __init__(self, transaction: SimulatedTransaction) -> None:
        self._transaction = transaction

    async def active(self, view: View[Any, Any]) -> int:
        return await self._transaction.ask(lambda tables: tables.catalogue.active(view))

    async def activate(self, view: View[Any, Any], generation: int) -> None:
        await self._transaction.add(lambda tables: tables.catalogue.activate(view, generation))

    async def behind(self, ahead: View[Any, Any], view: View[Any, Any], streams_max: int) -> Sequence[StreamId]:
        return await self._transaction.ask(lambda tables: tables.catalogue.behind(ahead, view, streams_max))

    async def lanes(self, view: View[Any, Any], tenant: str, after: str, lanes_max: int) -> Sequence[LaneHead]:
        return await self._transaction.ask(lambda tables: tables.catalogue.lanes(view, tenant, after, lanes_max))

    async def drop(self, view: View[Any, Any]) -> None:
        await self._transaction.add(lambda tables: tables.catalogue.drop(view))


class _Notes:
    """``ViewNotes`` of a transaction."""

    def __init__(self, transaction: SimulatedTransaction) -> None:
        self._transaction = transaction

    async def put(self, view: View[Any, Any], kind: str, key: str, body: bytes) -> None:
        await self._transaction.add(lambda tables: tables.notes.put(view, kind, key, body))

    async def all(self, view: View[Any, Any], kind: str) -> Mapping[str, bytes]:
        return await self._transaction.ask(lambda tables: tables.notes.all(view, kind))


class SimulatedViewStore:
    """``ViewStore`` of one process."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process
        self._weather = database.weather

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Make the tables."""
        await self._database.tables.prepare(views)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ViewTransaction]:
        """Commits at the end of the block."""
        await asyncio.sleep(self._weather.trip())
        database = self._database
        if not database.up or self._weather.strikes("pg.failed"):
            raise StoreUnavailable("postgres", "no connection")
        transaction = SimulatedTransaction(database, self._process)
        database.open.append(transaction)
        database.loop.later(IDLE_SECONDS, self._end_idle, transaction)
        try:
            yield transaction
        except BaseException:
            database.end(transaction, "rolled back")
            raise
        await transaction.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ViewReading]:
        """What is committed when it begins."""
        await asyncio.sleep(self._weather.trip())
        if not self._database.up or self._weather.strikes("pg.failed"):
            raise StoreUnavailable("postgres", "no connection")
        async with self._database.tables.reading() as reading:
            yield reading

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts."""
        return await self._database.tables.status(views)

    async def close(self) -> None:
        """Nothing is held."""

    def _end_idle(self, transaction: SimulatedTransaction) -> None:
        """A client that is frozen or dead keeps its locks until the server gives it up."""
        database = self._database
        if transaction not in database.open:
            return
        if not self._process.alive or database.loop.time() - transaction.touched_at >= IDLE_SECONDS:
            database.end(transaction, "idle for too long")
        else:
            database.loop.later(IDLE_SECONDS, self._end_idle, transaction)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("it waits for something")


if TYPE_CHECKING:
    _: tuple[type[ViewStore], type[ViewTransaction]] = (SimulatedViewStore, SimulatedTransaction)
