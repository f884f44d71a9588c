"""Read models in memory: the shortest complete view store, and what the others are compared to.

A transaction works on copies of the tables it touches and puts them in place at its end; a reading keeps the tables that
were there when it began.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eventkernel.errors import Divergence, StoreMismatch
from eventkernel.filters import Query, Row, is_after, matches, sort_rows
from eventkernel.ids import StreamId
from eventkernel.ports.view_advance import advance_by_loading
from eventkernel.ports.view_catalogue import CORRECTIONS_KEY, CORRECTIONS_KIND, LaneHead, ViewCatalogue, ViewNotes
from eventkernel.ports.view_store import (
    Checkpoint,
    JointChange,
    ParkedEvent,
    StoredRow,
    StreamChange,
    ViewReading,
    ViewStatus,
    ViewStore,
    ViewTransaction,
)
from eventkernel.view import Key, TableKind, View
from eventkernel.view_sums import added, deltas, sum_columns

NOTHING = Checkpoint(0, None, None)


@dataclass(frozen=True, slots=True)
class _Table:
    """One view: rows and checkpoints and lanes."""

    shape: object
    rows: dict[tuple[str, Key], StoredRow] = field(default_factory=dict)
    checkpoints: dict[StreamId, Checkpoint] = field(default_factory=dict)
    lanes: dict[StreamId, dict[int, ParkedEvent]] = field(default_factory=dict)
    updated_at: datetime | None = None

    def version(self, stream: StreamId) -> int:
        """How far a stream is folded."""
        return self.checkpoints.get(stream, NOTHING).version

    def reach(self, stream: StreamId) -> int:
        """How far a stream is folded or kept in its lane."""
        return max(self.version(stream), *self.lanes.get(stream, {}), 0)

    def copy(self) -> "_Table":
        lanes = {stream: dict(lane) for stream, lane in self.lanes.items()}
        return _Table(self.shape, dict(self.rows), dict(self.checkpoints), lanes, self.updated_at)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Everything at one moment: tables by name, active generations by base name, notes by (base name, kind) and key."""

    tables: Mapping[str, _Table] = field(default_factory=dict)
    active: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)

    def name(self, view: View[Any, Any]) -> str:
        """The name of the table that is meant."""
        if view.generation is not None:
            return view.table
        return view.of_generation(self.active.get(view.base, 0)).table

    def of(self, view: View[Any, Any]) -> _Table:
        """The table that is meant."""
        if (name := self.name(view)) not in self.tables:
            raise StoreMismatch("views", expected=f"table {name}", actual="not prepared")
        return self.tables[name]


