"""Random rows, filters, orders and pages over every column type, from a seeded source.

The values are few and close together, so that comparisons meet equal, neighbouring and missing values often.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from eventkernel.filters import All, AnyOf, Contains, Eq, Filter, In, IsNull, Order, Query, Range, Row
from eventkernel.view import Column, ColumnType, Index, TableKind, View

_MOMENT = datetime(2026, 3, 1, 8, 30, 0, 123456, tzinfo=UTC)
_TEXTS = (
    "",
    "a",
    "A",
    "aB",
    "Ab",
    "b",
    "ß",
    "é",
    "É",
    "Z",
    "z",
    "_%",
    "\uffee",
    "\U0001f48a",
    "O'Hara",
    '"',
    "\\",
    " a",
)
_DECIMALS = (
    "0",
    "-1",
    "1",
    "1.5",
    "1.50",
    "2",
    "10",
    "9",
    "-10",
    "-9",
    "0.1",
    "1E+2",
    "1E-7",
    "123456789012345678901234567890.1",
)

_VALUES: dict[ColumnType, Callable[[Random], Any]] = {
    ColumnType.TEXT: lambda random: random.choice(_TEXTS),
    ColumnType.INTEGER: lambda random: random.choice((0, 1, -1, 2, 7, 2**63 - 1, -(2**63))),
    ColumnType.BOOLEAN: lambda random: random.random() < 0.5,
    ColumnType.TIME: lambda random: _MOMENT + random.choice((0, 1, -1, 10**6, -(10**12))) * timedelta(microseconds=1),
    ColumnType.DATE: lambda random: date(2026, 3, 1) + timedelta(days=random.choice((0, 1, -1, 300, -370_000))),
    ColumnType.DECIMAL: lambda random: Decimal(random.choice(_DECIMALS)),
    ColumnType.BYTES: lambda random: random.choice((b"", b"\x00", b"a", b"ab", b"\xff", b"'")),
}


class _Bytes:
    """A state that is bytes already."""

    def encode(self, state: bytes) -> bytes:
        """As it is."""
        return state

    def decode(self, data: bytes) -> bytes:
        """As it is."""
        return data


def sample_view(
    name: str,
    kind: TableKind,
    columns: tuple[Column, ...],
    key: tuple[str, ...],
    indexes: tuple[Index, ...] = (),
) -> View[bytes, bytes]:
    """A view whose rows a test gives itself: its fold does nothing."""
    return View(
        name=name,
        version=1,
        kind=kind,
        categories=frozenset({"thing"}),
        columns=columns,
        key=key,
        indexes=indexes,
        initial=b"",
        fold=lambda state, event, recorded: state,
        rows=lambda state: (),
        codec=_Bytes(),
    )


def every_type_view(name: str) -> View[bytes, bytes]:
    """An owned view with a column of every type, each once with and once without nulls, and partial indexes."""
    columns = [Column("id", ColumnType.TEXT)]
    for kind in ColumnType:
        columns += [Column(kind.name.lower(), kind), Column(f"maybe_{kind.name.lower()}", kind, nullable=True)]
    indexes = (
        Index(("text", "id")),
        Index(("decimal", "id"), where=In("text", ("a", "O'Hara", "_%"))),
        Index(("time", "id"), where=All((Eq("boolean", True), IsNull("maybe_time", null=False)))),
        Index(("stream", "stream_version")),
    )
    return sample_view(name, TableKind.OWNED, tuple(columns), ("id",), indexes)


def random_row(random: Random, view: View[Any, Any], key: str) -> Row:
    """A row with this ``id``."""
    row = {column.name: _value(random, column) for column in view.columns}
    return row | {"id": key}


def random_query(random: Random, view: View[Any, Any], tenant: str, rows: list[Row]) -> Query:
    """A query; where it has an order it begins, half of the time, after one of the rows."""
    columns = tuple(
        random.sample([column.name for column in view.columns if column.name != "id"], random.randint(0, 3))
    )
    order = Order((*columns, "id"), descending=random.random() < 0.5)
    after = None
    if rows and random.random() < 0.5:
        row = random.choice(rows)
        after = tuple(row[column] for column in order.columns)
    return Query(tenant, random_filter(random, view), order, after, limit=random.choice((1, 3, 1_000)))


def random_filter(random: Random, view: View[Any, Any], depth: int = 2) -> Filter:
    """A filter, nested up to ``depth``; now and then the condition of one of the view's partial indexes."""
    conditions = [index.where for index in view.indexes if index.where is not None]
    if conditions and random.random() < 0.1:
        return random.choice(conditions)
    if depth and random.random() < 0.5:
        parts = tuple(random_filter(random, view, depth - 1) for _ in range(random.randint(0, 3)))
        return random.choice((All, AnyOf))(parts)
    column = random.choice(view.columns)
    match random.randint(0, 5):
        case 0:
            return Eq(column.name, _value(random, column))
        case 1:
            return In(column.name, tuple(_value(random, column) for _ in range(random.randint(0, 3))))
        case 2 | 3:
            bounds = (_value(random, column) if random.random() < 0.7 else None for _ in range(2))
            return Range(column.name, *bounds)
        case 4:
            return IsNull(column.name, null=random.random() < 0.5)
        case _:
            return Contains(random.choice(("text", "maybe_text")), random.choice(_TEXTS))


def _value(random: Random, column: Column) -> Any:
    if column.nullable and random.random() < 0.3:
        return None
    return _VALUES[column.type](random)
