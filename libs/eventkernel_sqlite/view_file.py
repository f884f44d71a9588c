"""The file of read models: its schema, connections that know decimals, and statements over many rows."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eventkernel.errors import StoreMismatch
from eventkernel.sql_dialect import SQLITE, decimal_add, decimal_order
from eventkernel.sql_tables import catalogue_tables, shared_tables, view_tables
from eventkernel.view import View
from eventkernel_sqlite.connection import Schema, open_reader, open_writer

STORE = "views"
VIEWS_SCHEMA = Schema(
    store=STORE, application_id=0x65765F76, migrations=(shared_tables(SQLITE), catalogue_tables(SQLITE))
)

ROWS_IN_STATEMENT = 128
VARIABLES_MAX = 32_000  # SQLite's own limit is 32,766

SELECT_SHAPE = "SELECT shape FROM view_catalogue WHERE view = ?"
INSERT_VIEW = "INSERT INTO view_catalogue (view, shape, streams, events_applied) VALUES (?, ?, 0, 0)"


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that may change views."""
    return _with_decimals(open_writer(path, VIEWS_SCHEMA))


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that sees committed rows."""
    return _with_decimals(open_reader(path, VIEWS_SCHEMA))


def make_tables(connection: sqlite3.Connection, views: Sequence[View[Any, Any]]) -> None:
    """Make what is missing, inside the caller's transaction. Raises ``StoreMismatch`` for a table of another shape."""
    for view in views:
        tables = view_tables(SQLITE, view)
        known = connection.execute(SELECT_SHAPE, (view.table,)).fetchone()
        if known is None:
            connection.execute(INSERT_VIEW, (view.table, tables.shape))
        elif known[0] != tables.shape:
            raise StoreMismatch(STORE, expected=f"{view.table} as declared here", actual="a table of another shape")
        for statement in (*tables.tables, *tables.indexes):
            connection.execute(statement)


def execute_rows(connection: sqlite3.Connection, text: Callable[[int], str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement over all rows in few calls; its texts have a power of two of rows, so that they stay few and cached."""
    for some in _portions(rows):
        connection.execute(text(len(some)), [value for row in some for value in row])


def _portions(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    size = ROWS_IN_STATEMENT
    at = 0
    while at < len(rows):
        while size > 1 and (size > len(rows) - at or size * len(rows[at]) > VARIABLES_MAX):
            size //= 2
        yield rows[at : at + size]
        at += size


def _with_decimals(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.create_collation("decimal_order", decimal_order)
    connection.create_function("decimal_add", 2, decimal_add, deterministic=True)
    return connection
