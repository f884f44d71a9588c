"""The query side's inbound port: a request becomes a reading of views or of the log, its answer says as of when it is."""

from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf.message import Message

from erx.prescriptions.v1 import access_pb2, dispenses_pb2, statistics_pb2
from erx.prescriptions.v1 import query_service_pb2 as q
from erx.prescriptions.v1 import worklists_pb2 as wl
from erx.prescriptions.v1.query_service_pb2_grpc import (
    PrescriptionQueryServiceServicer,
    add_PrescriptionQueryServiceServicer_to_server,
)
from eventkernel.ports import BusTail, Clock, EventStore, StreamDirectory, ViewStore
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay
from eventkernel_grpc import GrpcServer
from eventkernel_grpc.call import current_call
from eventkernel_grpc.pages import PageTokens
from prescriptions.domain.events import Event
from prescriptions.queries.access import fetch_access_log
from prescriptions.queries.dispenses import fetch_dispenses
from prescriptions.queries.expiring import fetch_expiring_soon
from prescriptions.queries.freshness import Freshnesses
from prescriptions.queries.inbox import fetch_by_prescriber
from prescriptions.queries.listing import fetch_all_prescriptions
from prescriptions.queries.log import fetch_as_of, fetch_history
from prescriptions.queries.medications import fetch_medication_list
from prescriptions.queries.one import fetch_prescription
from prescriptions.queries.queue import fetch_pharmacy_queue
from prescriptions.queries.reads import ReadLedger
from prescriptions.queries.refills import fetch_due_refills
from prescriptions.queries.restricted import veiled, viewer_in
from prescriptions.queries.sources import Sources
from prescriptions.queries.statistics import fetch_statistics, stream_statistics
from prescriptions.queries.status import projection_status


class PrescriptionQueryService(PrescriptionQueryServiceServicer):
    """One RPC per question. The tenant comes from the call's metadata and from nowhere else.

    ``topic`` and ``group`` name what the projector reads, for the freshness that every answer tells; ``progress`` is its
    notice that it has committed, where it lives in the same process; ``page_key`` (16 bytes at least) is shared by all query
    servers of a service. Without an ``overlay`` questions in that mode wait for the view, and their answers say so. With a
    ``ledger`` it is noted who was told of whom. ``by_role``: roles decide who sees what (``queries/visibility.py``).
    """

    def __init__(
        self,
        *,
        views: ViewStore,
        events: EventStore,
        directory: StreamDirectory,
        tail: BusTail,
        clock: Clock,
        topic: str,
        group: str,
        page_key: bytes,
        progress: ViewProgress | None = None,
        overlay: Overlay[Event] | None = None,
        ledger: ReadLedger | None = None,
        by_role: bool = False,
    ) -> None:
        self._ledger = ledger
        freshness = Freshnesses(views, tail, topic=topic, group=group)
        pages = PageTokens(page_key)
        self._sources = Sources(
            views, events, clock, progress or ViewProgress(), freshness, pages, directory, overlay, by_role
        )

    async def FetchPrescription(self, request: q.FetchPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """One prescription."""
        return self._told(request, await fetch_prescription(self._sources, current_call(), request))

    async def FetchAllPrescriptions(self, request: q.FetchAllPrescriptionsRequest, context: Any) -> Any:  # noqa: N802
        """Prescriptions by filter and order."""
        return self._told(request, await fetch_all_prescriptions(self._sources, current_call(), request))

    async def FetchMedicationList(self, request: q.FetchMedicationListRequest, context: Any) -> Any:  # noqa: N802
        """What a patient takes."""
        return self._told(request, await fetch_medication_list(self._sources, current_call(), request))

    async def FetchPharmacyQueue(self, request: q.FetchPharmacyQueueRequest, context: Any) -> Any:  # noqa: N802
        """What a pharmacy has to do."""
        return self._told(request, await fetch_pharmacy_queue(self._sources, current_call(), request))

    async def FetchByPrescriber(self, request: wl.FetchByPrescriberRequest, context: Any) -> Any:  # noqa: N802
        """What waits for a prescriber."""
        return self._told(request, await fetch_by_prescriber(self._sources, current_call(), request))

    async def FetchExpiringSoon(self, request: wl.FetchExpiringSoonRequest, context: Any) -> Any:  # noqa: N802
        """What runs out of time soon."""
        return self._told(request, await fetch_expiring_soon(self._sources, current_call(), request))

    async def FetchDueRefills(self, request: wl.FetchDueRefillsRequest, context: Any) -> Any:  # noqa: N802
        """Whose next fill falls due."""
        return self._told(request, await fetch_due_refills(self._sources, current_call(), request))

    async def FetchDispenses(self, request: dispenses_pb2.FetchDispensesRequest, context: Any) -> Any:  # noqa: N802
        """What was handed out."""
        return self._told(request, await fetch_dispenses(self._sources, current_call(), request))

    async def FetchHistory(self, request: q.FetchHistoryRequest, context: Any) -> Any:  # noqa: N802
        """The events of one prescription."""
        return self._told(request, await fetch_history(self._sources, current_call(), request))

    async def FetchAsOf(self, request: q.FetchAsOfRequest, context: Any) -> Any:  # noqa: N802
        """One prescription as it was."""
        return self._told(request, await fetch_as_of(self._sources, current_call(), request))

    async def FetchStatistics(self, request: statistics_pb2.FetchStatisticsRequest, context: Any) -> Any:  # noqa: N802
        """Counts, rates and medians."""
        return await fetch_statistics(self._sources, current_call(), request)

    async def StreamStatistics(  # noqa: N802
        self, request: statistics_pb2.StreamStatisticsRequest, context: Any
    ) -> AsyncGenerator[statistics_pb2.StreamStatisticsResponse, None]:
        """Counts, rates and medians, and again when they have changed."""
        async for answer in stream_statistics(self._sources, current_call(), request):
            yield answer

    async def FetchAccessLog(self, request: access_pb2.FetchAccessLogRequest, context: Any) -> Any:  # noqa: N802
        """Who read or wrote what of a patient."""
        return self._told(request, await fetch_access_log(self._sources, current_call(), request))

    async def ProjectionStatus(self, request: q.ProjectionStatusRequest, context: Any) -> Any:  # noqa: N802
        """How the views are doing."""
        return await projection_status(self._sources, current_call(), request)

    def _told(self, request: Message, answer: Any) -> Any:
        """The answer as the caller may have it, once it is noted whom it tells of."""
        answer = veiled(viewer_in(self._sources, current_call()), answer)
        if self._ledger is not None:
            self._ledger.note(current_call(), request, answer)
        return answer


def add_to_server(
    server: GrpcServer,
    *,
    views: ViewStore,
    events: EventStore,
    directory: StreamDirectory,
    tail: BusTail,
    clock: Clock,
    progress: ViewProgress,
    topic: str,
    group: str,
    page_key: bytes,
    overlay: Overlay[Event] | None = None,
    ledger: ReadLedger | None = None,
    by_role: bool = False,
    error_domain: str | None = None,
) -> None:
    """Make the service from its ports and add it to a server."""
    service = PrescriptionQueryService(
        views=views,
        events=events,
        directory=directory,
        tail=tail,
        clock=clock,
        topic=topic,
        group=group,
        page_key=page_key,
        progress=progress,
        overlay=overlay,
        ledger=ledger,
        by_role=by_role,
    )
    server.add(add_PrescriptionQueryServiceServicer_to_server, service, error_domain=error_domain)
