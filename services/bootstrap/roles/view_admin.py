"""Rebuilding views and freeing parked streams: the worker beside the projector, and the service beside the queries."""

import asyncio
import os
import socket
from typing import Any

from prometheus_client import Counter, Gauge

from bootstrap.metrics import Metrics
from bootstrap.process import Process
from erx.eventlog.v1.view_admin_service_pb2_grpc import add_ViewAdminServiceServicer_to_server
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuilder import Rebuilder
from eventkernel.runtime.waiting import until_available
from eventkernel_grpc import GrpcServer
from eventkernel_grpc.view_admin import ViewAdminService
from prescriptions.streams import CONTEXT
from prescriptions.views import VIEWS
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded

_CODEC = PrescriptionEventCodec()


def sources_of(process: Process) -> Sources[Any]:
    """What rebuilds read and write."""
    stores = process.stores
    return Sources(stores.views, stores.events, stores.directory, decode_recorded, stores.clock)


def rebuilder(process: Process) -> Component:
    """Works on the rebuilds that somebody has asked for."""
    worker = Rebuilder(
        f"{socket.gethostname()}/{os.getpid()}",
        sources_of(process),
        VIEWS,
        observer=RebuildMetrics(process.metrics),
        on_switched=lambda: changed(process),
    )
    process.rebuild_pokes.append(worker.poke)

    async def run(stop: asyncio.Event) -> None:
        async def prepare() -> None:
            await process.stores.views.prepare(VIEWS)

        if await until_available(prepare, clock=process.stores.clock, name="rebuilder", stop=stop):
            await worker.run(stop)

    return LoopComponent("rebuilder", run, process.failed)


def add_view_admin(server: GrpcServer, process: Process, error_domain: str) -> None:
    """Serve the administration of the views."""

    def wanted() -> None:
        for poke in process.rebuild_pokes:
            poke()

    service = ViewAdminService(
        sources_of(process),
        VIEWS,
        context=CONTEXT,
        wire_name=_CODEC.wire_name,
        wanted=wanted,
        changed=lambda: changed(process),
    )
    server.add(add_ViewAdminServiceServicer_to_server, service, error_domain=error_domain)


def changed(process: Process) -> None:
    """Rows were mended or another table answers: what is kept of them in memory goes, and waiting readers look again."""
    if process.overlays is not None:
        process.overlays.cache.clear()
    process.progress.notify()


class RebuildMetrics:
    """``RebuildObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._events = Counter("erx_rebuild_events_total", "Events covered by rebuilds", ["view"], registry=registry)
        self._phase = Gauge("erx_rebuild_phase", "1 for the phase of a rebuild", ["view", "phase"], registry=registry)
        self._phases: dict[str, str] = {}

    def filled(self, view: str, events: int) -> None:
        """Count events."""
        self._events.labels(view).inc(events)

    def phase(self, view: str, phase: str) -> None:
        """Show the phase."""
        before = self._phases.get(view)
        if before is not None:
            self._phase.labels(view, before).set(0)
        self._phase.labels(view, phase).set(1)
        self._phases[view] = phase
