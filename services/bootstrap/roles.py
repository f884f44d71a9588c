"""The roles of a process, wired: command server, relay, projector, query server and webhooks."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bootstrap.audit_role import audit_loop
from bootstrap.measured import MeasuredEventStore, MeasuredOutbox
from bootstrap.metrics import (
    AggregateCacheMetrics,
    CallMetrics,
    HandlerMetrics,
    Metrics,
    ProjectorMetrics,
    RelayMetrics,
)
from bootstrap.overlays import Overlays
from bootstrap.secrets import kept_key
from bootstrap.settings import Settings, SettingsError
from bootstrap.stores import SOURCE, TOPIC, Stores
from bootstrap.view_admin import add_view_admin, rebuilder
from bootstrap.view_lag import view_lag
from bootstrap.webhook_role import add_webhook_service, webhooks
from erx.prescriptions.v1.command_service_pb2_grpc import add_PrescriptionCommandServiceServicer_to_server
from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.runtime.relay import Relay, RelaySettings
from eventkernel.runtime.times import TimeRules
from eventkernel.runtime.waiting import first_of, until_available
from eventkernel_grpc import GrpcServer, LogObserver, Observers, ServerSettings, ServerTls
from prescriptions.command_service import PrescriptionCommandService, prescription_type
from prescriptions.domain.profiles import PROFILES, Profile
from prescriptions.views import ACCESS_LOG, VIEWS
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded

_log = logging.getLogger(__name__)

ROLES = ("command", "relay", "projector", "query", "webhooks")
ERROR_DOMAIN = "prescriptions.erx"


@dataclass(slots=True)
class Process:
    """What the roles of one process share. ``pokes`` and ``progress`` connect roles that happen to live together."""

    settings: Settings
    stores: Stores
    metrics: Metrics
    failed: asyncio.Event
    said: Callable[[str], None]
    pokes: list[Callable[[StreamId], None]] = field(default_factory=list)
    rebuild_pokes: list[Callable[[], None]] = field(default_factory=list)
    progress: ViewProgress = field(default_factory=ViewProgress)
    overlays: Overlays | None = None

    def poke(self, stream: StreamId) -> None:
        """Tell a relay of this process that there is something to publish."""
        for poke in self.pokes:
            poke(stream)


def components(process: Process, names: list[str]) -> list[Component]:
    """The components of these roles, in the order they start in: readers of the bus before its writers."""
    if "query" in names:
        # The others that live here write through its cache.
        process.overlays = Overlays(process)
    makers = {
        "projector": projector,
        "webhooks": webhooks,
        "rebuilder": rebuilder,
        "view lag": view_lag,
        "relay": relay,
        "sweep": sweep,
        "audit": audit_loop,
        "overlay": overlay,
        "query": query_server,
        "command": command_server,
    }
    wanted = {*names, "overlay"} if process.overlays else {*names}
    if "projector" in names:
        wanted.add("rebuilder")
    if process.settings.metrics_address and wanted & {"projector", "query"}:
        wanted.add("view lag")
    if "relay" in names and process.stores.sweep is not None:
        wanted.add("sweep")
    if "relay" in names and process.settings.audit_seconds:
        wanted.add("audit")
    return [makers[name](process) for name in makers if name in wanted]


class ServerComponent:
    """A gRPC server as a component; ``after`` runs when no call is left."""

    def __init__(
        self, name: str, server: GrpcServer, said: Callable[[str], None], after: "Finish | None" = None
    ) -> None:
        self.name = name
        self._server = server
        self._said = said
        self._after = after

    async def start(self) -> None:
        """Bind and serve, and say where."""
        await self._server.start()
        self._said(f"{self.name} server on {self._server.target}")

    def serving(self, *, serving: bool) -> None:
        """Say in the server's health whether it serves."""
        self._server.health.set_serving("", serving)

    async def stop(self) -> None:
        """Drain."""
        await self._server.stop()
        if self._after is not None:
            await self._after()


Finish = Callable[[], Awaitable[None]]


def command_server(process: Process) -> Component:
    """GRPC in, events and outbox rows out."""
    settings, stores = process.settings, process.stores
    key = kept_key(settings.claim_key, settings.data_dir, "claim.key")
    if stores.pokes is not None:
        process.pokes.append(stores.pokes.poke)
    cache = AggregateCache(settings.aggregates_max, bytes_max=settings.aggregates_bytes_max)
    AggregateCacheMetrics(process.metrics, cache)
    events = MeasuredEventStore(stores.events, process.metrics)
    handler = CommandHandler(
        prescription_type(profile_of(settings), key),
        process.overlays.told_by(events) if process.overlays else events,
        stores.snapshots,
        stores.clock,
        cache,
        limits=HandlerLimits(
            conflict_retries_max=settings.conflict_retries_max,
            lane_commands_max=settings.lane_commands_max,
            batch_commands_max=settings.batch_commands_max,
            snapshot_every_events=settings.snapshot_every_events,
            snapshots_kept=settings.snapshots_kept,
            snapshot_load_seconds=settings.snapshot_load_seconds,
        ),
        times=TimeRules(skew_seconds=settings.effective_time_skew_seconds),
        observer=HandlerMetrics(process.metrics),
        on_appended=process.poke,
    )
    server = grpc_server(process, settings.command_address)
    server.add(
        add_PrescriptionCommandServiceServicer_to_server,
        PrescriptionCommandService(handler, key),
        error_domain=ERROR_DOMAIN,
    )
    return ServerComponent("command", server, process.said, handler.drain)


