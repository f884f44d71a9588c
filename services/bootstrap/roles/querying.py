"""The query server, rows of views and the journal in and gRPC answers out, and the overlay beside it."""

import asyncio

from bootstrap.process import Process
from bootstrap.roles.servers import ERROR_DOMAIN, ServerComponent, grpc_server
from bootstrap.roles.view_admin import add_view_admin
from bootstrap.roles.webhooks import add_webhook_service
from bootstrap.secrets import kept_key
from bootstrap.stores import TOPIC, Stores
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.waiting import until_available
from prescriptions.views import ACCESS_LOG, VIEWS


def overlay(process: Process) -> Component:
    """Bus in, pending events in memory out, for the query server beside it, which does not wait for it."""
    stores, tail = process.stores, process.overlaying().tail

    async def run(stop: asyncio.Event) -> None:
        if await until_available(stores.make_topic, clock=stores.clock, name="overlay", stop=stop):
            await tail.run(stop)

    return LoopComponent("overlay", run, process.failed)


def query_server(process: Process) -> Component:
    """Rows of views and the journal in, gRPC answers out."""
    from prescriptions.queries.reads import ReadLedger
    from prescriptions.query_service import add_to_server
    from prescriptions.watching import add_watch_to_server

    settings, stores = process.settings, process.stores
    server = grpc_server(process, settings.query_address)
    page_key = kept_key(settings.page_key, settings.data_dir, "page.key")
    ledger = ReadLedger(stores.views, stores.clock) if settings.record_reads else None
    add_to_server(
        server,
        views=stores.views,
        events=stores.events,
        directory=stores.directory,
        tail=stores.tail,
        clock=stores.clock,
        progress=process.progress,
        topic=TOPIC,
        group=settings.consumer_group,
        page_key=page_key,
        overlay=process.overlays.overlay if process.overlays else None,
        ledger=ledger,
        by_role=settings.visibility_by_role,
        error_domain=ERROR_DOMAIN,
    )
    hub = add_watch_to_server(
        server,
        views=stores.views,
        events=stores.events,
        tail=stores.tail,
        clock=stores.clock,
        progress=process.progress,
        topic=TOPIC,
        group=settings.consumer_group,
        token_key=page_key,
        ledger=ledger,
        by_role=settings.visibility_by_role,
        error_domain=ERROR_DOMAIN,
    )
    process.metrics.watchers.set_function(lambda: hub.watching)
    add_webhook_service(server, process, page_key)
    add_view_admin(server, process, ERROR_DOMAIN)
    writing = LoopComponent("read ledger", ledger.run, process.failed) if ledger is not None else None
    return QueryComponent(stores, ServerComponent("query", server, process.said), writing)


class QueryComponent:
    """The query server. It says NOT_SERVING until the store of views answers and the tables exist."""

    name = "query"

    def __init__(self, stores: Stores, server: ServerComponent, ledger: Component | None = None) -> None:
        self._stores = stores
        self._server = server
        self._ledger = ledger

    async def start(self) -> None:
        """Listen, prepare the views for as long as it takes, then serve."""
        await self._server.start()
        try:
            await until_available(
                self._prepare,
                clock=self._stores.clock,
                name="query",
                on_waiting=lambda _: self._server.serving(serving=False),
            )
        except BaseException:
            await self._server.stop()
            raise
        if self._ledger is not None:
            await self._ledger.start()
        self._server.serving(serving=True)

    async def stop(self) -> None:
        """Drain; then write down the last readings."""
        await self._server.stop()
        if self._ledger is not None:
            await self._ledger.stop()

    async def _prepare(self) -> None:
        await self._stores.views.prepare((*VIEWS, ACCESS_LOG))
