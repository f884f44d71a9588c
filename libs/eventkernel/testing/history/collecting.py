"""What the stores hold, as facts of a history: asked of the ports, so that it is the same of every kind of store."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventkernel.canonical import plain
from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports import BusTail, Checkpoint, EventStore, StoredRow, StreamDirectory, ViewReading, ViewStore
from eventkernel.runtime.cloudevents import from_record
from eventkernel.runtime.stream_fold import Decode
from eventkernel.testing.history.records import History, JournalEvent, TopicRecord, ViewState
from eventkernel.view import Key, TableKind, View

PAGE = 1_000
Table = dict[Key, Row]


async def collect(
    history: History,
    *,
    directory: StreamDirectory,
    events: EventStore,
    tail: BusTail,
    topic: str,
    views: Sequence[View[Any, Any]] = (),
    store: ViewStore | None = None,
    decode: Decode[Any] | None = None,
    tenant: str | None = None,
) -> History:
    """Add to a history what journal, topic and views hold now (of one tenant, or of all), and return it.

    Views are folded anew beside what they hold. Views are read before the journal, and the topic is, so that neither can be
    seen ahead of it while others write.
    """
    snapshot = [] if store is None or decode is None else [await _stored(view, store, tenant) for view in views]
    records = [
        record async for record in _topic(tail, topic) if tenant in {None, StreamId.from_key(record.stream).tenant}
    ]
    streams: dict[StreamId, Sequence[RecordedEvent]] = {}
    async for head in directory.streams(tenant=tenant):
        streams[head.stream] = (await events.load(head.stream)).events
    for stream, found in streams.items():
        history.journal += [
            JournalEvent(stream.key, event.version, str(event.event_id), str(event.meta.command_id)) for event in found
        ]
    history.topic += records
    for stored in snapshot:
        assert decode is not None
        history.views += _states(stored, streams, decode)
    return history


async def _topic(tail: BusTail, topic: str) -> AsyncIterator[TopicRecord]:
    for source, end in sorted((await tail.end_offsets(topic)).items()):
        offset = 0
        while offset < end and (records := await tail.read(source, offset, PAGE)):
            for record in records:
                event = from_record(record)
                yield TopicRecord(record.partition, record.offset, event.stream.key, event.version, str(event.event_id))
            offset = records[-1].offset + 1


@dataclass(frozen=True, slots=True)
class _Stored:
    """One view: checkpoints and rows of one snapshot."""

    view: View[Any, Any]
    checkpoints: dict[StreamId, Checkpoint]
    rows: dict[str, list[StoredRow]]


async def _stored(view: View[Any, Any], store: ViewStore, tenant: str | None) -> _Stored:
    async with store.reading() as reading:
        found = {stream: at async for stream, at in reading.scan(view) if tenant in {None, stream.tenant}}
        tenants = {stream.tenant for stream in found} | ({tenant} if tenant else set())
        return _Stored(view, found, {one: [row async for row in _rows(view, reading, one)] for one in tenants})


def _states(
    stored: _Stored, streams: dict[StreamId, Sequence[RecordedEvent]], decode: Decode[Any]
) -> Iterator[ViewState]:
    view, checkpoints = stored.view, stored.checkpoints
    concerned = {stream for stream in streams if stream.category in view.categories} | set(checkpoints)
    nothing = Checkpoint(0, None, None)
    folds = {
        stream: _fold(view, streams.get(stream, ())[: checkpoints.get(stream, nothing).version], decode)
        for stream in concerned
    }
    if view.kind is TableKind.SUMMED:
        for tenant in sorted(stored.rows):
            sums = _sums(view, [folds[stream] for stream in concerned if stream.tenant == tenant])
            found = {view.key_of(row.values): row.values for row in stored.rows[tenant]}
            yield ViewState(f"{view.name} of {tenant}", "", 0, "", _text(view, found), _text(view, sums))
        return
    owned: dict[StreamId, Table] = {}
    for rows in stored.rows.values():
        for row in rows:
            owned.setdefault(row.stream or StreamId("", ""), {})[view.key_of(row.values)] = row.values
    for stream in sorted(concerned | set(owned)):
        at = checkpoints.get(stream, nothing)
        event_id = "" if at.event_id is None else str(at.event_id)
        found_text, folded_text = _text(view, owned.get(stream, {})), _text(view, folds.get(stream, {}))
        yield ViewState(view.name, stream.key, at.version, event_id, found_text, folded_text)


def _fold(view: View[Any, Any], events: Sequence[RecordedEvent], decode: Decode[Any]) -> Table:
    state = view.initial
    for event in events:
        state = view.fold(state, decode(event), event)
    return view.contribution(state)


def _sums(view: View[Any, Any], contributions: Sequence[Table]) -> Table:
    total: Table = {}
    for table in contributions:
        for key, row in table.items():
            sums = total.setdefault(key, {name: value if name in view.key else 0 for name, value in row.items()})
            total[key] = {name: value if name in view.key else value + row[name] for name, value in sums.items()}
    return {key: row for key, row in total.items() if any(row[name] for name in row if name not in view.key)}


async def _rows(view: View[Any, Any], reading: ViewReading, tenant: str) -> AsyncIterator[StoredRow]:
    order, after = Order(view.key), None
    while True:
        found = await reading.select(view, Query(tenant, order=order, after=after, limit=PAGE))
        for row in found:
            yield row
        if len(found) < PAGE:
            return
        after = view.key_of(found[-1].values)


def _text(view: View[Any, Any], table: Table) -> str:
    """The declared columns of every row, in the order of keys."""
    names = [column.name for column in view.columns]
    rows = [[_plain(row.get(name)) for name in names] for row in table.values()]
    return json.dumps(sorted(rows, key=repr), separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Equal values alike, whichever store they come from: one gives a number as an integer that another gives as a decimal."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return plain(Decimal(value))
    return value.hex() if isinstance(value, bytes) else plain(value)
