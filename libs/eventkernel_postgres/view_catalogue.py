"""Generations, lanes at a glance, and notes, inside a transaction.

A transaction that uses a view holds the row of its active generation in share until it ends; a switch updates that row, and so
waits for them and they for it. The row is there from the view's preparation on: what is not there cannot be locked.
"""

# ruff: noqa: S608 - names pass ``quoted``, values are parameters

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.errors import StoreMismatch
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import LaneHead, ViewCatalogue, ViewNotes
from eventkernel.sql import Statement, quoted
from eventkernel.sql_dialect import POSTGRES
from eventkernel.sql_tables import behind_statement
from eventkernel.view import View
from eventkernel_postgres.batches import PreparedViews
from eventkernel_postgres.connection import Session
from eventkernel_postgres.errors import STORE

SELECT_GENERATIONS = "SELECT view, active FROM view_generations"
SHARE_GENERATIONS = f"{SELECT_GENERATIONS} WHERE view = ANY(%s) ORDER BY view FOR SHARE"
UPDATE_ACTIVE = "UPDATE view_generations SET active = %s WHERE view = %s"
SELECT_PREPARED = "SELECT count(*) FROM view_catalogue WHERE view = %s"
SELECT_LANES = """
    SELECT DISTINCT ON (stream) stream, version, max(version) OVER lane, count(*) OVER lane, error, parked_at
    FROM view_parked WHERE view = %s AND tenant = %s AND stream > %s
    WINDOW lane AS (PARTITION BY stream) ORDER BY stream, version LIMIT %s
"""
DELETE_OF = tuple(
    f"DELETE FROM {table} WHERE view = %s" for table in ("view_parked", "view_progress", "view_catalogue")
)
PUT_NOTE = """
    INSERT INTO view_notes (view, kind, key, body) VALUES (%s, %s, %s, %s)
    ON CONFLICT (view, kind, key) DO UPDATE SET body = excluded.body
"""
SELECT_NOTES = "SELECT key, body FROM view_notes WHERE view = %s AND kind = %s ORDER BY key FOR UPDATE"


class PostgresViewCatalogue:
    """Asks for the generations of all prepared views at once: locks are taken in one order, in one trip."""

    def __init__(self, session: Session, prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared
        self._active: dict[str, int] = {}

    async def generations(self, view: View[Any, Any]) -> Mapping[str, int]:
        """Which generation answers, at least of this view where it is asked for without one."""
        if view.generation is None and view.base not in self._active:
            self._prepared.of(view)
            found = await self._session.fetch(SHARE_GENERATIONS, ([*self._prepared.names, view.base],))
            self._active = {**dict(found), **self._active}
        return self._active

    async def active(self, view: View[Any, Any]) -> int:
        """The generation that answers, kept until the end of the transaction."""
        if view.base not in self._active:
            found = await self._session.fetch(SHARE_GENERATIONS, ([view.base],))
            self._active[view.base] = found[0][1] if found else 0
        return self._active[view.base]

    async def activate(self, view: View[Any, Any], generation: int) -> None:
        """Let another one answer."""
        target = view.of_generation(generation)
        [[there]] = await self._session.fetch(SELECT_PREPARED, (target.table,))
        if not there:
            raise StoreMismatch(STORE, expected=f"table {target.table}", actual="not prepared")
        await self._session.run([Statement(UPDATE_ACTIVE, (generation, view.base))])
        self._active[view.base] = generation

    async def behind(self, ahead: View[Any, Any], view: View[Any, Any], streams_max: int) -> Sequence[StreamId]:
        """One join of the checkpoints, one of the lanes."""
        text = behind_statement(POSTGRES, ahead, view)
        rows = await self._session.fetch(text, (ahead.table, view.table, streams_max))
        return [StreamId(tenant, name) for tenant, name in rows]

    async def lanes(self, view: View[Any, Any], tenant: str, after: str, lanes_max: int) -> Sequence[LaneHead]:
        """By the stream's name."""
        table = self._prepared.of(view, await self.generations(view)).tables.view.table
        rows = await self._session.fetch(SELECT_LANES, (table, tenant, after, lanes_max))
        return [
            LaneHead(StreamId(tenant, name), first, last, events, error, parked_at)
            for name, first, last, events, error, parked_at in rows
        ]

    async def drop(self, view: View[Any, Any]) -> None:
        """Tables, lanes and counters."""
        if view.generation is None or view.generation == await self.active(view):
            raise ValueError(f"{view.table} answers queries")
        names = (view.table, f"{view.table}__checkpoint")
        gone = [Statement(f"DROP TABLE IF EXISTS {quoted(name)}") for name in names]
        await self._session.run([*gone, *(Statement(text, (view.table,)) for text in DELETE_OF)])


class PostgresViewNotes:
    """One table of documents."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, view: View[Any, Any], kind: str, key: str, body: bytes) -> None:
        """Keep a document."""
        await self._session.run([Statement(PUT_NOTE, (view.base, kind, key, body))])

    async def all(self, view: View[Any, Any], kind: str) -> Mapping[str, bytes]:
        """The documents by key, locked."""
        return dict(await self._session.fetch(SELECT_NOTES, (view.base, kind)))


if TYPE_CHECKING:
    _: tuple[type[ViewCatalogue], type[ViewNotes]] = (PostgresViewCatalogue, PostgresViewNotes)
