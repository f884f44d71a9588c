"""Filters, orders and pages over the rows of a view, as data.

A store renders them (``sql.py``); ``matches`` and ``sort_key`` run the same ones in Python on rows that are not stored yet.
Semantics shared by both: a comparison with a null column is false (``IsNull`` asks for nulls); text compares by code point;
``Contains`` ignores case for A–Z only; nulls sort last in either direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Eq:
    """The column has this value."""

    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class In:
    """The column has one of these values; no values match nothing."""

    column: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """``at_least <= column < before``; either end may be open (None)."""

    column: str
    at_least: Any = None
    before: Any = None


@dataclass(frozen=True, slots=True)
class Contains:
    """The text column holds this text, case ignored for A–Z."""

    column: str
    text: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column is null (or, with ``null=False``, is not)."""

    column: str
    null: bool = True


@dataclass(frozen=True, slots=True)
class All:
    """Every part matches; no parts match everything."""

    parts: tuple["Filter", ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part matches; no parts match nothing."""

    parts: tuple["Filter", ...] = ()


Filter: TypeAlias = Eq | In | Range | Contains | IsNull | All | AnyOf


@dataclass(frozen=True, slots=True)
class Order:
    """Sort by these columns, all in one direction; the view's key must complete it so that the order is total."""

    columns: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Rows of one tenant that match, in order, after a keyset position (the order columns' values of the last row seen)."""

    tenant: str
    where: Filter = All()
    order: Order = Order(())
    after: tuple[Any, ...] | None = None
    limit: int = 50


def matches(where: Filter, row: Row) -> bool:
    """Whether the row passes the filter."""
    match where:
        case Eq(column, value):
            return row[column] is not None and row[column] == value
        case In(column, values):
            return row[column] is not None and row[column] in values
        case Range(column, at_least, before):
            value = row[column]
            return value is not None and (at_least is None or value >= at_least) and (before is None or value < before)
        case Contains(column, text):
            value = row[column]
            return value is not None and lower_ascii(text) in lower_ascii(value)
        case IsNull(column, null):
            return (row[column] is None) is null
        case All(parts):
            return all(matches(part, row) for part in parts)
        case AnyOf(parts):
            return any(matches(part, row) for part in parts)


def sort_key(order: Order, row: Row) -> tuple[Any, ...]:
    """The row's keyset position."""
    return tuple(row[column] for column in order.columns)


def sort_rows(order: Order, rows: Sequence[Row]) -> list[Row]:
    """The rows in order; stable sorts from the last column to the first, nulls last in either direction."""
    ordered = list(rows)
    for column in reversed(order.columns):
        nulls = [row for row in ordered if row[column] is None]
        known = [row for row in ordered if row[column] is not None]
        known.sort(key=lambda row: row[column], reverse=order.descending)
        ordered = known + nulls
    return ordered


def is_after(order: Order, row: Row, after: Sequence[Any]) -> bool:
    """Whether the row comes after a keyset position in this order."""
    for column, bound in zip(order.columns, after, strict=True):
        value = row[column]
        if value == bound:
            continue
        if value is None or bound is None:
            return value is None
        return bool(value < bound if order.descending else value > bound)
    return False


def lower_ascii(text: str) -> str:
    """The text with A–Z made lower, everything else as it is: what ``lower`` of SQLite and of the collation "C" does."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
