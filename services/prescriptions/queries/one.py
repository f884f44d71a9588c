"""FetchPrescription: one row by its key."""

from erx.prescriptions.v1 import query_service_pb2
from eventkernel.errors import StreamNotFound
from eventkernel_grpc.call import CallContext
from prescriptions.queries.consistency import answering, demand_of, shown
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
    async with answering(sources, PRESCRIPTION_VIEW, call, demand) as (reading, made):
        row = await reading.get(PRESCRIPTION_VIEW, call.tenant, (stream.id,))
    if row is None:
        raise StreamNotFound(stream.name)
    record = record_of(row.values)
    shown(made, call, stream, record.version)
    return query_service_pb2.FetchPrescriptionResponse(as_of=made, prescription=record_to(record))
