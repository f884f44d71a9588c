"""The statements of every view that was prepared, made once for each generation."""

import sqlite3
from typing import Any

from eventkernel.errors import StoreMismatch
from eventkernel.sql_dialect import SQLITE
from eventkernel.sql_tables import ViewTables, view_tables
from eventkernel.view import View
from eventkernel_sqlite.view_file import STORE

SELECT_ACTIVE = "SELECT active FROM view_generations WHERE view = ?"


class PreparedViews:
    """By base name and generation."""

    def __init__(self) -> None:
        self._views: dict[str, View[Any, Any]] = {}
        self._tables: dict[tuple[str, int], ViewTables] = {}

    def add(self, view: View[Any, Any]) -> None:
        """Remember a view whose tables are there."""
        self._views[view.base] = view
        self._tables[view.base, view.generation or 0] = view_tables(SQLITE, view.of_generation(view.generation or 0))

    def of(self, connection: sqlite3.Connection, view: View[Any, Any]) -> ViewTables:
        """The statements of the generation that is meant, or of the one that answers in the connection's transaction.

        Raises ``StoreMismatch`` for a view that was not prepared. Another process may have made the generation, so that it
        is enough for any of the view to be prepared here.
        """
        generation = active_generation(connection, view) if view.generation is None else view.generation
        tables = self._tables.get((view.base, generation))
        if tables is None:
            if view.base not in self._views:
                raise StoreMismatch(STORE, expected=f"table {view.table}", actual="not prepared")
            tables = view_tables(SQLITE, self._views[view.base].of_generation(generation))
            self._tables[view.base, generation] = tables
        return tables


def active_generation(connection: sqlite3.Connection, view: View[Any, Any]) -> int:
    """Which generation answers."""
    found = connection.execute(SELECT_ACTIVE, (view.base,)).fetchone()
    return found[0] if found else 0
