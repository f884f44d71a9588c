"""FetchPrescription: one row by its key."""

from erx.eventlog.v1 import consistency_pb2
from erx.prescriptions.v1 import query_service_pb2
from eventkernel.errors import StreamNotFound
from eventkernel.filters import matches
from eventkernel.ids import StreamId
from eventkernel.ports import StoredRow
from eventkernel.ports.row_source import current_row
from eventkernel_grpc.call import CallContext
from prescriptions.queries.consistency import Demand, answering, demand_of, shown, waited
from prescriptions.queries.restricted import viewer_in
from prescriptions.queries.sources import Sources
from prescriptions.streams import stream_of
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, record_of
from prescriptions.wire.query_replies import record_to


async def fetch_prescription(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchPrescriptionRequest
) -> query_service_pb2.FetchPrescriptionResponse:
    """The prescription; ``StreamNotFound`` where the view has none of this id."""
    stream = stream_of(call.tenant, request.prescription_id)
    own = {stream: request.min_version} if request.HasField("min_version") else {}
    demand = demand_of(call, request, own)
    found = await _at_once(sources, call, demand, stream)
    if found is None and not demand.overlays:
        await waited(sources, PRESCRIPTION_VIEW, call, demand)
        found = await _at_once(sources, call, demand, stream) if demand.wanted else None
    if found is None:
        async with answering(sources, PRESCRIPTION_VIEW, call, demand) as (reading, made):
            row = await reading.get(PRESCRIPTION_VIEW, call.tenant, (stream.id,))
        if row is None:
            raise StreamNotFound(stream.name)
    else:
        row, made = found
    record = record_of(row.values)
    shown(made, call, stream, record.version)
    return query_service_pb2.FetchPrescriptionResponse(as_of=made, prescription=record_to(record))


async def _at_once(
    sources: Sources, call: CallContext, demand: Demand, stream: StreamId
) -> tuple[StoredRow, consistency_pb2.Freshness] | None:
    """The row as it is, where that is the answer: it is there and the caller's own, has what is demanded, and nothing is to be
    folded onto it. Most questions are such, and one row is all that they cost.
    """
    if demand.overlays or any(wanted != stream for wanted in demand.wanted):
        return None
    made = await sources.freshness.of(PRESCRIPTION_VIEW)
    row = await current_row(sources.views, PRESCRIPTION_VIEW, call.tenant, (stream.id,))
    if row is None or row.version < demand.wanted.get(stream, 0):
        return None
    viewer = viewer_in(sources, call)
    if viewer is not None and not matches(viewer.rows(PRESCRIPTION_VIEW), row.values):
        return None
    if demand.wanted:
        made.requested_token_reached = True
    return row, made
