"""Reading views as they will be when the projector has got to the end of what is pending.

Stored rows come from one snapshot. Where a stream has pending events its rows are left out, and those folded from its state
take their place in filter, order and page; sums get the difference between the stream's new contribution and its old one.
A stream of which the snapshot is newer than the overlay counts as stored.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eventkernel.filters import All, AnyOf, Eq, Order, Query, Row, matches, sort_key, sort_rows
from eventkernel.filters import is_after as comes_after
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StoredRow, ViewReading
from eventkernel.runtime.overlay_index import may_match
from eventkernel.runtime.overlay_layer import Layer, Page, merge, moved_sums
from eventkernel.runtime.overlay_rows import standing_of, visible
from eventkernel.runtime.row_cache import Standing
from eventkernel.view import Key, TableKind, View
from eventkernel.view_sums import added, sum_columns

PORTION_MAX = 1_000
MARGIN_MAX = 16
"""Stored rows asked for beyond a page, in place of those that the overlay leaves out."""
STREAMS_AT_ONCE = 500
KEYS_AT_ONCE = 50

LayerOf = Callable[[View[Any, Any]], Awaitable[Layer]]


class OverlaidReading:
    """A ``ViewReading`` over another one. ``events_overlaid``: how many pending events the answers so far rest on."""

    def __init__(self, below: ViewReading, layer_of: LayerOf) -> None:
        self._below = below
        self._layer_of = layer_of
        self._folded: dict[tuple[str, StreamId], int] = {}

    @property
    def events_overlaid(self) -> int:
        """Events folded onto what is stored, over all rows that the answers of this reading rest on."""
        return sum(self._folded.values())

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row under this key."""
        layer = await self._layer_of(view)
        if view.kind is TableKind.SUMMED:
            moved = await self._moved(layer, tenant)
            if key not in moved:
                return await self._below.get(view, tenant, key)
            values = await self._summed(layer, tenant, [key])
            return StoredRow(values[0], None, 0) if values else None
        while True:
            overlaid = layer.row(tenant, key)
            if overlaid is not None:
                if await self._holds(layer, {overlaid.stream: overlaid.version}):
                    return StoredRow(overlaid.values, overlaid.stream, overlaid.version)
                if layer.row(tenant, key) is not overlaid:
                    continue  # folded further meanwhile, or overtaken by the snapshot
            row = await self._below.get(view, tenant, key)
            if layer.row(tenant, key) is not overlaid:
                continue  # its stream has become pending, or is no longer, while the store was asked
            standing = None if row is None or row.stream is None else layer.standing(row.stream)
            if row is None or row.stream is None or standing is None or row.version > standing.version:
                return row
            if await self._holds(layer, {row.stream: standing.version}):
                # The stream's rows are those folded from the pending events, and this key is no longer among them.
                return None

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """A page. Pages follow one another as they do below: a row's place is decided by its own values alone."""
        layer = await self._layer_of(view)
        if layer.is_empty(query.tenant):
            return await self._below.select(view, query)
        if view.kind is TableKind.SUMMED:
            return await self._select_sums(layer, query)
        while True:
            page = await self._page(layer, query)
            if await self._holds(layer, page.streams):
                return page.rows

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """How many match."""
        layer = await self._layer_of(view)
        below = await self._below.count(view, query)
        if layer.is_empty(query.tenant):
            return below
        if view.kind is TableKind.SUMMED:
            keys = await self._touched(layer, query)
            rows = [layer.summed[query.tenant, key] for key in keys]
            before = sum(matches(query.where, row) for row in rows if row is not None)
            after = sum(matches(query.where, row) for row in await self._summed(layer, query.tenant, keys))
            return below - before + after
        standings, checkpoints = await self._standings(layer, query.tenant)
        for stream, standing in standings.items():
            stored = standing_of(view, checkpoints[stream])
            below += _matching(view, query, stream, standing) - _matching(view, query, stream, stored)
        return below

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far these streams are folded, pending events included."""
        layer = await self._layer_of(view)
        found = dict(await self._below.checkpoints(view, streams))
        for stream, stored in found.items():
            standing = layer.standing(stream)
            if standing is not None and standing.version > stored.version:
                found[stream] = Checkpoint(standing.version, standing.event_id, view.codec.encode(standing.state))
        return found

    async def corrections(self, view: View[Any, Any]) -> int:
        """Of what is stored."""
        return await self._below.corrections(view)

    async def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """Every checkpoint as it is stored: audits compare what is there."""
        async for found in self._below.scan(view):
            yield found

    async def _page(self, layer: Layer, query: Query) -> Page:
        """As much of what is stored as the page needs."""
        total_order = bool(query.order.columns)
        size = query.limit + min(layer.size(query.tenant), MARGIN_MAX if total_order else PORTION_MAX)
        stored: list[StoredRow] = []
        after = query.after
        while True:
            portion = await self._below.select(layer.view, replace(query, after=after, limit=size))
            stored += portion
            page = merge(layer, query, stored, whole=len(portion) < size)
            if page.final or not total_order:
                return page
            after = sort_key(query.order, _seen(portion[-1]))
            size = min(size * 2, max(PORTION_MAX, query.limit))

    async def _holds(self, layer: Layer, versions: Mapping[StreamId, int]) -> bool:
        """Whether the snapshot is nowhere newer than these versions; streams of which it is count as stored from now on."""
        holds = True
        for stream, stored in (await self._stored(layer.view, sorted(versions))).items():
            if stored.version > versions[stream]:
                holds = False
                standing = layer.standing(stream)
                if standing is not None and stored.version > standing.version:
                    layer.overtaken.add(stream)
            else:
                self._folded[layer.view.table, stream] = versions[stream] - stored.version
        return holds

    async def _standings(
        self, layer: Layer, tenant: str
    ) -> tuple[dict[StreamId, Standing], Mapping[StreamId, Checkpoint]]:
        """All pending streams of a tenant that the snapshot has not overtaken, with what is stored of them."""
        checkpoints: dict[StreamId, Checkpoint] = {}
        while missing := [stream for stream in layer.standings(tenant) if stream not in checkpoints]:
            # Others may become pending while the store is asked.
            checkpoints |= await self._stored(layer.view, missing)
        standings = layer.standings(tenant)
        for stream, standing in list(standings.items()):
            if checkpoints[stream].version > standing.version:
                layer.overtaken.add(stream)
                del standings[stream]
            else:
                self._folded[layer.view.table, stream] = standing.version - checkpoints[stream].version
        return standings, checkpoints

    async def _stored(self, view: View[Any, Any], streams: Sequence[StreamId]) -> dict[StreamId, Checkpoint]:
        found: dict[StreamId, Checkpoint] = {}
        for begin in range(0, len(streams), STREAMS_AT_ONCE):
            found |= await self._below.checkpoints(view, streams[begin : begin + STREAMS_AT_ONCE])
        return found

    async def _moved(self, layer: Layer, tenant: str) -> Mapping[Key, Any]:
        """What pending events add to sums, computed once a reading: its answers must agree with one another."""
        if tenant not in layer.sums:
            if layer.is_empty(tenant):
                layer.sums[tenant] = {}
            else:
                standings, checkpoints = await self._standings(layer, tenant)
                layer.sums[tenant] = moved_sums(layer, tenant, standings, checkpoints)
        return layer.sums[tenant]

    async def _touched(self, layer: Layer, query: Query) -> list[Key]:
        """The keys whose sums move and that may match, their stored rows being known afterwards."""
        moved = await self._moved(layer, query.tenant)
        keys = [key for key in moved if may_match(query.where, dict(zip(layer.view.key, key, strict=True)))]
        await self._know(layer, query.tenant, keys)
        return keys

    async def _know(self, layer: Layer, tenant: str, keys: Sequence[Key]) -> None:
        view = layer.view
        unknown = [key for key in keys if (tenant, key) not in layer.summed]
        for begin in range(0, len(unknown), KEYS_AT_ONCE):
            some = unknown[begin : begin + KEYS_AT_ONCE]
            each = tuple(All(tuple(Eq(*part) for part in zip(view.key, key, strict=True))) for key in some)
            query = Query(tenant, AnyOf(each), Order(view.key), limit=len(some))
            found = {view.key_of(row.values): row.values for row in await self._below.select(view, query)}
            layer.summed |= {(tenant, key): found.get(key) for key in some}

    async def _summed(self, layer: Layer, tenant: str, keys: Sequence[Key]) -> list[Row]:
        """The rows under these keys, pending events included; a row whose sums are all zero does not exist."""
        await self._know(layer, tenant, keys)
        view, names = layer.view, sum_columns(layer.view)
        rows: list[Row] = []
        for key in keys:
            stored, sums = layer.summed[tenant, key], layer.sums[tenant][key]
            if stored is not None:
                sums = added(tuple(stored[name] for name in names), sums)
            if any(sums):
                rows.append(dict(zip(view.key, key, strict=True)) | dict(zip(names, sums, strict=True)))
        return rows

    async def _select_sums(self, layer: Layer, query: Query) -> list[StoredRow]:
        keys = await self._touched(layer, query)
        rows = [row for row in await self._summed(layer, query.tenant, keys) if matches(query.where, row)]
        after = query.after
        overlaid = [row for row in rows if after is None or comes_after(query.order, row, after)]
        moved = layer.sums[query.tenant]
        stored: list[StoredRow] = []
        size = query.limit + min(len(keys), PORTION_MAX)
        portion = await self._below.select(layer.view, replace(query, limit=size))
        # A page and as many more as rows are replaced: what is left of it is enough, or it is all there is.
        stored += [row for row in portion if layer.view.key_of(row.values) not in moved]
        while len(portion) == size and len(stored) < query.limit and query.order.columns:
            portion = await self._below.select(
                layer.view, replace(query, after=sort_key(query.order, portion[-1].values), limit=size)
            )
            stored += [row for row in portion if layer.view.key_of(row.values) not in moved]
        ordered = sort_rows(query.order, [*(row.values for row in stored), *overlaid])
        return [StoredRow(values, None, 0) for values in ordered[: query.limit]]


def _matching(view: View[Any, Any], query: Query, stream: StreamId, standing: Standing | None) -> int:
    if standing is None:
        return 0
    rows = view.contribution(standing.state).values()
    return sum(matches(query.where, visible(values, stream, standing.version)) for values in rows)


def _seen(row: StoredRow) -> Row:
    return row.values if row.stream is None else visible(row.values, row.stream, row.version)


if TYPE_CHECKING:
    _: type[ViewReading] = OverlaidReading