class MemoryViewStore:
    """Tables by name; one transaction at a time."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self._writing = asyncio.Lock()

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Make the tables that are missing."""
        for view in views:
            shape = (view.kind, view.columns, view.key)
            known = self._kept.tables.get(view.table) or _Table(shape)
            self._kept = replace(self._kept, tables={**self._kept.tables, view.table: known})
            if known.shape != shape:
                raise StoreMismatch("views", expected=f"{view.table} as declared", actual="a table of another shape")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ViewTransaction]:
        """Copies of what is touched, put in place at the end."""
        async with self._writing:
            transaction = MemoryViewTransaction(self._kept)
            yield transaction
            self._kept = transaction.onto(self._kept)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ViewReading]:
        """The tables of this moment."""
        yield MemoryViewReading(self._kept)

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts per view."""
        return [self._status(view) for view in views]

    async def close(self) -> None:
        """Nothing is held."""

    def _status(self, view: View[Any, Any]) -> ViewStatus:
        table = self._kept.of(view)
        parked = [event for lane in table.lanes.values() for event in lane.values()]
        return ViewStatus(
            view=view.name,
            version=view.version,
            streams=len(table.checkpoints),
            events_applied=sum(checkpoint.version for checkpoint in table.checkpoints.values()),
            parked_streams=len(table.lanes),
            last_error=max(parked, key=lambda event: event.parked_at).error if parked else "",
            updated_at=table.updated_at,
        )


class MemoryViewTransaction:
    """Works on copies."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept
        self._touched: dict[str, _Table] = {}
        self._activated: dict[str, int] = {}
        self._dropped: set[str] = set()
        self._noted: dict[tuple[str, str], dict[str, bytes]] = {}

    @property
    def catalogue(self) -> "MemoryViewTransaction":
        """Itself."""
        return self

    @property
    def notes(self) -> "MemoryViewTransaction":
        """Itself."""
        return self

    def onto(self, kept: _Kept) -> _Kept:
        """What there is once everything of this transaction is in place; tables prepared meanwhile stay."""
        tables = {name: table for name, table in {**kept.tables, **self._touched}.items() if name not in self._dropped}
        return _Kept(tables, {**kept.active, **self._activated}, {**kept.notes, **self._noted})

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints."""
        known = self._now(view).checkpoints
        return {stream: known.get(stream, NOTHING) for stream in sorted(set(streams))}

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """Move the checkpoints, then the rows."""
        if not steps:
            return
        table = replace(self._mine(view), updated_at=datetime.now(UTC))
        self._touched[self._name(view)] = table
        for step in steps:
            actual = table.checkpoints.get(step.stream, NOTHING).version
            if actual != step.from_version:
                raise checkpoint_moved(step, actual)
            table.checkpoints[step.stream] = step.checkpoint
        if view.kind is TableKind.OWNED:
            _put_owned(table, steps)
        else:
            _add_sums(view, table, steps)

    async def advance(self, joint: Sequence[JointChange]) -> None:
        """One view after the other."""
        await advance_by_loading(self, joint)

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes by version."""
        lanes = self._now(view).lanes
        return {stream: [lanes[stream][v] for v in sorted(lanes[stream])] for stream in streams if stream in lanes}

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Add to the lanes."""
        for parked in events:
            lane = self._mine(view).lanes.setdefault(parked.event.stream, {})
            lane.setdefault(parked.event.version, parked)

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Shorten the lane; an empty one goes."""
        lanes = self._mine(view).lanes
        left = {version: parked for version, parked in lanes.pop(stream, {}).items() if version > up_to}
        if left:
            lanes[stream] = left

    async def active(self, view: View[Any, Any]) -> int:
        """The generation that answers."""
        return self._activated.get(view.base, self._kept.active.get(view.base, 0))

    async def activate(self, view: View[Any, Any], generation: int) -> None:
        """Let another one answer."""
        self._now(view.of_generation(generation))
        self._activated[view.base] = generation

    async def behind(self, ahead: View[Any, Any], view: View[Any, Any], streams_max: int) -> Sequence[StreamId]:
        """Compares how far each stream reaches."""
        there, here = self._now(ahead), self._now(view)
        streams = {*there.checkpoints, *there.lanes}
        behind = [s for s in streams if there.version(s) > here.version(s) or there.reach(s) > here.reach(s)]
        return sorted(behind)[:streams_max]

    async def lanes(self, view: View[Any, Any], tenant: str, after: str, lanes_max: int) -> Sequence[LaneHead]:
        """By the stream's name."""
        lanes = self._now(view).lanes
        streams = sorted(s for s in lanes if s.tenant == tenant and s.name > after)
        return [_lane_head(stream, lanes[stream]) for stream in streams[:lanes_max]]

    async def drop(self, view: View[Any, Any]) -> None:
        """Forget the table."""
        if view.generation is None or view.generation == await self.active(view):
            raise ValueError(f"{view.table} answers queries")
        self._touched.pop(view.table, None)
        self._dropped.add(view.table)

    async def put(self, view: View[Any, Any], kind: str, key: str, body: bytes) -> None:
        """Keep a document."""
        place = (view.base, kind)
        self._noted[place] = {**self._noted.get(place, self._kept.notes.get(place, {})), key: body}

    async def all(self, view: View[Any, Any], kind: str) -> Mapping[str, bytes]:
        """The documents by key."""
        place = (view.base, kind)
        return dict(sorted(self._noted.get(place, self._kept.notes.get(place, {})).items()))

    def _name(self, view: View[Any, Any]) -> str:
        if view.generation is not None or view.base not in self._activated:
            return self._kept.name(view)
        return view.of_generation(self._activated[view.base]).table

    def _now(self, view: View[Any, Any]) -> _Table:
        name = self._name(view)
        if name in self._touched:
            return self._touched[name]
        if name not in self._kept.tables or name in self._dropped:
            raise StoreMismatch("views", expected=f"table {name}", actual="not prepared")
        return self._kept.tables[name]

    def _mine(self, view: View[Any, Any]) -> _Table:
        name = self._name(view)
        if name not in self._touched:
            self._touched[name] = self._now(view).copy()
        return self._touched[name]


