"""Steps of one partition in the order of the bus, found by their place and by the values that filters demand of a row."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import Any, TypeAlias

from eventkernel.filters import All, Eq, Filter, In
from eventkernel.runtime.watch_steps import Step
from eventkernel.view import ColumnType, View

Place: TypeAlias = tuple[str, str, Any]
"""A tenant, a column, and a value of it."""

_behind = attrgetter("next_offset")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A step at its place on the bus; ``next_offset`` is the position behind it."""

    partition: int
    next_offset: int
    step: Step


def of_tenant(tenant: str) -> Place:
    """The place that every entry of a tenant has."""
    return tenant, "", None


def indexed_columns(view: View[Any, Any]) -> frozenset[str]:
    """The columns by whose values steps of a view are found: texts that lead one of its indexes."""
    leading = {index.columns[0] for index in view.indexes} - {"stream", "stream_version"}
    return frozenset(name for name in leading if view.column(name).type is ColumnType.TEXT)


class KeptSteps:
    """Entries are added at the end and dropped from the beginning. ``columns`` are those that entries are found by."""

    def __init__(self, columns: frozenset[str]) -> None:
        self._columns = columns
        self._all = _Run()
        self._by_place: dict[Place, _Run] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def add(self, entry: LogEntry) -> None:
        """The next one."""
        self._all.add(entry)
        for place in self._places(entry):
            run = self._by_place.get(place)
            if run is None:
                run = self._by_place[place] = _Run()
            run.add(entry)

    def drop(self) -> LogEntry:
        """Forget the oldest, and give it."""
        entry = self._all.drop()
        for place in self._places(entry):
            run = self._by_place[place]
            run.drop()  # the oldest of all is the oldest of each of its places
            if not len(run):
                del self._by_place[place]
        return entry

    def after(self, offset: int, places: Sequence[Place] = ()) -> list[LogEntry]:
        """Those whose record lies at ``offset`` or after it; with ``places`` only those that have one of them."""
        if not places:
            return self._all.after(offset)
        found = [run.after(offset) for place in places if (run := self._by_place.get(place)) is not None]
        if len(found) == 1:
            return found[0]
        return list(_once(merge(*found, key=_behind)))

    def _places(self, entry: LogEntry) -> Iterable[Place]:
        tenant = entry.step.event.stream.tenant
        found = {
            (tenant, column, row[column])
            for change in entry.step.changes
            for row in (change.before, change.after)
            if row is not None
            for column in self._columns
        }
        found.add(of_tenant(tenant))
        return found


class _Run:
    """A list whose beginning can be dropped."""

    __slots__ = ("_entries", "_head")

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self._head = 0

    def __len__(self) -> int:
        return len(self._entries) - self._head

    def add(self, entry: LogEntry) -> None:
        self._entries.append(entry)

    def drop(self) -> LogEntry:
        entry = self._entries[self._head]
        self._head += 1
        if self._head * 2 > len(self._entries):
            del self._entries[: self._head]
            self._head = 0
        return entry

    def after(self, offset: int) -> list[LogEntry]:
        return self._entries[bisect_right(self._entries, offset, self._head, key=_behind) :]


def _once(entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
    """Sorted entries, each once: one that changes a value has both places."""
    last = -1
    for entry in entries:
        if entry.next_offset != last:
            last = entry.next_offset
            yield entry


def demanded(where: Filter, columns: frozenset[str] | None = None) -> tuple[str, tuple[Any, ...]] | None:
    """A column (of these) of which the filter demands one of few values, if there is one: the one with the fewest."""
    match where:
        case Eq(column, value) if columns is None or column in columns:
            return column, (value,)
        case In(column, values) if columns is None or column in columns:
            return column, tuple(dict.fromkeys(values))
        case All(parts):
            found = [one for part in parts if (one := demanded(part, columns)) is not None]
            return min(found, key=lambda one: len(one[1]), default=None)
        case _:
            return None
