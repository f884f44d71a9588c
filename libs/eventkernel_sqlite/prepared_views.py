"""The statements of every view that was prepared, made once."""

from typing import Any

from eventkernel.errors import StoreMismatch
from eventkernel.sql_dialect import SQLITE
from eventkernel.sql_tables import ViewTables, view_tables
from eventkernel.view import View
from eventkernel_sqlite.view_file import STORE


class PreparedViews:
    """By table name."""

    def __init__(self) -> None:
        self._tables: dict[str, ViewTables] = {}

    def add(self, view: View[Any, Any]) -> None:
        """Remember a view whose tables are there."""
        self._tables[view.table] = view_tables(SQLITE, view)

    def of(self, view: View[Any, Any]) -> ViewTables:
        """The view's statements. Raises ``StoreMismatch`` for one that was not prepared."""
        tables = self._tables.get(view.table)
        if tables is None:
            raise StoreMismatch(STORE, expected=f"table {view.table}", actual="not prepared")
        return tables