def relay(process: Process) -> Component:
    """Outbox in, bus out."""
    settings, stores = process.settings, process.stores
    owner, listener = f"{socket.gethostname()}/{os.getpid()}", None
    if stores.pokes is not None and settings.relay_poke_address:
        from eventkernel_cassandra.pokes import PokeListener

        try:
            listener = PokeListener(settings.relay_poke_address)
        except (OSError, ValueError) as error:
            raise SettingsError(f"relay_poke_address: {settings.relay_poke_address}: {error}") from error
        owner, stores.pokes.own = listener.ear.named(owner), listener.ear
    worker = Relay(
        owner,
        MeasuredOutbox(stores.outbox, process.metrics, stores.clock),
        stores.publisher,
        tail=stores.tail,
        leases=stores.leases,
        clock=stores.clock,
        topic=TOPIC,
        source=SOURCE,
        wire_name=PrescriptionEventCodec().wire_name,
        settings=RelaySettings(
            shard_count=settings.shard_count,
            events_max=settings.relay_events_max,
            poll_seconds=settings.relay_poll_seconds,
            gather_seconds=settings.relay_gather_seconds,
            # The embedded store moves all cursors of a round in one transaction: waiting for more spares it nothing.
            cursor_seconds=settings.relay_cursor_seconds if settings.store == "stack" else 0.0,
            lease_seconds=settings.relay_lease_seconds,
        ),
        observer=RelayMetrics(process.metrics),
    )

    def poke(stream: StreamId) -> None:
        stores.poke(stream)
        worker.poke(stream)

    async def run(stop: asyncio.Event) -> None:
        if listener is None:
            await worker.run(stop)
            return
        async with listener.listening(poke):
            await worker.run(stop)

    process.pokes.append(poke)
    return LoopComponent("relay", run, process.failed)


def sweep(process: Process) -> Component:
    """Now and then through the whole journal: pending work that nothing points at is found, told and put right."""
    look = process.stores.sweep
    clock = process.stores.clock

    async def run(stop: asyncio.Event) -> None:
        while look is not None and not stop.is_set():
            await first_of(stop.wait(), clock.sleep(process.settings.sweep_seconds))
            if stop.is_set():
                return
            try:
                if healed := await look():
                    _log.error(
                        "%d streams had unpublished events that nothing pointed at; they are published now", healed
                    )
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("sweep failed, tried again at the next: %s", error)

    return LoopComponent("sweep", run, process.failed)


def projector(process: Process) -> Component:
    """Bus in, rows of views out."""
    settings, stores = process.settings, process.stores
    worker = Projector(
        VIEWS,
        stores.subscribe(),
        stores.views,
        journal=stores.events,
        decode=decode_recorded,
        clock=stores.clock,
        settings=ProjectorSettings(
            records_max=settings.projector_records_max, gather_seconds=settings.projector_gather_seconds
        ),
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


def overlay(process: Process) -> Component:
    """Bus in, pending events in memory out, for the query server beside it."""
    overlays = process.overlays or Overlays(process)
    return LoopComponent("overlay", overlays.tail.run, process.failed)


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


def grpc_server(process: Process, address: str) -> GrpcServer:
    """A server with the settings' limits."""
    settings = process.settings
    tls = None
    if settings.tls_certificate or settings.tls_key:
        if not (settings.tls_certificate and settings.tls_key):
            raise SettingsError("tls_certificate and tls_key: both or neither")
        tls = ServerTls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return GrpcServer(
        ServerSettings(
            address=address,
            error_domain="erx",
            tls=tls,
            reuse_port=settings.reuse_port,
            calls_max=settings.calls_max,
            queue_seconds_max=settings.queue_seconds_max,
            streams_max=settings.streams_max,
            connection_streams_max=settings.calls_max + settings.streams_max,
            receive_bytes_max=settings.message_bytes_max,
            default_deadline_seconds=settings.deadline_seconds,
            drain_seconds=settings.drain_seconds,
        ),
        Observers(LogObserver(), CallMetrics(process.metrics)),
    )


def profile_of(settings: Settings) -> Profile:
    """The policy profile by its name."""
    if settings.profile not in PROFILES:
        raise SettingsError(f"profile: {settings.profile!r} is none of {', '.join(PROFILES)}")
    return PROFILES[settings.profile]
