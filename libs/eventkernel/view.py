"""A read model as a pure fold of one stream's events into rows, declared once for every store.

Each stream folds into a small state of its own, kept with the stream's checkpoint; ``rows(state)`` is what the stream
contributes to the table. So events of different streams may be folded in any order, a rebuild gives the same rows, and a
reader can fold pending events over the stored state.

Two kinds of table:

- ``OWNED``: a row belongs to one stream; the key must hold something of the stream's identity.
- ``SUMMED``: rows are shared; every column that is not in the key is a number, and the stored row is the sum of the
  contributions of all streams. A row whose numbers are all zero does not exist.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Filter, Row

E = TypeVar("E")
S = TypeVar("S")
Key: TypeAlias = tuple[Any, ...]


class ColumnType(Enum):
    """What a column holds. Values are the Python types named; adapters choose the SQL type."""

    TEXT = "str"
    INTEGER = "int, 64 bit"
    BOOLEAN = "bool"
    TIME = "datetime, UTC, microseconds"
    DATE = "date"
    DECIMAL = "Decimal, exact"
    BYTES = "bytes"


class TableKind(Enum):
    """Who owns a row; see the module's docstring."""

    OWNED = "owned"
    SUMMED = "summed"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and type; ``nullable`` says whether None is a value."""

    name: str
    type: ColumnType
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index over columns (the tenant leads it in every store), optionally only over rows that match ``where``."""

    columns: tuple[str, ...]
    where: Filter | None = None


class ViewStateCodec(Protocol[S]):
    """The per-stream state of a view as bytes, kept with the checkpoint."""

    def encode(self, state: S) -> bytes:
        """Bytes that ``decode`` reads back to an equal state."""

    def decode(self, data: bytes) -> S:
        """The state."""


@dataclass(frozen=True, slots=True)
class View(Generic[S, E]):
    """A read model. ``version`` changes with the table's shape or the fold's meaning; each version is a table of its own.

    ``generation`` says which of several tables of this declaration is meant: 0 is the first, rebuilds fill further ones beside
    it, and None means whichever one answers just now; stores find out inside the transaction or the snapshot that asks.

    ``categories`` names the kinds of streams it folds. ``fold(state, event, recorded)`` gets the decoded domain event and
    its envelope; it never refuses. ``rows(state)`` gives the rows by key, without tenant.
    """

    name: str
    version: int
    kind: TableKind
    categories: frozenset[str]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...]
    initial: S
    fold: Callable[[S, E, RecordedEvent], S]
    rows: Callable[[S], Iterable[Row]]
    codec: ViewStateCodec[S]
    generation: int | None = None
    _key_values: Callable[[Row], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a declaration that no store could carry out."""
        names = [column.name for column in self.columns]
        unknown = {c for i in self.indexes for c in i.columns} | set(self.key)
        unknown -= set(names) | {"stream", "stream_version"}
        if unknown or len(set(names)) != len(names) or {"tenant", "stream", "stream_version"} & set(names):
            raise ValueError(f"view {self.name}: unknown, double or reserved columns {sorted(unknown) or names}")
        if not self.key or any(c.nullable for c in self.columns if c.name in self.key):
            raise ValueError(f"view {self.name}: a key has columns, and none of them may be null")
        object.__setattr__(self, "_key_values", itemgetter(*self.key))
        if self.kind is TableKind.SUMMED:
            sums = [c for c in self.columns if c.name not in self.key]
            if not sums or any({"stream", "stream_version"} & {*i.columns} for i in self.indexes):
                raise ValueError(f"view {self.name}: a summed view has sums, and its rows belong to no stream")
            if any(c.type not in (ColumnType.INTEGER, ColumnType.DECIMAL) or c.nullable for c in sums):
                raise ValueError(f"view {self.name}: columns of a summed view outside its key must be numbers")

    @property
    def base(self) -> str:
        """The name that all generations share."""
        return f"{self.name}_v{self.version}"

    @property
    def table(self) -> str:
        """The table's name in every store."""
        return f"{self.base}__r{self.generation}" if self.generation else self.base

    def of_generation(self, generation: int) -> "View[S, E]":
        """This declaration's table of one generation."""
        return self if self.generation == generation else replace(self, generation=generation)

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(column for column in self.columns if column.name == name)

    def key_of(self, row: Row) -> Key:
        """The row's key."""
        found = self._key_values(row)
        return found if len(self.key) > 1 else (found,)

    def contribution(self, state: S) -> dict[Key, Row]:
        """What a stream in this state contributes, by key."""
        return {self.key_of(row): row for row in self.rows(state)}


@dataclass(frozen=True, slots=True)
class Change:
    """One row's change by one stream: ``before`` and ``after`` are its contribution, None where there was or is none."""

    key: Key
    before: Row | None
    after: Row | None


def changes(view: View[S, E], before: S, after: S) -> tuple[Change, ...]:
    """What must be done to the table when a stream goes from one state to another: old out, new in, equal rows left alone."""
    were, are = tuple(view.rows(before)), tuple(view.rows(after))
    if len(were) < 2 and len(are) < 2:
        return _changes_of_one(view, were, are)
    old: Mapping[Key, Row] = {view.key_of(row): row for row in were}
    new: Mapping[Key, Row] = {view.key_of(row): row for row in are}
    if not old:
        return tuple(Change(key, None, row) for key, row in new.items())
    keys = dict.fromkeys([*old, *new])
    return tuple(Change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key))


def _changes_of_one(view: View[Any, Any], were: tuple[Row, ...], are: tuple[Row, ...]) -> tuple[Change, ...]:
    """The same for no more than one row before and after, as nearly all streams have it."""
    if not were:
        return tuple(Change(view.key_of(row), None, row) for row in are)
    old, key = were[0], view.key_of(were[0])
    if not are:
        return (Change(key, old, None),)
    new, place = are[0], view.key_of(are[0])
    if place != key:
        return (Change(key, old, None), Change(place, None, new))
    return () if old == new else (Change(key, old, new),)
