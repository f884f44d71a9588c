"""One transaction over rows, checkpoints, lanes, generations and notes."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.ids import StreamId
from eventkernel.ports.view_advance import check_lanes, check_marks
from eventkernel.ports.view_store import Checkpoint, JointChange, ParkedEvent, StreamChange, ViewTransaction
from eventkernel.view import View
from eventkernel_sqlite.prepared_views import PreparedViews
from eventkernel_sqlite.view_catalogue import SqliteViewCatalogue, SqliteViewNotes
from eventkernel_sqlite.view_rows import (
    DELETE_PARKED,
    add_parked,
    has_lanes,
    load_checkpoints,
    load_parked,
    save_steps,
)
from eventkernel_sqlite.view_session import ViewSession


class SqliteViewTransaction:
    """Each call crosses to the writer's thread once. The file's write lock keeps the active generations as they are."""

    def __init__(self, session: ViewSession, prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared
        self._versions: dict[str, dict[StreamId, int]] = {}
        self.catalogue = SqliteViewCatalogue(session, prepared)
        self.notes = SqliteViewNotes(session)

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints, under the file's write lock."""

        def work(connection: sqlite3.Connection) -> Mapping[StreamId, Checkpoint]:
            tables = self._prepared.of(connection, view)
            found = load_checkpoints(connection, tables, streams)
            known = self._versions.setdefault(tables.view.table, {})
            known |= {stream: checkpoint.version for stream, checkpoint in found.items()}
            return found

        return await self._session.run(work)

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """One statement a table and portion of rows."""

        def work(connection: sqlite3.Connection) -> None:
            tables = self._prepared.of(connection, view)
            save_steps(connection, tables, steps, self._versions.setdefault(tables.view.table, {}))

        if steps:
            await self._session.run(work)

    async def advance(self, joint: Sequence[JointChange]) -> None:
        """All of it in one crossing to the writer's thread."""

        def work(connection: sqlite3.Connection) -> None:
            for change in joint:
                for view, steps in change.steps:
                    tables = self._prepared.of(connection, view)
                    known = load_checkpoints(connection, tables, change.before)
                    check_marks(view, change.before, known)
                    if has_lanes(connection, tables.view.table):
                        check_lanes(view, load_parked(connection, tables.view.table, change.before))
                    versions = self._versions.setdefault(tables.view.table, {})
                    versions |= {stream: checkpoint.version for stream, checkpoint in known.items()}
                    save_steps(connection, tables, steps, versions)

        await self._session.run(work)

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes."""
        return await self._session.run(
            lambda connection: load_parked(connection, self._table(connection, view), streams)
        )

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Add to the lanes."""
        await self._session.run(lambda connection: add_parked(connection, self._table(connection, view), events))

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Shorten a lane."""

        def work(connection: sqlite3.Connection) -> None:
            row = (self._table(connection, view), stream.tenant, stream.name, up_to)
            connection.execute(DELETE_PARKED, row)

        await self._session.run(work)

    def _table(self, connection: sqlite3.Connection, view: View[Any, Any]) -> str:
        return self._prepared.of(connection, view).view.table


if TYPE_CHECKING:
    _: type[ViewTransaction] = SqliteViewTransaction
