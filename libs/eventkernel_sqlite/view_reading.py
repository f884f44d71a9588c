"""Reading views: one snapshot of the file, on a connection that no other reading uses meanwhile."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import CORRECTIONS_KEY, CORRECTIONS_KIND
from eventkernel.ports.view_store import Checkpoint, StoredRow, ViewReading
from eventkernel.sql import count_statement, select_statement
from eventkernel.sql_dialect import SQLITE
from eventkernel.view import Key, View
from eventkernel_sqlite.connection import translated
from eventkernel_sqlite.prepared_views import PreparedViews
from eventkernel_sqlite.view_file import STORE
from eventkernel_sqlite.view_rows import checkpoint, load_checkpoints, stored_row

T = TypeVar("T")

STREAMS_NEAR_MAX = 8
SCAN_ROWS = 1_000
SELECT_NOTE = "SELECT body FROM view_notes WHERE view = ? AND kind = ? AND key = ?"


class SqliteViewReading:
    """Reads by key run on the caller's thread, where a hop to another would cost several times the read; lists in a thread."""

    def __init__(self, connection: sqlite3.Connection, threads: ThreadPoolExecutor, prepared: PreparedViews) -> None:
        self._connection = connection
        self._threads = threads
        self._prepared = prepared
        self._last: Future[Any] | None = None

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """One row by its key."""

        def work(connection: sqlite3.Connection) -> StoredRow | None:
            tables = self._prepared.of(connection, view)
            found = connection.execute(tables.get, tables.key_parameters(tenant, key)).fetchone()
            return None if found is None else stored_row(tables, tenant, found)

        return self._work(work)

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """A page."""

        def work(connection: sqlite3.Connection) -> list[StoredRow]:
            tables = self._prepared.of(connection, view)
            statement = select_statement(SQLITE, tables.view, query)
            rows = connection.execute(statement.text, statement.parameters).fetchall()
            return [stored_row(tables, query.tenant, row) for row in rows]

        return await self.run(work)

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """How many match."""

        def work(connection: sqlite3.Connection) -> int:
            statement = count_statement(SQLITE, self._prepared.of(connection, view).view, query)
            found: int = connection.execute(statement.text, statement.parameters).fetchone()[0]
            return found

        return await self.run(work)

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far the view has folded these streams."""

        def work(connection: sqlite3.Connection) -> Mapping[StreamId, Checkpoint]:
            return load_checkpoints(connection, self._prepared.of(connection, view), streams)

        return self._work(work) if len(streams) <= STREAMS_NEAR_MAX else await self.run(work)

    async def corrections(self, view: View[Any, Any]) -> int:
        """One row by its key."""
        place = (view.base, CORRECTIONS_KIND, CORRECTIONS_KEY)
        found = self._work(lambda connection: connection.execute(SELECT_NOTE, place).fetchone())
        return int(found[0]) if found else 0

    async def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """Every checkpoint by stream, in portions; all of one snapshot."""
        tables = await self.run(lambda connection: self._prepared.of(connection, view))
        last = ("", "")
        while True:
            rows = await self.run(_Scan(tables.scan, (*last, SCAN_ROWS)))
            for tenant, name, version, event_id, state in rows:
                yield StreamId(tenant, name), checkpoint(version, event_id, state)
            if len(rows) < SCAN_ROWS:
                return
            last = (rows[-1][0], rows[-1][1])

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of work in a thread, on the snapshot."""
        future = self._threads.submit(self._work, work)
        self._last = future
        return await asyncio.wrap_future(future)

    async def end(self) -> None:
        """Let the snapshot go, after a read that its caller may have given up waiting for."""
        if self._last is not None and not self._last.done():
            await asyncio.wait([asyncio.wrap_future(self._last)])
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN")
            return work(self._connection)
        except sqlite3.Error as error:
            raise translated(STORE, error) from error


@dataclass(frozen=True, slots=True)
class _Scan:
    """One portion of a scan."""

    text: str
    start: tuple[str, str, int]

    def __call__(self, connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
        return connection.execute(self.text, self.start).fetchall()


if TYPE_CHECKING:
    _: type[ViewReading] = SqliteViewReading
