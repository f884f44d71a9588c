"""Rows by key, gathered: whoever asks while a statement is under way shares the next one with the others.

A reading costs four trips (begin, the active generations, the row, roll back); one statement is a snapshot by itself, tells
the active generation with the rows, and carries as many keys as wait. Alone, a caller waits for one trip.
"""

# ruff: noqa: S608 - made of names that are quoted

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eventkernel.errors import InvalidCommand, StoreMismatch
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import StoredRow
from eventkernel.remembered import ByIdentity
from eventkernel.sql import quoted
from eventkernel.sql_tables import ViewTables
from eventkernel.view import ColumnType, Key, TableKind, View
from eventkernel_postgres.batches import ARRAYS, PreparedViews
from eventkernel_postgres.connection import Database
from eventkernel_postgres.errors import STORE, RowRefused

KEYS_MAX = 200
"""Keys in one statement."""
STATEMENTS_MAX = 1
"""Statements under way of one view: while one is, callers gather for the next. Two at once were no faster and cost more."""
ATTEMPTS_MAX = 3
"""How often a statement is tried while generations are switched."""
VIEWS_MAX = 256
"""Views, with their generations, whose statements are kept."""
SELECT_ACTIVE = "SELECT active FROM view_generations WHERE view = %s"

_Found: TypeAlias = "StoredRow | None"
_Rows: TypeAlias = list[tuple[Any, ...]]


