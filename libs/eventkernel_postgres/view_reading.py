"""Reading views: one snapshot of the schema, on a connection that no other reading uses meanwhile."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.errors import InvalidCommand
from eventkernel.filters import Query
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import CORRECTIONS_KEY, CORRECTIONS_KIND
from eventkernel.ports.view_store import Checkpoint, StoredRow, ViewReading
from eventkernel.sql import Statement, count_statement, select_statement
from eventkernel.sql_dialect import POSTGRES
from eventkernel.sql_tables import ViewTables
from eventkernel.view import Key, TableKind, View
from eventkernel_postgres.batches import NO_GENERATIONS, PreparedViews
from eventkernel_postgres.checkpoints import by_tenant, found_checkpoints, in_order, read_checkpoint
from eventkernel_postgres.connection import Session
from eventkernel_postgres.errors import RowRefused

SCAN_ROWS = 1_000
SELECT_MOMENT = """
    SELECT g.view, g.active, n.body FROM view_generations g
    LEFT JOIN view_notes n ON n.view = g.view AND n.kind = %s AND n.key = %s
"""


class PostgresViewReading:
    """One trip to the server for each read, and one before the first for the active generations of the snapshot."""

    def __init__(self, session: Session, prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared
        self._active: dict[str, int] | None = None
        self._corrections: dict[str, int] = {}

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """One row by its key."""
        tables = await self._tables(view)
        found = await self._asked(Statement(tables.get, tables.key_parameters(tenant, key)))
        return _stored_row(tables, tenant, found[0]) if found else None

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """A page."""
        tables = await self._tables(view)
        found = await self._asked(select_statement(POSTGRES, tables.view, query))
        return [_stored_row(tables, query.tenant, row) for row in found]

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """How many match."""
        tables = await self._tables(view)
        [[found]] = await self._asked(count_statement(POSTGRES, tables.view, query))
        return int(found)

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far the view has folded these streams."""
        tables = await self._tables(view)
        wanted = in_order(streams)
        rows: list[tuple[Any, ...]] = []
        for tenant, names in by_tenant(wanted):
            rows += await self._session.fetch(tables.checkpoints, (tenant, names))
        return found_checkpoints(wanted, rows)

    async def corrections(self, view: View[Any, Any]) -> int:
        """Asked for with the active generations."""
        await self._moment()
        return self._corrections.get(view.base, 0)

    async def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """Every checkpoint by stream, in portions; all of one snapshot."""
        tables = await self._tables(view)
        last = ("", "")
        while True:
            rows = await self._session.fetch(tables.scan, (*last, SCAN_ROWS))
            for stream, checkpoint in map(read_checkpoint, rows):
                if checkpoint.version:
                    yield stream, checkpoint
            if len(rows) < SCAN_ROWS:
                return
            last = (rows[-1][0], rows[-1][1])

    async def _tables(self, view: View[Any, Any]) -> ViewTables:
        active = await self._moment() if view.generation is None else self._active
        return self._prepared.of(view, active or NO_GENERATIONS).tables

    async def _moment(self) -> dict[str, int]:
        """The active generations of the snapshot, and on the same trip the stamps of corrections."""
        if self._active is None:
            rows = await self._session.fetch(SELECT_MOMENT, (CORRECTIONS_KIND, CORRECTIONS_KEY))
            self._active = {view: active for view, active, _ in rows}
            self._corrections = {view: int(stamp) for view, _, stamp in rows if stamp is not None}
        return self._active

    async def _asked(self, statement: Statement) -> list[tuple[Any, ...]]:
        """The rows. A value that Postgres cannot hold (a text with NUL) is the asker's mistake."""
        try:
            return await self._session.fetch(statement.text, statement.parameters)
        except RowRefused as error:
            raise InvalidCommand("filter", error.cause) from error


def _stored_row(tables: ViewTables, tenant: str, values: tuple[Any, ...]) -> StoredRow:
    if tables.view.kind is TableKind.OWNED:
        return StoredRow(tables.row(values), StreamId(tenant, values[-2]), values[-1])
    return StoredRow(tables.row(values), None, 0)


if TYPE_CHECKING:
    _: type[ViewReading] = PostgresViewReading