class MemoryViewReading:
    """Reads the tables as they were."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row under this key."""
        return self._kept.of(view).rows.get((tenant, key))

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """A page, by the kernel's own filter and order."""
        pairs = self._matching(view, query)
        found = {id(values): row for row, values in pairs}
        ordered = sort_rows(query.order, [values for _, values in pairs])
        after = query.after
        page = [values for values in ordered if after is None or is_after(query.order, values, after)]
        return [found[id(values)] for values in page[: query.limit]]

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """How many match."""
        return len(self._matching(view, query))

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far the view is."""
        known = self._kept.of(view).checkpoints
        return {stream: known.get(stream, NOTHING) for stream in streams}

    async def corrections(self, view: View[Any, Any]) -> int:
        """The note."""
        return int(self._kept.notes.get((view.base, CORRECTIONS_KIND), {}).get(CORRECTIONS_KEY, b"0"))

    async def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """Every checkpoint, by stream."""
        for item in sorted(self._kept.of(view).checkpoints.items(), key=lambda item: item[0]):
            yield item

    def _matching(self, view: View[Any, Any], query: Query) -> list[tuple[StoredRow, Row]]:
        """Matching rows, each with the values that filters see: a row's owner is among them."""
        rows = [row for (tenant, _), row in self._kept.of(view).rows.items() if tenant == query.tenant]
        pairs = [(row, _visible(row)) for row in rows]
        return [(row, values) for row, values in pairs if matches(query.where, values)]


def checkpoint_moved(step: StreamChange, actual: int) -> Divergence:
    """The error for a checkpoint that is not where the step began."""
    return Divergence(
        step.stream.key,
        version=step.checkpoint.version,
        expected=f"checkpoint at version {step.from_version}",
        actual=f"checkpoint at version {actual}",
    )


def _visible(row: StoredRow) -> Row:
    owner = {} if row.stream is None else {"stream": row.stream.name, "stream_version": row.version}
    return {**row.values, **owner}


def _lane_head(stream: StreamId, lane: Mapping[int, ParkedEvent]) -> LaneHead:
    first = lane[min(lane)]
    return LaneHead(stream, min(lane), max(lane), len(lane), first.error, first.parked_at)


def _put_owned(table: _Table, steps: Sequence[StreamChange]) -> None:
    for step in steps:
        for change in step.changes:
            place = (step.stream.tenant, change.key)
            if change.after is None:
                table.rows.pop(place, None)
            else:
                table.rows[place] = StoredRow(change.after, step.stream, step.checkpoint.version)


def _add_sums(view: View[Any, Any], table: _Table, steps: Sequence[StreamChange]) -> None:
    names = sum_columns(view)
    moved = deltas(view, ((step.stream.tenant, change) for step in steps for change in step.changes))
    for (tenant, key), delta in moved.items():
        stored = table.rows.get((tenant, key))
        sums = delta if stored is None else added(tuple(stored.values[name] for name in names), delta)
        if any(sums):
            values = dict(zip(view.key, key, strict=True)) | dict(zip(names, sums, strict=True))
            table.rows[tenant, key] = StoredRow(values, None, 0)
        else:
            table.rows.pop((tenant, key), None)


if TYPE_CHECKING:
    _: tuple[type[ViewStore], type[ViewTransaction], type[ViewCatalogue], type[ViewNotes]] = (
        MemoryViewStore,
        MemoryViewTransaction,
        MemoryViewTransaction,
        MemoryViewTransaction,
    )
