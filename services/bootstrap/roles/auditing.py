"""The audit as a part of the relay's process: everything is compared now and then, slowly, and healed."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bootstrap.audit import auditor
from bootstrap.process import Process
from bootstrap.stores import NotOpened, Stores
from eventkernel.errors import KernelError
from eventkernel.runtime.auditing import AuditPace, Report
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.waiting import first_of

CONNECTIONS = 8
"""To PostgreSQL, where they are opened for a pass."""

_log = logging.getLogger(__name__)


def audit_loop(process: Process) -> Component:
    """Begins at some time within the first interval, so that relays that start together do not all read at once."""
    settings, clock = process.settings, process.stores.clock

    async def one_pass(stop: asyncio.Event) -> None:
        async with _with_views(process) as stores:
            looking = auditor(stores, pace=AuditPace(pause_seconds=settings.audit_pause_seconds))
            report = await interrupted_by(stop, looking.look())
            if report is None:
                return
            tell(process, report)
            if settings.audit_heals:
                # A projector that was away for a while does its own work; what stays behind for so long was lost.
                since = clock.now() - timedelta(seconds=settings.audit_seconds)
                await looking.heal(report, behind_since=since)
                process.metrics.audit_healed.inc(len(report.healed))

    async def run(stop: asyncio.Event) -> None:
        pause = settings.audit_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - to spread the work
        while not stop.is_set():
            await first_of(stop.wait(), clock.sleep(pause))
            pause = settings.audit_seconds
            if stop.is_set():
                return
            try:
                await one_pass(stop)
            except KernelError as error:
                # What is wrong with another store is no reason for the relay here to end.
                level = logging.WARNING if error.retriable else logging.ERROR
                _log.log(level, "audit failed, tried again in %g s: %s", settings.audit_seconds, error)

    return LoopComponent("audit", run, process.failed)


@asynccontextmanager
async def _with_views(process: Process) -> AsyncIterator[Stores]:
    """A relay needs no views to begin, and does not wait for them: they are opened for as long as they are looked at."""
    if not isinstance(process.stores.views, NotOpened):
        yield process.stores
        return
    from bootstrap.stores.stack import open_views

    few = process.settings.model_copy(update={"postgres_connections_max": CONNECTIONS})
    async with AsyncExitStack() as opened:
        views, webhooks = await open_views(few, opened)
        yield replace(process.stores, views=views, webhooks=webhooks)


def tell(process: Process, report: Report) -> None:
    """Into the log and the metrics: what is merely behind is no loss as long as it does not stay."""
    metrics, counts = process.metrics, report.counts
    metrics.audit_streams.set(report.streams)
    metrics.audit_at.set(process.stores.clock.now().timestamp())
    metrics.audit_findings.clear()
    for lack, count in counts.items():
        metrics.audit_findings.labels(lack).set(count)
    since = [finding.since.timestamp() for finding in report.findings if finding.since is not None]
    metrics.audit_oldest.set(min(since, default=0))
    for finding in report.findings:
        (_log.warning if finding.healable or "behind" in finding.lack.value else _log.error)("audit: %s", finding)


async def interrupted_by(stop: asyncio.Event, looking: Coroutine[Any, Any, Report]) -> Report | None:
    """What comes of it, or None where the process is asked to end first."""
    task, asked = asyncio.ensure_future(looking), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, asked):
            one.cancel()
        await asyncio.gather(task, asked, return_exceptions=True)
