"""Filters, orders and keyset pages as SQL text with parameters; the same meaning as ``filters.matches`` and ``sort_rows``.

Pure: no driver. Values always travel as parameters, with one exception: a part of a filter that is also the condition of one
of the view's partial indexes is written out, because a planner takes such an index only for conditions it can read.
"""

# ruff: noqa: S608 - names pass ``quoted``, values are parameters or written by the dialect

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventkernel.filters import All, AnyOf, Contains, Eq, Filter, In, IsNull, Order, Query, Range, lower_ascii
from eventkernel.sql_dialect import Dialect
from eventkernel.view import ColumnType, TableKind, View

S = TypeVar("S")
E = TypeVar("E")

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text and its parameters in order."""

    text: str
    parameters: tuple[Any, ...] = ()


def quoted(name: str) -> str:
    """An identifier in quotes (columns may be called ``order``); at most 63 of a-z 0-9 _, or ``ValueError``."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not an SQL name of 1 to 63 of a-z, 0-9 and _")
    return f'"{name}"'


def select_statement(dialect: Dialect, view: View[S, E], query: Query) -> Statement:
    """Rows of a page: the view's columns in their order, then ``stream, stream_version`` where rows are owned."""
    writer = _Writer(dialect, view)
    where = writer.conditions(query.tenant, query.where)
    if query.after is not None:
        where += f" AND {writer.after(query.order, query.after)}"
    names = ", ".join(quoted(name) for name in writer.types if name != "tenant")
    text = f"SELECT {names} FROM {quoted(view.table)} WHERE {where}"
    if query.order.columns:
        text += f" ORDER BY {writer.ordering(query.order)}"
    text += f" LIMIT {writer.bind(query.limit)}"
    return Statement(text, tuple(writer.parameters))


def count_statement(dialect: Dialect, view: View[S, E], query: Query) -> Statement:
    """How many rows match, whatever the page."""
    writer = _Writer(dialect, view)
    where = writer.conditions(query.tenant, query.where)
    return Statement(f"SELECT count(*) FROM {quoted(view.table)} WHERE {where}", tuple(writer.parameters))


def index_condition(dialect: Dialect, view: View[S, E], where: Filter) -> str:
    """The condition of a partial index, written out without parameters."""
    return _Writer(dialect, view).literal_filter(where)


def column_types(view: View[S, E]) -> dict[str, ColumnType]:
    """What may be filtered and ordered by: the declared columns, and for owned rows ``stream`` and ``stream_version``."""
    types = {column.name: column.type for column in view.columns}
    if view.kind is TableKind.OWNED:
        types |= {"stream": ColumnType.TEXT, "stream_version": ColumnType.INTEGER}
    return types


@dataclass(slots=True)
class _Writer:
    """Writes conditions and collects their parameters."""

    dialect: Dialect
    view: View[Any, Any]
    parameters: list[Any] = field(default_factory=list)
    types: Mapping[str, ColumnType] = field(init=False)
    literal: bool = False

    def __post_init__(self) -> None:
        self.types = column_types(self.view)

    def conditions(self, tenant: str, where: Filter) -> str:
        return f'"tenant" = {self.bind(tenant)} AND {self.filter(where)}'

    def filter(self, where: Filter) -> str:
        if not self.literal and any(index.where == where for index in self.view.indexes):
            return self.escaped(self.literal_filter(where))
        match where:
            case Eq(column, value):
                return "FALSE" if value is None else f"{quoted(column)} = {self.value(column, value)}"
            case In(column, values):
                known = ", ".join(self.value(column, value) for value in values if value is not None)
                return f"{quoted(column)} IN ({known})" if known else "FALSE"
            case Range(column, at_least, before):
                parts = [f"{quoted(column)} >= {self.value(column, at_least)}"] if at_least is not None else []
                parts += [f"{quoted(column)} < {self.value(column, before)}"] if before is not None else []
                return self.joined("AND", parts, f"{quoted(column)} IS NOT NULL")
            case Contains(column, text):
                return self.dialect.contains.format(column=quoted(column), text=self.value(column, lower_ascii(text)))
            case IsNull(column, null):
                return f"{quoted(column)} IS NULL" if null else f"{quoted(column)} IS NOT NULL"
            case All(parts):
                return self.joined("AND", [self.filter(part) for part in parts], "TRUE")
            case AnyOf(parts):
                return self.joined("OR", [self.filter(part) for part in parts], "FALSE")

    def literal_filter(self, where: Filter) -> str:
        return _Writer(self.dialect, self.view, literal=True).filter(where)

    def after(self, order: Order, bounds: Sequence[Any]) -> str:
        """Rows behind a position. Without nulls one row comparison says it, and an index can start there."""
        sign = "<" if order.descending else ">"
        columns = list(zip(order.columns, bounds, strict=True))
        if columns and not any(self.nullable(column) or bound is None for column, bound in columns):
            names = ", ".join(quoted(column) for column in order.columns)
            values = ", ".join(self.value(column, bound) for column, bound in columns)
            return f"({names}) {sign} ({values})"
        ways = []
        for place, (column, bound) in enumerate(columns):
            if bound is None:
                continue  # nulls are last: nothing comes after one by this column
            same = [self.equal(earlier, value) for earlier, value in columns[:place]]
            beyond = f"{quoted(column)} {sign} {self.value(column, bound)}"
            beyond = f"({beyond} OR {quoted(column)} IS NULL)" if self.nullable(column) else beyond
            ways.append(self.joined("AND", [*same, beyond], "TRUE"))
        return self.joined("OR", ways, "FALSE")

    def equal(self, column: str, bound: Any) -> str:
        return f"{quoted(column)} IS NULL" if bound is None else f"{quoted(column)} = {self.value(column, bound)}"

    def ordering(self, order: Order) -> str:
        direction = " DESC" if order.descending else ""
        return ", ".join(
            f"{quoted(column)}{direction}{' NULLS LAST' if self.nullable(column) else ''}" for column in order.columns
        )

    def nullable(self, column: str) -> bool:
        return column not in ("stream", "stream_version") and self.view.column(column).nullable

    def value(self, column: str, value: Any) -> str:
        encoded = self.dialect.encoded(self.types[column], value)
        return self.dialect.literal(encoded) if self.literal else self.bind(encoded)

    def bind(self, value: Any) -> str:
        self.parameters.append(value)
        return self.dialect.placeholder

    def escaped(self, text: str) -> str:
        return text.replace("%", "%%") if self.dialect.placeholder == "%s" else text

    @staticmethod
    def joined(word: str, parts: Sequence[str], none: str) -> str:
        if len(parts) < 2:
            return parts[0] if parts else none
        return "(" + f" {word} ".join(parts) + ")"
