"""WatchPrescriptions: the rows of ``prescription_view`` that fit a filter, then their changes as the bus brings them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from erx.eventlog.v1.envelope_pb2 import EventShape
from erx.prescriptions.v1 import watch_service_pb2 as w
from erx.prescriptions.v1.watch_service_pb2_grpc import (
    PrescriptionWatchServiceServicer,
    add_PrescriptionWatchServiceServicer_to_server,
)
from eventkernel.envelope import RecordedEvent
from eventkernel.filters import All
from eventkernel.ports import BusTail, Clock, EventStore, ViewStore
from eventkernel.runtime.consistency import ViewProgress, wait_for
from eventkernel.runtime.watch import ChangeTold, RowsComplete, RowTold, StillHere, Told, Watch, WatchSettings
from eventkernel.runtime.watch_hub import HubSettings, WatchHub
from eventkernel.runtime.watch_log import LogSettings, StepLog
from eventkernel.runtime.watch_steps import SeenRow, StepFolder
from eventkernel.runtime.watch_token import WatchTokens
from eventkernel_grpc import GrpcServer
from eventkernel_grpc.call import CallContext, current_call
from prescriptions.domain.events import Event
from prescriptions.queries.consistency import WAIT_SECONDS, demand_of, seconds_to_wait
from prescriptions.queries.listing import filter_from
from prescriptions.queries.reads import ReadLedger
from prescriptions.queries.restricted import veiled
from prescriptions.queries.visibility import Viewer, viewer_of
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, record_of
from prescriptions.wire.events import decode_recorded
from prescriptions.wire.query_replies import record_to
from prescriptions.wire.shapes import checked_version, event_in
from prescriptions.wire.values import time_to


class PrescriptionWatchService(PrescriptionWatchServiceServicer):
    """The tenant comes from the call's metadata; a resume token of another tenant or filter is refused."""

    def __init__(
        self,
        watch: Watch,
        views: ViewStore,
        clock: Clock,
        progress: ViewProgress,
        *,
        ledger: ReadLedger | None = None,
        by_role: bool = False,
    ) -> None:
        self._ledger = ledger
        self._by_role = by_role
        self._watch = watch
        self._views = views
        self._clock = clock
        self._progress = progress

    async def WatchPrescriptions(  # noqa: N802
        self, request: w.WatchPrescriptionsRequest, context: Any
    ) -> AsyncGenerator[w.WatchPrescriptionsResponse, None]:
        """Rows, then changes."""
        call = current_call()
        where = filter_from(request.filter)
        version = checked_version(request.event_schema_version, "event_schema_version")
        viewer = viewer_of(call.provenance.actor, by_role=self._by_role)
        if viewer is not None:
            where = All((where, viewer.rows(PRESCRIPTION_VIEW)))
        if not request.resume_token:
            await self._waited(call, request)
        told = self._watch.follow(call.tenant, where, resume_token=request.resume_token, rows=not request.changes_only)
        patients: set[str] = set()
        async with aclosing(told):
            async for one in told:
                for message in messages_of(one, version):
                    veil(viewer, message)
                    self._note(call, message, patients)
                    yield message

    def _note(self, call: CallContext, message: w.WatchPrescriptionsResponse, patients: set[str]) -> None:
        """A watch is one reading of each patient that it comes to tell of."""
        if self._ledger is None:
            return
        kind = message.WhichOneof("told")
        if kind in ("row", "changed"):
            told = message.row if kind == "row" else message.changed.prescription
            if (patient_id := told.content.patient_id) not in patients:
                patients.add(patient_id)
                self._ledger.note_of(call, {patient_id: [told.prescription_id]})

    async def _waited(self, call: CallContext, request: w.WatchPrescriptionsRequest) -> None:
        demand = demand_of(call, request)
        if demand.waits and demand.wanted:
            left = seconds_to_wait(call)
            await wait_for(
                self._views,
                PRESCRIPTION_VIEW,
                demand.wanted,
                clock=self._clock,
                deadline_seconds=WAIT_SECONDS if left is None else min(left, WAIT_SECONDS),
                progress=self._progress,
            )


def messages_of(told: Told, version: int = 0) -> list[w.WatchPrescriptionsResponse]:
    """What is told as messages, with events in the schema version that was asked for, if any was.

    A prescription has one row, so one event is one message.
    """
    match told:
        case RowTold(_, row, _, token):
            return [w.WatchPrescriptionsResponse(resume_token=token, row=record_to(record_of(row)))]
        case RowsComplete(token):
            return [w.WatchPrescriptionsResponse(resume_token=token, rows_complete=w.RowsComplete())]
        case StillHere(token):
            return [w.WatchPrescriptionsResponse(resume_token=token, heartbeat=w.Heartbeat())]
        case ChangeTold(event, rows, token):
            shape = event_in(event, version) if version and rows else None
            return [_change(event, row, token, shape) for row in rows]


def _change(
    event: RecordedEvent, seen: SeenRow, token: bytes, shape: EventShape | None
) -> w.WatchPrescriptionsResponse:
    event_id, occurred = str(event.event_id), time_to(event.meta.occurred_at)
    if seen.row is None:
        removed = w.PrescriptionRemoved(
            prescription_id=event.stream.id,
            version=event.version,
            event_id=event_id,
            event_type=event.type,
            occur_time=occurred,
            event=shape,
        )
        return w.WatchPrescriptionsResponse(resume_token=token, removed=removed)
    changed = w.PrescriptionChanged(
        prescription=record_to(record_of(seen.row)),
        appeared=seen.appeared,
        event_id=event_id,
        event_type=event.type,
        occur_time=occurred,
        event=shape,
    )
    return w.WatchPrescriptionsResponse(resume_token=token, changed=changed)


def veil(viewer: Viewer | None, message: w.WatchPrescriptionsResponse) -> None:
    """Leave out what is not the viewer's to know. An event tells of the patient where the row after it does."""
    veiled(viewer, message)
    if viewer is not None and viewer.sight.offered:
        if message.HasField("removed"):
            message.removed.ClearField("event")
        elif message.HasField("changed") and not message.changed.prescription.content.patient_id:
            message.changed.ClearField("event")


def prescription_steps(events: EventStore) -> StepFolder[Event]:
    """Steps of ``prescription_view``, for watchers and for hooks."""
    return StepFolder(PRESCRIPTION_VIEW, events, decode_recorded)


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Every limit of watching; their names and defaults are with the parts that keep them."""

    log: LogSettings = field(default_factory=LogSettings)
    hub: HubSettings = field(default_factory=HubSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)


_DEFAULTS: Final = WatchLimits()


def add_watch_to_server(
    server: GrpcServer,
    *,
    views: ViewStore,
    events: EventStore,
    tail: BusTail,
    clock: Clock,
    progress: ViewProgress,
    topic: str,
    group: str,
    token_key: bytes,
    ledger: ReadLedger | None = None,
    by_role: bool = False,
    error_domain: str | None = None,
    limits: WatchLimits = _DEFAULTS,
) -> WatchHub:
    """Make the service from its ports and add it to a server; gives the hub, for metrics."""
    hub = WatchHub(StepLog(tail, topic, prescription_steps(events), settings=limits.log), clock, settings=limits.hub)
    watch = Watch(hub, views, group=group, tokens=WatchTokens(token_key), settings=limits.watch)
    service = PrescriptionWatchService(watch, views, clock, progress, ledger=ledger, by_role=by_role)
    server.add(add_PrescriptionWatchServiceServicer_to_server, service, error_domain=error_domain)
    return hub
