"""FetchAllPrescriptions as of a moment: every prescription of the tenant folded from the log, and the page that fits kept.

There is no table of the past. A page costs reading all events of the tenant up to the moment, and memory for a few pages,
however many prescriptions there are. Few such answers are worked on at once, so that they leave room for others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from erx.eventlog.v1 import consistency_pb2
from erx.prescriptions.v1 import query_service_pb2
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import TokenNotReached
from eventkernel.filters import Query, Row, is_after, matches, sort_rows
from eventkernel.following import own_state
from eventkernel.ids import StreamId
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_timestamp
from prescriptions.queries.consistency import Demand, demand_of
from prescriptions.queries.log import events_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.sources import Sources
from prescriptions.streams import CATEGORY
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, columns_of
from prescriptions.views.record import NOTHING, PrescriptionRecord, follow
from prescriptions.wire.events import decode_recorded
from prescriptions.wire.query_replies import record_to

STREAMS_AT_ONCE: Final = 16
"""Streams read at the same time for one answer."""

_RECORD: Final = "record"


async def fetch_all_as_of(
    sources: Sources,
    call: CallContext,
    request: query_service_pb2.FetchAllPrescriptionsRequest,
    question: Query,
) -> query_service_pb2.FetchAllPrescriptionsResponse:
    """One page of those that fitted at the moment, by the question's filter and order. The call's deadline ends the reading."""
    demand = demand_of(call, request)
    within, moment = _within(request)
    scope = f"{PRESCRIPTION_VIEW.table}/as of/{moment}"
    asked = asked_page(sources, question, size=request.page_size, token=request.page_token, scope=scope)
    async with sources.lists_from_log:
        made = await _freshness(sources, demand)
        best = Best(asked.query())
        async for record in records_as_of(sources, call.tenant, within):
            best.offer(record)
    page = asked.page(best.rows())
    return query_service_pb2.FetchAllPrescriptionsResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        prescriptions=[record_to(row[_RECORD]) for row in page.rows],
        total_size=best.total if request.include_total else None,
    )


@dataclass(slots=True)
class Best:
    """The first rows of a query among those offered, in any order; and how many fit, whatever the page."""

    query: Query
    total: int = 0
    _kept: list[Row] = field(default_factory=list)

    def offer(self, record: PrescriptionRecord) -> None:
        """Keep the record's row if it may be on the page."""
        row = columns_of(record)
        if not matches(self.query.where, row):
            return
        self.total += 1
        if self.query.after is not None and not is_after(self.query.order, row, self.query.after):
            return
        self._kept.append({**row, _RECORD: record})
        if len(self._kept) >= 4 * self.query.limit:
            self._kept = self.rows()

    def rows(self) -> list[Row]:
        """At most as many as asked for, in order."""
        return sort_rows(self.query.order, self._kept)[: self.query.limit]


async def records_as_of(
    sources: Sources, tenant: str, within: Callable[[RecordedEvent], bool]
) -> AsyncIterator[PrescriptionRecord]:
    """Every prescription that had begun, as it was, in no order; one with an event that cannot be folded, as before that."""
    waiting: list[StreamId] = []
    async for head in sources.directory.streams(tenant=tenant, category=CATEGORY):
        waiting.append(head.stream)
        if len(waiting) == STREAMS_AT_ONCE:
            for record in await _folded(sources, waiting, within):
                yield record
            waiting.clear()
    for record in await _folded(sources, waiting, within):
        yield record


async def _folded(
    sources: Sources, streams: list[StreamId], within: Callable[[RecordedEvent], bool]
) -> list[PrescriptionRecord]:
    """These streams' records; none of those that had not begun. Other calls get their turn meanwhile."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_record_as_of(sources, stream, within)) for stream in streams]
    return [record for record in (task.result() for task in tasks) if record.version]


async def _record_as_of(
    sources: Sources, stream: StreamId, within: Callable[[RecordedEvent], bool]
) -> PrescriptionRecord:
    state: Any = NOTHING
    async for event in events_of(sources.events, stream):
        if not within(event):
            break
        try:
            state = follow(state, decode_recorded(event), event)
        except Exception:  # noqa: BLE001 - as in the views: what cannot be read or folded is a matter of its own stream
            break
    record: PrescriptionRecord = own_state(state)
    return record


def _within(request: query_service_pb2.FetchAllPrescriptionsRequest) -> tuple[Callable[[RecordedEvent], bool], str]:
    """Whether an event belongs to the answer, and the moment as text. No time runs backwards within a stream."""
    if request.HasField("occurred_time"):
        occurred = from_timestamp(request.occurred_time, "occurred_time")
        return lambda event: event.meta.occurred_at <= occurred, f"occurred {occurred.isoformat()}"
    recorded = from_timestamp(request.recorded_time, "recorded_time")
    return lambda event: event.meta.recorded_at <= recorded, f"recorded {recorded.isoformat()}"


async def _freshness(sources: Sources, demand: Demand) -> consistency_pb2.Freshness:
    """The log is never behind itself; a version that it lacks was never written."""
    made = consistency_pb2.Freshness(events_behind=0)
    wanted = {stream: version for stream, version in demand.wanted.items() if stream.category == CATEGORY}
    if not demand.wanted:
        return made
    made.requested_token_reached = True
    for head in await sources.directory.heads(list(wanted)):
        if head.head < wanted[head.stream]:
            if demand.waits:
                raise TokenNotReached("the event log", head.stream.name, wanted=wanted[head.stream], reached=head.head)
            made.requested_token_reached = False
    return made
