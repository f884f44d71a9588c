"""Overlaid rows of one tenant in one view, found by equal values and in order without looking at all of them."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from eventkernel.filters import All, AnyOf, Eq, Filter, In, Order, Query, Row, matches
from eventkernel.ids import StreamId
from eventkernel.view import Key

ORDERS_MAX = 16
"""Orders in which the rows are kept; the least recently made one goes first."""

_numbers = count()
_Place: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OverlaidRow:
    """A row as it is after pending events. ``visible`` is what filters and orders see: the values and the row's owner."""

    stream: StreamId
    version: int
    key: Key
    values: Row
    visible: Row
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, slots=True)
class _Down:
    """A value that sorts the other way round."""

    value: Any

    def __lt__(self, other: "_Down") -> bool:
        return bool(other.value < self.value)


def place_in(order: Order, row: Row) -> _Place:
    """Sorts as ``filters.sort_rows`` does: nulls last in either direction."""
    return place_of(order, [row[column] for column in order.columns])


def place_of(order: Order, values: Sequence[Any]) -> _Place:
    """The same for a keyset position."""
    if order.descending:
        return tuple((1,) if value is None else (0, _Down(value)) for value in values)
    return tuple((1,) if value is None else (0, value) for value in values)


class RowIndex:
    """Rows by number. ``equal_columns`` are those whose values are looked up rather than compared row by row."""

    def __init__(self, equal_columns: Iterable[str]) -> None:
        self._equal: dict[str, dict[Any, set[int]]] = {column: defaultdict(set) for column in equal_columns}
        self._rows: dict[int, OverlaidRow] = {}
        self._orders: dict[Order, list[tuple[_Place, int]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: OverlaidRow) -> None:
        """Add a row."""
        self._rows[row.number] = row
        for column, found in self._equal.items():
            found[row.visible[column]].add(row.number)
        for order, places in self._orders.items():
            insort(places, (place_in(order, row.visible), row.number))

    def remove(self, row: OverlaidRow) -> None:
        """Remove a row that is there."""
        del self._rows[row.number]
        for column, found in self._equal.items():
            numbers = found[row.visible[column]]
            numbers.remove(row.number)
            if not numbers:
                del found[row.visible[column]]
        for order, places in self._orders.items():
            del places[bisect_left(places, (place_in(order, row.visible), row.number))]

    def first(self, query: Query, passes: Callable[[OverlaidRow], bool]) -> list[OverlaidRow]:
        """The first rows of a page that match and pass, in order."""
        after = None if query.after is None else place_of(query.order, query.after)
        page: list[OverlaidRow] = []
        for place, row in self._walk(query, after):
            if (after is None or place > after) and passes(row) and matches(query.where, row.visible):
                page.append(row)
                if len(page) == query.limit:
                    break
        return page

    def _walk(self, query: Query, after: _Place | None) -> Iterator[tuple[_Place, OverlaidRow]]:
        """In order: of the few that equal values leave, or else all from the page's beginning on."""
        numbers = self._narrowed(query.where)
        if numbers is not None:
            rows = [self._rows[number] for number in numbers]
            placed = sorted((place_in(query.order, row.visible), row.number) for row in rows)
            begin = 0
        else:
            placed = self._ordered(query.order)
            begin = 0 if after is None else bisect_right(placed, after, key=lambda entry: entry[0])
        for place, number in placed[begin:] if begin else placed:
            yield place, self._rows[number]

    def _ordered(self, order: Order) -> list[tuple[_Place, int]]:
        places = self._orders.get(order)
        if places is None:
            if len(self._orders) == ORDERS_MAX:
                del self._orders[next(iter(self._orders))]
            places = sorted((place_in(order, row.visible), row.number) for row in self._rows.values())
            self._orders[order] = places
        return places

    def _narrowed(self, where: Filter) -> set[int] | None:
        """The numbers of all rows that may match, where equal values tell; None where they do not."""
        match where:
            case Eq(column, value) if column in self._equal:
                return self._equal[column].get(value, set())
            case In(column, values) if column in self._equal:
                return set().union(*(self._equal[column].get(value, set()) for value in values))
            case All(parts):
                found = [numbers for part in parts if (numbers := self._narrowed(part)) is not None]
                return min(found, key=len) if found else None
            case AnyOf(parts):
                each = [self._narrowed(part) for part in parts]
                return None if None in each else set().union(*(numbers for numbers in each if numbers is not None))
            case _:
                return None


def may_match(where: Filter, known: Row) -> bool:
    """Whether a row of which only these columns are known may match. No filter negates, so the rest is taken to match."""
    match where:
        case All(parts):
            return all(may_match(part, known) for part in parts)
        case AnyOf(parts):
            return any(may_match(part, known) for part in parts)
        case _:
            return where.column not in known or matches(where, known)
