"""FetchHistory and FetchAsOf: from the event log itself, so they are never behind."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from erx.prescriptions.v1 import filters_pb2, query_service_pb2
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import InvalidCommand, StreamNotFound
from eventkernel.filters import Eq, Order, Query, Row, matches
from eventkernel.following import own_state, settled
from eventkernel.ids import StreamId
from eventkernel.ports import EventStore
from eventkernel.ports.row_source import current_row
from eventkernel.runtime.moments import head_of, last_within, until
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.pages import page_size
from eventkernel_grpc.wire_types import from_timestamp
from prescriptions.domain.events import Event
from prescriptions.queries.consistency import as_of_log, demand_of
from prescriptions.queries.restricted import viewer_in
from prescriptions.queries.sources import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Sources
from prescriptions.streams import CONTEXT, stream_of
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, columns_of
from prescriptions.views.record import NOTHING, PrescriptionRecord, follow
from prescriptions.wire.events import decode_recorded, newest_of
from prescriptions.wire.query_replies import history_entry_to, record_to

EVENTS_MAX: Final = 500
"""Events read in one call to the store."""


async def fetch_history(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchHistoryRequest
) -> query_service_pb2.FetchHistoryResponse:
    """One page of the prescription's events, the oldest first unless asked otherwise."""
    size = page_size(request.page_size, default=PAGE_SIZE_DEFAULT, at_most=PAGE_SIZE_MAX)
    stream = stream_of(call.tenant, request.prescription_id)
    demand = demand_of(call, request)
    descending = request.direction == filters_pb2.SORT_DIRECTION_DESCENDING
    paged = Query(call.tenant, Eq("stream", stream.name), Order(("sequence",), descending))
    scope = f"history/{request.after_sequence}"
    position = sources.pages.decode(paged, request.page_token, scope=scope)
    await _require_seen(sources, call, stream)
    head = await head_of(sources.events, stream)
    if head == 0:
        raise StreamNotFound(stream.name)
    if descending:
        up_to = position[0] - 1 if position else head
        after = max(up_to - size, request.after_sequence)
        more = after > request.after_sequence
    else:
        after = position[0] if position else request.after_sequence
        up_to = min(after + size, head)
        more = up_to < head
    events = [] if up_to <= after else list((await sources.events.load(stream, after=after, up_to=up_to)).events)
    if descending:
        events.reverse()
    last = (events[-1].version,) if events else ()
    meant = await _meant(sources.events, stream, events)
    return query_service_pb2.FetchHistoryResponse(
        as_of=as_of_log(call, demand, stream, head, head),
        next_page_token=sources.pages.encode(paged, last, scope=scope) if more and events else "",
        entries=[history_entry_to(event, CONTEXT, meant.get(event.version)) for event in events],
    )


async def _meant(store: EventStore, stream: StreamId, events: Sequence[RecordedEvent]) -> dict[int, Event]:
    """What events in older shapes mean where they stand, by version; that takes the stream up to them."""
    older = [event.version for event in events if event.schema_version < newest_of(event.type)]
    found: dict[int, Event] = {}
    known = None
    async for event in events_of(store, stream, up_to=max(older, default=0)):
        found[event.version], known = settled(decode_recorded(event), known, version=event.version)
    return found


async def fetch_as_of(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchAsOfRequest
) -> query_service_pb2.FetchAsOfResponse:
    """The prescription as the fold of its events up to a version or a moment; ``StreamNotFound`` where there were none."""
    stream = stream_of(call.tenant, request.prescription_id)
    demand = demand_of(call, request)
    within = _within(request)
    await _require_seen(sources, call, stream)
    version = request.version if request.WhichOneof("point") == "version" else None
    record, head = await _folded(sources.events, stream, within, up_to=version)
    if record.version == 0:
        raise StreamNotFound(stream.name, moment=_moment(request) if head else "")
    if version is not None and record.version < version:
        raise InvalidCommand("version", f"{stream.name} has {head} events so far", reason="VERSION_NOT_REACHED")
    made = as_of_log(call, demand, stream, head, record.version)
    return query_service_pb2.FetchAsOfResponse(as_of=made, prescription=record_to(record))


async def _folded(
    store: EventStore, stream: StreamId, within: Callable[[RecordedEvent], bool], *, up_to: int | None
) -> tuple[PrescriptionRecord, int]:
    """The record after the events that are within, and the head. Of a long stream nothing behind these is read.

    ``up_to``: the last version that may be within, where that is known; otherwise a long stream is searched by halves.
    """
    events = (await store.load(stream, events_max=EVENTS_MAX)).events
    head = len(events)
    last = sum(map(within, events))
    if head == EVENTS_MAX:
        head = await head_of(store, stream)
        if last == EVENTS_MAX:
            last = await last_within(store, stream, within, head) if up_to is None else min(up_to, head)
    state = NOTHING
    for event in events[:last]:
        state = follow(state, decode_recorded(event), event)
    if last > EVENTS_MAX:
        async for event in events_of(store, stream, after=EVENTS_MAX, up_to=last):
            state = follow(state, decode_recorded(event), event)
    return own_state(state), head


async def _require_seen(sources: Sources, call: CallContext, stream: StreamId) -> None:
    """Raise ``StreamNotFound`` unless the caller sees the events of the prescription, as it stands in the log now.

    The row of one that is long is used in the place of its events, where it is as new as the log.
    """
    viewer = viewer_in(sources, call)
    if viewer is None:
        return
    columns: Row | None = None
    head = await head_of(sources.events, stream)
    if head > EVENTS_MAX:
        row = await current_row(sources.views, PRESCRIPTION_VIEW, call.tenant, (stream.id,))
        if row is not None and row.version >= head:
            columns = row.values
    if columns is None:
        record, _ = await _folded(sources.events, stream, lambda _: True, up_to=head)
        columns = columns_of(record) if record.version else None
    if columns is None or not matches(viewer.history, columns):
        raise StreamNotFound(stream.name)


def _moment(request: query_service_pb2.FetchAsOfRequest) -> str:
    """The moment asked about, for an error's text."""
    point = request.recorded_time if request.WhichOneof("point") == "recorded_time" else request.occurred_time
    return point.ToJsonString()


def _within(request: query_service_pb2.FetchAsOfRequest) -> Callable[[RecordedEvent], bool]:
    """Whether an event belongs to the answer. No time runs backwards within a stream, so those that do are a prefix."""
    match request.WhichOneof("point"):
        case "version":
            return lambda event: event.version <= request.version
        case "occurred_time":
            occurred = from_timestamp(request.occurred_time, "occurred_time")
            return until(occurred)
        case "recorded_time":
            recorded = from_timestamp(request.recorded_time, "recorded_time")
            return until(recorded, recorded=True)
        case _:
            raise InvalidCommand("point", "must be a version, an occurred_time or a recorded_time")


async def events_of(
    store: EventStore, stream: StreamId, *, after: int = 0, up_to: int | None = None
) -> AsyncIterator[RecordedEvent]:
    """All events of a stream, or those between two versions, read in portions."""
    while up_to is None or after < up_to:
        loaded = await store.load(stream, after=after, up_to=up_to, events_max=EVENTS_MAX)
        for event in loaded.events:
            yield event
        if len(loaded.events) < EVENTS_MAX:
            return
        after = loaded.events[-1].version
