"""Generations, lanes at a glance, and notes, inside a write transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.envelope import from_micros
from eventkernel.errors import StoreMismatch
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import LaneHead, ViewCatalogue, ViewNotes
from eventkernel.sql import quoted
from eventkernel.sql_dialect import SQLITE
from eventkernel.sql_tables import behind_statement
from eventkernel.view import View
from eventkernel_sqlite.prepared_views import PreparedViews, active_generation
from eventkernel_sqlite.view_file import STORE
from eventkernel_sqlite.view_session import ViewSession

SELECT_PREPARED = "SELECT count(*) FROM view_catalogue WHERE view = ?"
PUT_ACTIVE = """
    INSERT INTO view_generations (view, active) VALUES (?, ?) ON CONFLICT (view) DO UPDATE SET active = excluded.active
"""
SELECT_LANES = """
    SELECT stream, min(version), max(version), count(*) FROM view_parked
    WHERE view = ? AND tenant = ? AND stream > ? GROUP BY stream ORDER BY stream LIMIT ?
"""
SELECT_FIRST = """
    SELECT error, parked_at FROM view_parked WHERE view = ? AND tenant = ? AND stream = ? AND version = ?
"""
DELETE_LANES = "DELETE FROM view_parked WHERE view = ?"
DELETE_PREPARED = "DELETE FROM view_catalogue WHERE view = ?"
PUT_NOTE = """
    INSERT INTO view_notes (view, kind, "key", body) VALUES (?, ?, ?, ?)
    ON CONFLICT (view, kind, "key") DO UPDATE SET body = excluded.body
"""
SELECT_NOTES = 'SELECT "key", body FROM view_notes WHERE view = ? AND kind = ? ORDER BY "key"'


class SqliteViewCatalogue:
    """The file's write lock is what makes all others wait."""

    def __init__(self, session: ViewSession, prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared

    async def active(self, view: View[Any, Any]) -> int:
        """The generation that answers."""
        return await self._session.run(lambda connection: active_generation(connection, view))

    async def activate(self, view: View[Any, Any], generation: int) -> None:
        """Let another one answer."""
        target = view.of_generation(generation)

        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute(SELECT_PREPARED, (target.table,)).fetchone()[0]:
                raise StoreMismatch(STORE, expected=f"table {target.table}", actual="not prepared")
            connection.execute(PUT_ACTIVE, (view.base, generation))

        await self._session.run(work)

    async def behind(self, ahead: View[Any, Any], view: View[Any, Any], streams_max: int) -> Sequence[StreamId]:
        """One join of the checkpoints, one of the lanes."""
        text = behind_statement(SQLITE, ahead, view)
        parameters = (ahead.table, view.table, streams_max)
        rows = await self._session.run(lambda connection: connection.execute(text, parameters).fetchall())
        return [StreamId(tenant, name) for tenant, name in rows]

    async def lanes(self, view: View[Any, Any], tenant: str, after: str, lanes_max: int) -> Sequence[LaneHead]:
        """By the stream's name."""

        def work(connection: sqlite3.Connection) -> list[LaneHead]:
            table = self._prepared.of(connection, view).view.table
            found = []
            for row in connection.execute(SELECT_LANES, (table, tenant, after, lanes_max)).fetchall():
                name, first, last, events = row
                error, parked_at = connection.execute(SELECT_FIRST, (table, tenant, name, first)).fetchone()
                found.append(LaneHead(StreamId(tenant, name), first, last, events, error, from_micros(parked_at)))
            return found

        return await self._session.run(work)

    async def drop(self, view: View[Any, Any]) -> None:
        """Tables, lanes and counters."""

        def work(connection: sqlite3.Connection) -> None:
            if view.generation is None or view.generation == active_generation(connection, view):
                raise ValueError(f"{view.table} answers queries")
            connection.execute(f"DROP TABLE IF EXISTS {quoted(view.table)}")
            connection.execute(f"DROP TABLE IF EXISTS {quoted(f'{view.table}__checkpoint')}")
            connection.execute(DELETE_LANES, (view.table,))
            connection.execute(DELETE_PREPARED, (view.table,))

        await self._session.run(work)


class SqliteViewNotes:
    """One table of documents."""

    def __init__(self, session: ViewSession) -> None:
        self._session = session

    async def put(self, view: View[Any, Any], kind: str, key: str, body: bytes) -> None:
        """Keep a document."""
        row = (view.base, kind, key, body)
        await self._session.run(lambda connection: connection.execute(PUT_NOTE, row).rowcount)

    async def all(self, view: View[Any, Any], kind: str) -> Mapping[str, bytes]:
        """The documents by key."""
        rows = await self._session.run(
            lambda connection: connection.execute(SELECT_NOTES, (view.base, kind)).fetchall()
        )
        return dict(rows)


if TYPE_CHECKING:
    _: tuple[type[ViewCatalogue], type[ViewNotes]] = (SqliteViewCatalogue, SqliteViewNotes)