class GatheredRows:
    """Of all views of a store; for one event loop."""

    def __init__(self, database: Database, prepared: PreparedViews) -> None:
        self._database = database
        self._prepared = prepared
        self._active: dict[str, int] = {}
        self._of_view: dict[str, _Gathering] = {}

    async def row(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row under this key. Raises ``InvalidCommand`` for a key that Postgres cannot hold."""
        gathering = self._of_view.get(view.table)
        if gathering is None:
            gathering = self._of_view[view.table] = _Gathering(self, view, self._prepared.of(view).tables)
        return await gathering.row(tenant, key)

    async def versions(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, int]:
        """The checkpoints' versions; unknown streams have version 0."""
        arrays = ([stream.tenant for stream in streams], [stream.name for stream in streams])
        _, rows = await self.current(view, _versions_statement, arrays)
        found = {StreamId(tenant, name): version for _, tenant, name, version in rows if tenant is not None}
        return {stream: found.get(stream, 0) for stream in streams}

    async def current(
        self, view: View[Any, Any], text_of: Callable[[ViewTables], str], arrays: Sequence[list[Any]]
    ) -> tuple[ViewTables, _Rows]:
        """What a statement finds in the tables of the generation that is active in its own snapshot.

        The generation is taken to be the one that it was the last time; the statement tells whether it is.
        """
        for attempt in range(ATTEMPTS_MAX):
            used = self._active.get(view.base, 0) if view.generation is None else view.generation
            tables = self._prepared.of(view, {view.base: used}).tables
            try:
                rows = await self._database.asked(text_of(tables), (view.base, *arrays))
            except StoreMismatch:
                # The table of a generation that was left behind is dropped after a while.
                if attempt or view.generation is not None:
                    raise
                [[active]] = await self._database.asked(SELECT_ACTIVE, (view.base,))
            else:
                active = rows[0][0] or 0
                if view.generation is not None or active == used:
                    return tables, rows
            self._active[view.base] = active
        raise StoreMismatch(STORE, expected=f"one active generation of {view.base}", actual="another at each attempt")


@dataclass(frozen=True, slots=True)
class _Asked:
    """One caller."""

    tenant: str
    key: Key
    answer: "asyncio.Future[_Found]"


class _Gathering:
    """Of one view."""

    def __init__(self, rows: GatheredRows, view: View[Any, Any], tables: ViewTables) -> None:
        self._rows = rows
        self._view = view
        self._tables = tables  # of any generation: keys are alike in all of them
        self._waiting: deque[_Asked] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def row(self, tenant: str, key: Key) -> StoredRow | None:
        asked = _Asked(tenant, key, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._running) < STATEMENTS_MAX:
            task = asyncio.create_task(self._run(), context=contextvars.Context())
            self._running.add(task)
        return await asked.answer

    async def _run(self) -> None:
        """Answer whoever waits, until nobody does; those who gave up are left out.

        It counts as running until the very look that found nobody: whoever comes after that begins another.
        """
        try:
            while self._waiting:
                asked = [self._waiting.popleft() for _ in range(min(KEYS_MAX, len(self._waiting)))]
                await self._answer([one for one in asked if not one.answer.done()])
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._running.discard(task)

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        if not asked:
            return
        try:
            found = await self._found(asked)
        except RowRefused as error:
            if len(asked) == 1:
                _fail(asked, InvalidCommand("filter", error.cause))
            for one in asked if len(asked) > 1 else ():
                await self._answer([one])
        except Exception as error:  # noqa: BLE001 - it is the callers' to judge
            _fail(asked, error)
        except BaseException:
            for one in asked:
                one.answer.cancel()
            raise
        else:
            for one, row in zip(asked, found, strict=True):
                if not one.answer.done():
                    one.answer.set_result(row)

    async def _found(self, asked: Sequence[_Asked]) -> list[_Found]:
        keys = [self._tables.key_parameters(one.tenant, one.key) for one in asked]
        arrays = [list(column) for column in zip(*keys, strict=True)]
        tables, rows = await self._rows.current(self._view, _rows_statement, arrays)
        owned = tables.view.kind is TableKind.OWNED
        found: list[_Found] = [None] * len(asked)
        for _, place, *values in rows:
            if place is not None:
                stream = StreamId(asked[place - 1].tenant, values[-2]) if owned else None
                found[place - 1] = StoredRow(tables.row(tuple(values)), stream, values[-1] if owned else 0)
        return found


def _rows_text(tables: ViewTables) -> str:
    """Parameters: the view, tenants, and one array for each column of the key. At least one row, with the generation."""
    view = tables.view
    names = [quoted(column.name) for column in view.columns]
    if view.kind is TableKind.OWNED:
        names += ['"stream"', '"stream_version"']
    keys = [quoted(name) for name in ("tenant", *view.key)]
    types = [ColumnType.TEXT, *(view.column(name).type for name in view.key)]
    wanted = ", ".join(f"k{number}" for number in range(len(keys)))
    alike = " AND ".join(f"t.{name} = u.k{number}" for number, name in enumerate(keys))
    return (
        f"SELECT g.active, r.* FROM (SELECT ({SELECT_ACTIVE}) AS active) AS g LEFT JOIN ("
        f"SELECT u.place, {', '.join(f't.{name}' for name in names)}"
        f" FROM unnest({', '.join(f'%b::{ARRAYS[kind]}' for kind in types)}) WITH ORDINALITY AS u({wanted}, place)"
        f" JOIN {quoted(view.table)} AS t ON {alike}) AS r ON true"
    )


def _versions_text(tables: ViewTables) -> str:
    """Parameters: the view, tenants, names of streams. At least one row, with the generation."""
    return (
        f"SELECT g.active, r.* FROM (SELECT ({SELECT_ACTIVE}) AS active) AS g LEFT JOIN ("
        "SELECT t.tenant, t.stream, t.version FROM unnest(%b::text[], %b::text[]) AS u(tenant, stream)"
        f" JOIN {quoted(f'{tables.view.table}__checkpoint')} AS t ON t.tenant = u.tenant AND t.stream = u.stream"
        ") AS r ON true"
    )


_rows_statement: Final = ByIdentity(_rows_text, VIEWS_MAX)
_versions_statement: Final = ByIdentity(_versions_text, VIEWS_MAX)


def _fail(asked: Sequence[_Asked], error: Exception) -> None:
    for one in asked:
        if not one.answer.done():
            one.answer.set_exception(error)
