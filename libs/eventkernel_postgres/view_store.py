"""Read models in one schema of a PostgreSQL database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from eventkernel.errors import StoreMismatch
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import StoredRow, ViewReading, ViewStatus, ViewStore, ViewTransaction
from eventkernel.sql import Statement
from eventkernel.sql_dialect import POSTGRES
from eventkernel.sql_tables import view_tables
from eventkernel.view import Key, View
from eventkernel_postgres.batches import PreparedViews
from eventkernel_postgres.connection import Database, Session
from eventkernel_postgres.errors import STORE
from eventkernel_postgres.migrations import LOCK, VIEW_MIGRATIONS, lock_of
from eventkernel_postgres.row_reading import GatheredRows
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_catalogue import SELECT_GENERATIONS
from eventkernel_postgres.view_reading import PostgresViewReading
from eventkernel_postgres.view_transaction import PostgresViewTransaction

SELECT_SHAPE = "SELECT shape FROM view_catalogue WHERE view = %s"
INSERT_VIEW = "INSERT INTO view_catalogue (view, shape) VALUES (%s, %s)"
INSERT_GENERATION = "INSERT INTO view_generations (view, active) VALUES (%s, 0) ON CONFLICT (view) DO NOTHING"
SELECT_INDEXES = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s"
SELECT_STATUS = """
    SELECT coalesce(sum(streams), 0)::bigint, coalesce(sum(events_applied), 0)::bigint, max(updated_at),
           (SELECT count(*) FROM (SELECT DISTINCT tenant, stream FROM view_parked WHERE view = %s) AS lanes),
           coalesce((SELECT error FROM view_parked WHERE view = %s ORDER BY parked_at DESC LIMIT 1), '')
    FROM view_progress WHERE view = %s
"""


class PostgresViewStore:
    """``open`` migrates the schema; ``prepare`` makes the tables of the views. Several processes may share a schema."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._prepared = PreparedViews()
        self._rows = GatheredRows(database, self._prepared)

    @classmethod
    async def open(cls, settings: PostgresSettings) -> "PostgresViewStore":
        """Connect and migrate. Raises ``StoreMismatch`` or ``StoreUnavailable``."""
        return cls(await Database.open(settings, VIEW_MIGRATIONS))

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Make the tables and indexes that are missing, in one transaction.

        An index that is new on a table with rows is built while transactions on that table wait: give a large view a new
        version instead.
        """
        settings = self._database.settings
        async with self._database.writing(settings.prepare_seconds) as session:
            await session.fetch(LOCK, lock_of(settings.schema))
            for view in views:
                await _make_tables(session, view)
        for view in views:
            self._prepared.add(view)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ViewTransaction]:
        """Commits at the end of the block."""
        async with self._database.writing() as session:
            transaction = PostgresViewTransaction(session, self._prepared)
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ViewReading]:
        """A snapshot, taken by the first read of the block."""
        async with self._database.reading() as session:
            yield PostgresViewReading(session, self._prepared)

    async def row(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """One row by its key, as it is now; callers at the same time share statements."""
        return await self._rows.row(view, tenant, key)

    async def versions(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, int]:
        """How far the view has folded these streams by now, without their states."""
        return await self._rows.versions(view, streams)

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts per view, from counters that move with the checkpoints."""
        found = []
        async with self._database.reading() as session:
            active = dict(await session.fetch(SELECT_GENERATIONS))
            for view in views:
                table = self._prepared.of(view, active).tables.view.table
                [row] = await session.fetch(SELECT_STATUS, (table,) * 3)
                streams, events, updated_at, parked, error = row
                found.append(ViewStatus(view.name, view.version, streams, events, parked, error, updated_at))
        return found

    async def close(self) -> None:
        """Close every connection that is not in use; the others when their transactions end."""
        await self._database.close()


async def _make_tables(session: Session, view: View[Any, Any]) -> None:
    """Raises ``StoreMismatch`` for a table of another shape. Indexes that are there are left alone: even asking locks."""
    tables = view_tables(POSTGRES, view)
    known = await session.fetch(SELECT_SHAPE, (view.table,))
    if not known:
        await session.run([Statement(text) for text in tables.tables])
        await session.run([Statement(INSERT_VIEW, (view.table, tables.shape))])
    elif known[0][0] != tables.shape:
        raise StoreMismatch(STORE, expected=f"{view.table} as declared here", actual="a table of another shape")
    await session.run([Statement(INSERT_GENERATION, (view.base,))])
    there = {name for (name,) in await session.fetch(SELECT_INDEXES, (view.table,))}
    await session.run([Statement(text) for text in tables.indexes if text.split('"')[1] not in there])


if TYPE_CHECKING:
    from eventkernel.ports.row_source import RowSource

    _: type[ViewStore] = PostgresViewStore
    _rows: type[RowSource] = PostgresViewStore
