"""The projector: bus in, rows of views out."""

import asyncio

from bootstrap.carriers import projector_over
from bootstrap.metrics import ProjectorMetrics
from bootstrap.process import Process
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.projector import ProjectorSettings
from eventkernel.runtime.waiting import until_available
from prescriptions.views import VIEWS


def projector(process: Process) -> Component:
    """Bus in, rows of views out."""
    settings, stores = process.settings, process.stores
    worker = projector_over(
        stores,
        ProjectorSettings(records_max=settings.projector_records_max, gather_seconds=settings.projector_gather_seconds),
        observer=ProjectorMetrics(process.metrics),
        on_applied=process.progress.notify,
        on_folded=process.overlays.cache.projected if process.overlays else None,
    )

    async def run(stop: asyncio.Event) -> None:
        async def prepare() -> None:
            await stores.views.prepare(VIEWS)

        if await until_available(prepare, clock=stores.clock, name="projector", stop=stop):
            await worker.run(stop)

    return LoopComponent("projector", run, process.failed)
