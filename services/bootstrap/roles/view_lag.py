"""How far the views are behind, looked at now and then for metrics: also where no projector lives that could tell."""

import asyncio
import logging

from bootstrap.process import Process
from bootstrap.stores import TOPIC
from eventkernel.errors import KernelError
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.waiting import first_of, until_available
from prescriptions.queries.freshness import Freshnesses
from prescriptions.views import VIEWS

LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


def view_lag(process: Process) -> Component:
    """Fill the gauges of lag and of parked streams."""
    looking = ViewLag(process)

    async def run(stop: asyncio.Event) -> None:
        clock = process.stores.clock

        async def prepare() -> None:
            await process.stores.views.prepare(VIEWS)

        if not await until_available(prepare, clock=clock, name="view lag", stop=stop):
            return
        while not stop.is_set():
            try:
                await looking.look()
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("how far the views are is unknown for now: %s", error)
            await first_of(stop.wait(), clock.sleep(LOOK_SECONDS))

    return LoopComponent("view lag", run, process.failed)


class ViewLag:
    """One look: what is on the bus and not yet folded, since when, and how many streams are parked."""

    def __init__(self, process: Process) -> None:
        self._metrics = process.metrics
        self._stores = process.stores
        group = process.settings.consumer_group
        self._freshness = Freshnesses(self._stores.views, self._stores.tail, topic=TOPIC, group=group)

    async def look(self) -> None:
        """Fill the gauges. What the bus does not tell in time keeps its last value."""
        progress = await self._freshness.progress()
        if progress is not None:
            oldest = await self._freshness.oldest_behind(progress) if progress.events_behind else None
            age = (self._stores.clock.now() - oldest).total_seconds() if oldest else 0.0
            self._metrics.view_behind.set(progress.events_behind)
            self._metrics.view_lag.set(max(age, 0.0))
        for status in await self._stores.views.status(VIEWS):
            self._metrics.view_parked_now.labels(status.view).set(status.parked_streams)
