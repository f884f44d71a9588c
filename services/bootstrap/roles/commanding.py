"""The command server: gRPC in, events and outbox rows out."""

from bootstrap.measured import MeasuredEventStore
from bootstrap.metrics import AggregateCacheMetrics, HandlerMetrics
from bootstrap.process import Process
from bootstrap.roles.servers import ERROR_DOMAIN, ServerComponent, grpc_server
from bootstrap.secrets import kept_key
from bootstrap.settings import Settings, SettingsError
from erx.prescriptions.v1.command_service_pb2_grpc import add_PrescriptionCommandServiceServicer_to_server
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.runtime.components import Component
from eventkernel.runtime.times import TimeRules
from prescriptions.command_service import PrescriptionCommandService, prescription_type
from prescriptions.domain.profiles import PROFILES, Profile


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


def profile_of(settings: Settings) -> Profile:
    """The policy profile by its name."""
    if settings.profile not in PROFILES:
        raise SettingsError(f"profile: {settings.profile!r} is none of {', '.join(PROFILES)}")
    return PROFILES[settings.profile]
