"""Some streams of one tenant as the views have them, read in one snapshot, and the same folded from the journal."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import All, Filter, In, Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StoredRow, ViewReading, ViewStore
from eventkernel.runtime.auditing.findings import Finding, Lack
from eventkernel.runtime.discards import Discards, passing_over
from eventkernel.runtime.failures import told
from eventkernel.runtime.stream_fold import Decode, state_of
from eventkernel.view import Key, TableKind, View

PAGE = 1_000
NOTHING = Checkpoint(0, None, None)
Rows = dict[Key, Row]


@dataclass(slots=True)
class StreamInView:
    """One stream in one view: where it stands, its rows, and a fold of the journal that goes as far."""

    view: View[Any, Any]
    stream: StreamId
    checkpoint: Checkpoint
    rows: Rows | None
    state: Any
    decode: Decode[Any]
    passing: View[Any, Any]
    reached: RecordedEvent | None = None
    next: RecordedEvent | None = None
    error: str = ""

    def take(self, event: RecordedEvent) -> None:
        """The next event of the journal."""
        if event.version == self.checkpoint.version + 1:
            self.next = event
        if event.version > self.checkpoint.version or self.error:
            return
        if event.version != (self.reached.version if self.reached else 0) + 1:
            return  # the journal lacks what comes before it: no fold goes on from here
        try:
            self.state = self.passing.fold(self.state, self.decode(event), event)
        except Exception as error:  # noqa: BLE001 - whatever a fold raises is a matter of that event
            self.error = told(error, event)
        self.reached = event

    def findings(self, head: int) -> Iterator[Finding]:
        """What is behind, and what is not as the fold gives it."""
        name, key, at = self.view.name, self.stream.key, self.checkpoint
        if self.error:
            yield Finding(Lack.VIEW_WAITS, key, f"cannot be folded anew: {self.error}", name)
            return
        if at.version and (self.reached is None or self.reached.version != at.version):
            last = 0 if self.reached is None else self.reached.version
            text = f"folded to version {at.version}, the journal has {last} without a gap"
            yield Finding(Lack.VIEW_STRAY, key, text, name)
            return
        if self.reached is not None and self.reached.event_id != at.event_id:
            text = f"folded event {at.event_id} as version {at.version}, the journal's is {self.reached.event_id}"
            yield Finding(Lack.VIEW_DIFFERS, key, text, name, at.version, at.version, self.reached.meta.recorded_at)
        elif different := self._different():
            since = self.reached.meta.recorded_at if self.reached else None
            yield Finding(Lack.VIEW_DIFFERS, key, different, name, at.version, at.version, since)
        if at.version < head:
            since = self.next.meta.recorded_at if self.next else None
            text = f"folded to version {at.version}, the head is {head}"
            yield Finding(Lack.VIEW_BEHIND, key, text, name, at.version + 1, head, since)

    def _different(self) -> str:
        fresh = self.view.contribution(self.state)
        if self.rows is None:
            kept = self.view.contribution(state_of(self.view, self.checkpoint))
            return "" if kept == fresh else "the contribution kept with the checkpoint is not the journal's fold"
        for key in fresh:
            if key not in self.rows:
                return f"row {key} is missing"
        for key, row in self.rows.items():
            if key not in fresh:
                return f"row {key} is given by no event"
            wrong = [name for name, value in fresh[key].items() if row[name] != value]
            if wrong:
                # Which, and not what: findings are logged, and a column may hold what only some may see.
                return f"row {key} differs in {', '.join(wrong)}"
        return ""


async def read_chunk(
    store: ViewStore,
    views: Sequence[View[Any, Any]],
    streams: Sequence[StreamId],
    discards: Mapping[str, Discards],
    decode: Decode[Any],
) -> dict[StreamId, list[StreamInView]]:
    """Every stream (of one tenant) in every view that is concerned, ready to take the journal's events."""
    found: dict[StreamId, list[StreamInView]] = {stream: [] for stream in streams}
    async with store.reading() as reading:
        for view in views:
            concerned = [stream for stream in streams if stream.category in view.categories]
            if not concerned:
                continue
            checkpoints = await reading.checkpoints(view, concerned)
            rows: dict[StreamId, Rows] = {}
            if view.kind is TableKind.OWNED:
                wanted = In("stream", tuple(stream.name for stream in concerned))
                async for row in _rows(reading, view, concerned[0].tenant, wanted):
                    rows.setdefault(row.stream or StreamId("", ""), {})[view.key_of(row.values)] = row.values
            passing, decoding = passing_over(view, decode, discards.get(view.table, {}))
            for stream in concerned:
                own = rows.get(stream, {}) if view.kind is TableKind.OWNED else None
                at = checkpoints.get(stream, NOTHING)
                found[stream].append(StreamInView(view, stream, at, own, view.initial, decoding, passing))
    return found


async def stray_rows(reading: ViewReading, view: View[Any, Any], known: Collection[StreamId]) -> list[Finding]:
    """Rows that belong to none of the streams that have a checkpoint."""
    found = []
    for tenant in sorted({stream.tenant for stream in known}):
        async for row in _rows(reading, view, tenant, All()):
            if row.stream not in known:
                name = row.stream.key if row.stream else tenant
                text = f"row {view.key_of(row.values)} belongs to a stream that was never folded"
                found.append(Finding(Lack.VIEW_STRAY, name, text, view.name))
    return found


async def _rows(reading: ViewReading, view: View[Any, Any], tenant: str, where: Filter) -> AsyncIterator[StoredRow]:
    order, after = Order(view.key), None
    while True:
        rows = await reading.select(view, Query(tenant, where, order, after=after, limit=PAGE))
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = view.key_of(rows[-1].values)
