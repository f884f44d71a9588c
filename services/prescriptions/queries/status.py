"""ProjectionStatus: how far each view is, and what keeps it back."""

from datetime import datetime, timedelta
from typing import Any

from erx.eventlog.v1 import consistency_pb2, view_status_pb2
from erx.prescriptions.v1 import query_service_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.ports import ViewStatus
from eventkernel.view import View
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import to_duration, to_timestamp
from prescriptions.queries.consistency import demand_of, waited
from prescriptions.queries.freshness import Progress
from prescriptions.queries.sources import Sources
from prescriptions.views import VIEWS


async def projection_status(
    sources: Sources, call: CallContext, request: query_service_pb2.ProjectionStatusRequest
) -> query_service_pb2.ProjectionStatusResponse:
    """The views by name, those asked for or all."""
    views = _views_from(request)
    demand = demand_of(call, request)
    for view in views:
        await waited(sources, view, call, demand)
    progress = await sources.freshness.progress()
    oldest = await sources.freshness.oldest_behind(progress) if progress else None
    lag = None if progress is None else _lag(progress, oldest, sources.clock.now())
    made = consistency_pb2.Freshness(overlay_degraded=demand.overlays)
    if progress is not None:
        made.positions.extend(progress.messages())
        made.events_behind = progress.events_behind
    if demand.wanted and demand.waits:
        made.requested_token_reached = True
    statuses = await sources.views.status(views)
    return query_service_pb2.ProjectionStatusResponse(
        as_of=made, views=[_status_to(status, progress, lag) for status in statuses]
    )


def _views_from(request: query_service_pb2.ProjectionStatusRequest) -> list[View[Any, Any]]:
    known = {view.name: view for view in VIEWS}
    for place, name in enumerate(request.views):
        if name not in known:
            raise InvalidCommand(f"views[{place}]", f"must be one of {', '.join(sorted(known))}")
    return [known[name] for name in sorted(set(request.views) or known)]


def _lag(progress: Progress, oldest: datetime | None, now: datetime) -> timedelta | None:
    if progress.events_behind == 0:
        return timedelta(0)
    return None if oldest is None else max(now - oldest, timedelta(0))


def _status_to(status: ViewStatus, progress: Progress | None, lag: timedelta | None) -> view_status_pb2.ViewStatus:
    message = view_status_pb2.ViewStatus(
        view=status.view,
        view_version=status.version,
        streams=status.streams,
        events_applied=status.events_applied,
        lag=None if lag is None else to_duration(lag),
        applied_at=None if status.updated_at is None else to_timestamp(status.updated_at),
    )
    if progress is not None:
        message.positions.extend(progress.messages())
        message.events_behind = progress.events_behind
    if status.last_error:
        message.last_error.reason = "EVENT_PARKED"
        message.last_error.message = f"{status.last_error} ({status.parked_streams} streams wait)"
    return message
