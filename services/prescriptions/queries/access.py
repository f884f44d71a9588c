"""FetchAccessLog: who wrote, from the log of each of the patient's prescriptions; who read, from ``access_log``."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from heapq import nlargest
from operator import itemgetter
from typing import Final

from erx.eventlog.v1 import envelope_pb2
from erx.prescriptions.v1 import access_pb2
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import InvalidCommand, Refusal, RefusalKind
from eventkernel.filters import All, Eq, Filter, Order, Query, Range, Row, is_after
from eventkernel.ids import StreamId
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_timestamp, to_timestamp
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.log import events_of
from prescriptions.queries.paging import Asked, asked_page
from prescriptions.queries.sources import Sources, every_row
from prescriptions.views.access_log import ACCESS_LOG
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW

LOOKED_AT_ONCE: Final = 16
"""Streams read at the same time."""
_OPEN_ROLES: Final = ("auditor", "system")
_ORDER: Final = Order(("at", "entry_id"), descending=True)
_PLACE: Final = itemgetter("at", "entry_id")


async def fetch_access_log(
    sources: Sources, call: CallContext, request: access_pb2.FetchAccessLogRequest
) -> access_pb2.FetchAccessLogResponse:
    """One page, the newest first. Costs the log of all the patient's prescriptions for each page."""
    _allowed(call, request.patient_id)
    demand = demand_of(call, request)
    where = All((Eq("patient_id", request.patient_id), _span(request)))
    asked = asked_page(
        sources,
        Query(call.tenant, where, _ORDER),
        size=request.page_size,
        token=request.page_token,
        scope=f"{ACCESS_LOG.table}/{request.kind}",
    )
    found: list[Row] = []
    async with answering(sources, PRESCRIPTION_VIEW, call, demand) as (reading, made):
        mine = Query(call.tenant, Eq("patient_id", request.patient_id), Order(PRESCRIPTION_VIEW.key))
        streams = [row.stream async for row in every_row(reading, PRESCRIPTION_VIEW, mine) if row.stream is not None]
    if request.kind != access_pb2.ACCESS_KIND_READ:
        found += await _written(sources, streams, asked, request)
    if request.kind != access_pb2.ACCESS_KIND_WRITE:
        async with sources.views.reading() as stored:
            found += [row.values for row in await stored.select(ACCESS_LOG, asked.query())]
    page = asked.page(nlargest(asked.size + 1, found, key=_PLACE))
    return access_pb2.FetchAccessLogResponse(
        as_of=made, next_page_token=page.next_page_token, entries=[_entry(row) for row in page.rows]
    )


def _allowed(call: CallContext, patient_id: str) -> None:
    """A patient and who speaks for one may see their own, an auditor all."""
    actor = call.provenance.actor
    own = {"patient": actor.id, "representative": actor.organisation}.get(actor.role)
    if actor.role not in _OPEN_ROLES and (not own or own != patient_id):
        message = f"the access log of a patient is not for {actor.role or 'nobody'} {actor.id}".rstrip()
        raise Refusal("ROLE_NOT_ALLOWED", message, kind=RefusalKind.PERMISSION)


def _moments(request: access_pb2.FetchAccessLogRequest) -> tuple[datetime | None, datetime | None]:
    start = from_timestamp(request.start_time, "start_time") if request.HasField("start_time") else None
    end = from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else None
    if start is not None and end is not None and start > end:
        raise InvalidCommand("end_time", "must not be before start_time")
    return start, end


def _span(request: access_pb2.FetchAccessLogRequest) -> Filter:
    start, end = _moments(request)
    return All(()) if start is None and end is None else Range("at", start, end)


async def _written(
    sources: Sources, streams: Sequence[StreamId], asked: Asked, request: access_pb2.FetchAccessLogRequest
) -> list[Row]:
    """The newest changes within the span and behind the page before, one more than the page."""
    start, end = _moments(request)
    room = asyncio.Semaphore(LOOKED_AT_ONCE)

    async def of(stream: StreamId) -> list[Row]:
        async with room:
            rows = [_write(event) async for event in events_of(sources.events, stream)]
        fitting = (
            row
            for row in rows
            if (start is None or row["at"] >= start)
            and (end is None or row["at"] < end)
            and (asked.after is None or is_after(_ORDER, row, asked.after))
        )
        return nlargest(asked.size + 1, fitting, key=_PLACE)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(of(stream)) for stream in streams]
    return nlargest(asked.size + 1, (row for task in tasks for row in task.result()), key=_PLACE)


def _write(event: RecordedEvent) -> Row:
    provenance = event.meta.provenance
    return {
        "entry_id": f"{event.stream.name}/{event.version:012}",
        "at": event.meta.recorded_at,
        "actor_id": provenance.actor.id,
        "actor_role": provenance.actor.role,
        "organisation": provenance.actor.organisation,
        "purpose_of_use": provenance.purpose_of_use,
        "action": event.type,
        "prescription_ids": event.stream.id,
        "prescription_count": 1,
        "correlation_id": provenance.correlation_id,
        "version": event.version,
    }


def _entry(row: Row) -> access_pb2.AccessEntry:
    version = row.get("version", 0)
    return access_pb2.AccessEntry(
        access_time=to_timestamp(row["at"]),
        kind=access_pb2.ACCESS_KIND_WRITE if version else access_pb2.ACCESS_KIND_READ,
        actor=envelope_pb2.Actor(id=row["actor_id"], role=row["actor_role"], organisation=row["organisation"]),
        purpose_of_use=row["purpose_of_use"],
        action=row["action"],
        prescription_ids=row["prescription_ids"].split(),
        prescription_count=row["prescription_count"],
        version=version,
        correlation_id=row["correlation_id"],
    )
