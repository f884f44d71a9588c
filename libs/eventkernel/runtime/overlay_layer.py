"""What lies over one view in one reading: pending streams from the bus, and those that a token asked for."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventkernel.filters import Query, Row, is_after, matches, sort_rows
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StoredRow
from eventkernel.runtime.overlay_index import OverlaidRow, place_in
from eventkernel.runtime.overlay_rows import OverlaidRows, owned_rows, standing_of, visible
from eventkernel.runtime.row_cache import Standing
from eventkernel.view import Change, Key, TableKind, View
from eventkernel.view_sums import Sums, deltas


@dataclass(slots=True)
class Layer:
    """``own``: streams that a token named, as of their newest known versions. ``overtaken``: streams of which the reading's
    snapshot turned out to be newer than what lies over it; they count as stored.
    """

    rows: OverlaidRows[Any]
    own: dict[StreamId, Standing] = field(default_factory=dict)
    overtaken: set[StreamId] = field(default_factory=set)
    own_rows: dict[StreamId, tuple[OverlaidRow, ...]] = field(default_factory=dict)
    sums: dict[str, dict[Key, Sums]] = field(default_factory=dict)
    summed: dict[tuple[str, Key], Row | None] = field(default_factory=dict)

    @property
    def view(self) -> View[Any, Any]:
        """The view below."""
        return self.rows.view

    def put(self, stream: StreamId, standing: Standing) -> None:
        """Lay a stream over the snapshot for this reading alone."""
        self.own[stream] = standing
        if self.view.kind is TableKind.OWNED:
            self.own_rows[stream] = tuple(owned_rows(self.view, stream, standing))

    def standing(self, stream: StreamId) -> Standing | None:
        """Where a stream stands over the snapshot; None where the snapshot has the say."""
        if stream in self.overtaken:
            return None
        own, shared = self.own.get(stream), self.rows.standings(stream.tenant).get(stream)
        return own if own is not None and (shared is None or own.version > shared.version) else shared

    def standings(self, tenant: str) -> dict[StreamId, Standing]:
        """All of a tenant's."""
        streams = {*self.rows.standings(tenant), *(stream for stream in self.own if stream.tenant == tenant)}
        return {stream: found for stream in sorted(streams) if (found := self.standing(stream)) is not None}

    def is_empty(self, tenant: str) -> bool:
        """Whether nothing lies over this tenant's rows."""
        return not self.rows.standings(tenant) and not any(stream.tenant == tenant for stream in self.own)

    def size(self, tenant: str) -> int:
        """How many streams lie over this tenant's rows, about."""
        return len(self.rows.standings(tenant)) + len(self.own)

    def row(self, tenant: str, key: Key) -> OverlaidRow | None:
        """The overlaid row under a key."""
        for rows in self.own_rows.values():
            for row in rows:
                if row.key == key and row.stream.tenant == tenant and self._counts(row):
                    return row
        shared = self.rows.row(tenant, key)
        return shared if shared is not None and self._counts(shared) else None

    def first(self, query: Query) -> list[OverlaidRow]:
        """The first overlaid rows of a page, in order."""
        index = self.rows.index(query.tenant)
        shared = index.first(query, self._counts) if index is not None else []
        own = [
            row
            for rows in self.own_rows.values()
            for row in rows
            if row.stream.tenant == query.tenant and self._counts_alone(row) and matches(query.where, row.visible)
        ]
        if query.after is not None:
            own = [row for row in own if is_after(query.order, row.visible, query.after)]
        own.sort(key=lambda row: place_in(query.order, row.visible))
        return list(heapq.merge(shared, own, key=lambda row: place_in(query.order, row.visible)))[: query.limit]

    def _counts_alone(self, row: OverlaidRow) -> bool:
        """For own rows: not where the bus has brought the same version meanwhile, whose rows are among the shared ones."""
        shared = self.rows.standings(row.stream.tenant).get(row.stream)
        return self._counts(row) and (shared is None or shared.version < row.version)

    def _counts(self, row: OverlaidRow) -> bool:
        standing = self.standing(row.stream)
        return standing is not None and standing.version == row.version


def merge(layer: Layer, query: Query, stored: Sequence[StoredRow], *, whole: bool) -> "Page":
    """The page from what the store gave of it so far, all at one moment of the overlay. ``whole``: there is no more stored."""
    for row in stored:
        standing = None if row.stream is None else layer.standing(row.stream)
        if row.stream is not None and standing is not None and row.version > standing.version:
            layer.overtaken.add(row.stream)
    page = Page()
    rows: list[tuple[Row, StoredRow]] = []
    for row in stored:
        standing = None if row.stream is None else layer.standing(row.stream)
        if row.stream is not None and standing is not None:
            page.streams[row.stream] = standing.version
        else:
            rows.append((_visible(row), row))
    above = [(row.visible, StoredRow(row.values, row.stream, row.version)) for row in layer.first(query)]
    page.streams |= {row.stream: row.version for _, row in above if row.stream is not None}
    page.fill(query, [*rows, *above], stored[-1] if stored and not whole else None, whole=whole)
    return page


@dataclass(slots=True)
class Page:
    """A page, the streams whose overlay shaped it with their versions, and whether more stored rows could still change it."""

    rows: list[StoredRow] = field(default_factory=list)
    streams: dict[StreamId, int] = field(default_factory=dict)
    final: bool = False

    def fill(
        self, query: Query, rows: Sequence[tuple[Row, StoredRow]], frontier: StoredRow | None, *, whole: bool
    ) -> None:
        """The first of the rows in order. Beyond the frontier there may be stored rows that are not known yet."""
        by_identity = {id(values): row for values, row in rows}
        ordered = sort_rows(query.order, [values for values, _ in rows])[: query.limit]
        self.rows = [by_identity[id(values)] for values in ordered]
        self.final = whole
        if not whole and frontier is not None and len(ordered) == query.limit:
            self.final = not place_in(query.order, _visible(frontier)) < place_in(query.order, ordered[-1])


def moved_sums(
    layer: Layer, tenant: str, standings: Mapping[StreamId, Standing], checkpoints: Mapping[StreamId, Checkpoint]
) -> dict[Key, Sums]:
    """By key: what the pending events add to a view of sums, old contribution out, new in."""
    view = layer.view
    changes: list[tuple[str, Change]] = []
    for stream, standing in standings.items():
        base = standing_of(view, checkpoints[stream])
        old = view.contribution(base.state) if base is not None else {}
        new = view.contribution(standing.state)
        keys = dict.fromkeys([*old, *new])
        changes += [(tenant, Change(key, old.get(key), new.get(key))) for key in keys if old.get(key) != new.get(key)]
    return {key: moved for (_, key), moved in deltas(view, changes).items()}


def _visible(row: StoredRow) -> Row:
    return row.values if row.stream is None else visible(row.values, row.stream, row.version)
