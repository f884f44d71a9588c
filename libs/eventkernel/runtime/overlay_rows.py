"""One view's pending streams, folded: what the store's rows will be when the projector has got there."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, ViewReading
from eventkernel.runtime.overlay_index import OverlaidRow, RowIndex
from eventkernel.runtime.overlay_tail import OverlayTail
from eventkernel.runtime.row_cache import RowCache, Standing, advanced
from eventkernel.runtime.stream_fold import Decode, state_of
from eventkernel.view import Key, TableKind, View

E = TypeVar("E")

FOLDED_AT_ONCE = 200
"""Streams folded before other work gets its turn."""


class OverlaidRows(Generic[E]):
    """Keeps up with the tail. A stream is in it as long as something of it is pending and can be folded.

    What it holds of a stream may be older or newer than a snapshot of the store: readers compare versions.
    """

    def __init__(self, view: View[Any, E], tail: OverlayTail, cache: RowCache[E], decode: Decode[E]) -> None:
        self.view = view
        self._tail = tail
        self._cache = cache
        self._decode = decode
        self._changed = tail.listen()
        self._corrections = 0
        self._standings: dict[str, dict[StreamId, Standing]] = {}
        self._rows: dict[StreamId, tuple[OverlaidRow, ...]] = {}
        self._by_key: dict[tuple[str, Key], OverlaidRow] = {}
        self._indexes: dict[str, RowIndex] = {}

    def standings(self, tenant: str) -> Mapping[StreamId, Standing]:
        """Where each pending stream of a tenant stands."""
        return self._standings.get(tenant, {})

    def row(self, tenant: str, key: Key) -> OverlaidRow | None:
        """The overlaid row under a key."""
        return self._by_key.get((tenant, key))

    def index(self, tenant: str) -> RowIndex | None:
        """The overlaid rows of a tenant; None where there are none."""
        return self._indexes.get(tenant)

    def is_corrected_as_of(self, stamp: int) -> bool:
        """Whether no later correction is known than the one with this stamp."""
        return stamp >= self._corrections

    async def refresh(self, reading: ViewReading) -> None:
        """Fold what has become pending since the last time, and let go what is pending no more.

        After a correction everything is folded anew, from what is stored. A reading from before one that is known here adds
        nothing: it would bring back what was mended.
        """
        stamp = await reading.corrections(self.view)
        if stamp > self._corrections:
            self._corrections = stamp
            self._cache.corrected(self.view, stamp)
            for stream in [stream for of_tenant in self._standings.values() for stream in of_tenant]:
                self._forget(stream)
                self._changed.add(stream)
        if not self._changed or stamp < self._corrections:
            return
        streams = list(self._changed)
        known = {stream: self._known(stream) for stream in streams if stream.category in self.view.categories}
        unknown = [stream for stream, standing in known.items() if standing is None and self._tail.first(stream)]
        checkpoints = await reading.checkpoints(self.view, unknown) if unknown else {}
        if stamp < self._corrections:
            return
        for done, stream in enumerate(streams, 1):
            if stream in self._changed:  # else another reading has done it meanwhile
                self._changed.discard(stream)
                if stream.category in self.view.categories:
                    self._renew(stream, known[stream] or standing_of(self.view, checkpoints.get(stream)))
            if done % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
                if stamp < self._corrections:
                    return

    def _known(self, stream: StreamId) -> Standing | None:
        """A standing that the pending events follow, without asking the store."""
        first = self._tail.first(stream)
        if not first or not self._tail.is_whole(stream):
            return None
        known = self.standings(stream.tenant).get(stream)
        if known is not None and known.version >= first - 1:
            return known
        kept = self._cache.find(self.view, stream, max(first - 1, 1))
        return kept or (Standing(0, None, self.view.initial) if first == 1 else None)

    def _renew(self, stream: StreamId, base: Standing | None) -> None:
        known = self.standings(stream.tenant).get(stream)
        if base is None or (known is not None and known.version > base.version):
            base = known
        last = self._tail.last(stream)
        if not last or base is None:
            self._forget(stream)
            return
        after = advanced(self.view, base, self._tail.after(stream, base.version), self._decode)
        if after.version == 0 or after.version < self._tail.first(stream):
            # The versions between are neither in the store nor on the bus, or the first event cannot be folded.
            self._forget(stream)
        elif known is None or after.version > known.version:
            self._cache.keep(self.view, stream, after)
            self._put(stream, after)

    def _put(self, stream: StreamId, standing: Standing) -> None:
        self._forget(stream)
        self._standings.setdefault(stream.tenant, {})[stream] = standing
        if self.view.kind is not TableKind.OWNED:
            return
        rows = tuple(owned_rows(self.view, stream, standing))
        self._rows[stream] = rows
        index = self._indexes.get(stream.tenant)
        if index is None:
            index = self._indexes[stream.tenant] = RowIndex(_looked_up(self.view))
        for row in rows:
            self._by_key[stream.tenant, row.key] = row
            index.add(row)

    def _forget(self, stream: StreamId) -> None:
        of_tenant = self._standings.get(stream.tenant)
        if of_tenant is None or of_tenant.pop(stream, None) is None:
            return
        if not of_tenant:
            del self._standings[stream.tenant]
        for row in self._rows.pop(stream, ()):
            self._by_key.pop((stream.tenant, row.key), None)
            self._indexes[stream.tenant].remove(row)
        if not of_tenant:
            self._indexes.pop(stream.tenant, None)


def owned_rows(view: View[Any, Any], stream: StreamId, standing: Standing) -> Iterable[OverlaidRow]:
    """The rows that a stream contributes to a view of owned rows."""
    for key, values in view.contribution(standing.state).items():
        yield OverlaidRow(stream, standing.version, key, values, visible(values, stream, standing.version))


def visible(values: Row, stream: StreamId, version: int) -> Row:
    """What filters and orders see of an owned row."""
    return {**values, "stream": stream.name, "stream_version": version}


def standing_of(view: View[Any, Any], checkpoint: Checkpoint | None) -> Standing | None:
    """Where a stream stands in the store."""
    if checkpoint is None:
        return None
    return Standing(checkpoint.version, checkpoint.event_id, state_of(view, checkpoint))


def _looked_up(view: View[Any, Any]) -> Collection[str]:
    leading = {index.columns[0] for index in view.indexes if index.columns}
    return sorted((leading | set(view.key)) - {"stream_version"})
