"""Compares what is stored with what the journal says: every stream gapless, on the bus in order, once in every view."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.stores import TOPIC, Stores
from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports import BusTail, Checkpoint, EventStore, ViewReading
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.cloudevents import version_of
from eventkernel.runtime.discards import Discards, load_discards, passing_over
from eventkernel.runtime.failures import told
from eventkernel.runtime.stream_fold import Decode
from eventkernel.view import Key, TableKind, View
from prescriptions.views import VIEWS
from prescriptions.wire.events import decode_recorded

ROWS_PER_READ = 1_000
RECORDS_PER_READ = 1_000

Place = tuple[str, Key]  # tenant and key: where a row is


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared, and every difference as a sentence; ``repeats`` are records that the bus holds more than once."""

    streams: int
    events: int
    rows: int
    repeats: int
    differences: tuple[str, ...]


async def audit(stores: Stores, views: Sequence[View[Any, Any]] = VIEWS) -> Audit:
    """Fold every stream anew and compare. Ask while nothing is under way: what is, is told as missing."""
    ledger = _Ledger(views)
    await stores.views.prepare(views)
    async with stores.views.transaction() as transaction:
        ledger.discards = {view.table: await load_discards(transaction, view) for view in views}
    repeats = await _read_bus(stores.tail, ledger)
    async for head in stores.directory.streams():
        await ledger.add(head.stream, head.head, stores.events)
    rows = 0
    async with stores.views.reading() as reading:
        for view in views:
            rows += await ledger.compare(view, reading)
    return Audit(ledger.streams, ledger.events, rows, repeats, tuple(ledger.differences))


class _Ledger:
    """What the journal says: of each view the rows there should be, and how far each stream should be folded."""

    def __init__(self, views: Sequence[View[Any, Any]]) -> None:
        self.streams = 0
        self.events = 0
        self.differences: list[str] = []
        self.on_bus: dict[StreamId, int] = {}
        self.discards: dict[str, Discards] = {}
        self._views = views
        self._rows: dict[str, dict[Place, dict[str, Any]]] = {view.table: {} for view in views}
        self._heads: dict[str, dict[StreamId, RecordedEvent]] = {view.table: {} for view in views}

    async def add(self, stream: StreamId, head: int, events: EventStore) -> None:
        """Read a stream and fold it into every view."""
        loaded = (await events.load(stream)).events
        self.streams += 1
        self.events += len(loaded)
        versions = [event.version for event in loaded]
        if versions != list(range(1, len(loaded) + 1)) or len(loaded) < head:
            self.differences.append(f"{stream.key}: the journal has versions {versions}, its head is {head}")
        if self.on_bus.get(stream, 0) != len(loaded):
            self.differences.append(f"{stream.key}: {len(loaded)} events, {self.on_bus.get(stream, 0)} on the bus")
        decode = ByIdentity(decode_recorded, len(loaded) or 1)
        for view in self._views:
            if stream.category in view.categories and loaded:
                self._fold(view, stream, loaded, decode)

    def _fold(
        self, view: View[Any, Any], stream: StreamId, events: Sequence[RecordedEvent], decode: Decode[Any]
    ) -> None:
        """As far as it goes: what the view waits for is told, and what was discarded is passed over as the view does."""
        passing, decode = passing_over(view, decode, self.discards.get(view.table, {}))
        state, last = view.initial, None
        for event in events:
            try:
                state = passing.fold(state, decode(event), event)
            except Exception as error:  # noqa: BLE001 - as in ``fold_stream``: whatever a fold raises is a matter of that event
                self.differences.append(f"{view.name} waits: {told(error, event)}")
                break
            last = event
        if last is not None:
            self._heads[view.table][stream] = last
            self._contribute(view, stream, view.contribution(state))

    def _contribute(self, view: View[Any, Any], stream: StreamId, rows: dict[Key, Row]) -> None:
        table = self._rows[view.table]
        for key, row in rows.items():
            place = (stream.tenant, key)
            if view.kind is TableKind.OWNED:
                if place in table:
                    self.differences.append(f"{view.name} {place}: two streams give this row")
                table[place] = dict(row)
                continue
            sums = table.setdefault(place, {name: 0 for name in row if name not in view.key})
            for name in sums:
                sums[name] += row[name]

    async def compare(self, view: View[Any, Any], reading: ViewReading) -> int:
        """Compare one view's checkpoints and rows; gives the number of rows it has."""
        await self._compare_checkpoints(view, reading)
        expected = self._rows[view.table]
        if view.kind is TableKind.SUMMED:
            expected = {
                place: {**dict(zip(view.key, place[1], strict=True)), **sums}
                for place, sums in expected.items()
                if any(sums.values())
            }
        tenants = {stream.tenant for stream in self._heads[view.table]} | {tenant for tenant, _ in expected}
        count = 0
        for tenant in sorted(tenants):
            async for row in _rows(view, reading, tenant):
                count += 1
                place = (tenant, view.key_of(row))
                wanted = expected.pop(place, None)
                if wanted is None:
                    self.differences.append(f"{view.name} {place}: no stream gives this row")
                elif found := {name: row[name] for name, value in wanted.items() if row[name] != value}:
                    shown = ", ".join(f"{name} {value!r} instead of {wanted[name]!r}" for name, value in found.items())
                    self.differences.append(f"{view.name} {place}: {shown}")
        self.differences += [f"{view.name} {place}: the row is missing" for place in expected]
        return count

    async def _compare_checkpoints(self, view: View[Any, Any], reading: ViewReading) -> None:
        heads = dict(self._heads[view.table])
        async for stream, checkpoint in reading.scan(view):
            head = heads.pop(stream, None)
            if head is None:
                self.differences.append(f"{view.name} {stream.key}: folded, but not in the journal")
            elif (checkpoint.version, checkpoint.event_id) != (head.version, head.event_id):
                self.differences.append(_behind(view, stream, checkpoint, head))
        self.differences += [_behind(view, stream, Checkpoint(0, None, None), head) for stream, head in heads.items()]


def _behind(view: View[Any, Any], stream: StreamId, checkpoint: Checkpoint, head: RecordedEvent) -> str:
    return (
        f"{view.name} {stream.key}: folded to version {checkpoint.version} (event {checkpoint.event_id}),"
        f" the head is {head.version} (event {head.event_id})"
    )


async def _rows(view: View[Any, Any], reading: ViewReading, tenant: str) -> AsyncIterator[Row]:
    order, after = Order(view.key), None
    while True:
        found = await reading.select(view, Query(tenant, order=order, after=after, limit=ROWS_PER_READ))
        for stored in found:
            yield stored.values
        if len(found) < ROWS_PER_READ:
            return
        after = view.key_of(found[-1].values)


async def _read_bus(tail: BusTail, ledger: _Ledger) -> int:
    """Walk every partition: of each stream version 1 comes first, then 2 …; a version seen before is a repeat."""
    repeats = 0
    for source in sorted(await tail.end_offsets(TOPIC)):
        offset = 0
        while records := await tail.read(source, offset, RECORDS_PER_READ):
            offset = records[-1].offset + 1
            for record in records:
                stream, version = version_of(record)
                seen = ledger.on_bus.get(stream, 0)
                if version <= seen:
                    repeats += 1
                elif version == seen + 1:
                    ledger.on_bus[stream] = version
                else:
                    ledger.differences.append(f"{stream.key}: version {version} on the bus after version {seen}")
    return repeats
