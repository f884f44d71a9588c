"""Opening stores that may not be there yet: wait with backoff, and say NOT_SERVING in health and why in the log meanwhile."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import structlog

from bootstrap.roles.servers import tls_of
from bootstrap.settings import Settings
from bootstrap.stores import EVERY_PART, Part, Stores, open_stores
from erx.eventlog.v1 import view_admin_service_pb2, webhook_service_pb2
from erx.prescriptions.v1 import command_service_pb2, query_service_pb2, watch_service_pb2
from eventkernel.errors import StoreUnavailable
from eventkernel.runtime.waiting import until_available
from eventkernel_grpc import GrpcServer, ServerSettings
from eventkernel_memory.clock import SystemClock

if TYPE_CHECKING:
    from eventkernel.errors import KernelError

ADDRESSES: Mapping[str, Callable[[Settings], str]] = {
    "command": lambda settings: settings.command_address,
    "query": lambda settings: settings.query_address,
}
SERVICES: Mapping[str, tuple[str, ...]] = {
    name: tuple(service.full_name for file in files for service in file.DESCRIPTOR.services_by_name.values())
    for name, files in {
        "command": (command_service_pb2,),
        "query": (query_service_pb2, watch_service_pb2, webhook_service_pb2, view_admin_service_pb2),
    }.items()
}
"""What each server will serve; a server in its place says NOT_SERVING for each of them."""

_log = structlog.get_logger()


async def open_when_available(
    settings: Settings,
    names: list[str],
    stop: asyncio.Event,
    said: Callable[[str], None],
    parts: Collection[Part] = EVERY_PART,
) -> Stores | None:
    """The stores once they answer, of their parts those that these roles need; None when ``stop`` came first.

    Raises at once what waiting does not mend: a wrong keyspace or password, a schema from a newer program.
    """
    opened: list[Stores] = []
    placeholders: list[GrpcServer] = []
    reasons: list[KernelError] = []

    async def attempt() -> None:
        if reasons and not placeholders:
            placeholders.extend([await _not_serving(settings, name, said) for name in ADDRESSES if name in names])
        opened.append(await open_stores(settings, parts))

    try:
        await until_available(attempt, clock=SystemClock(), name="start", stop=stop, on_waiting=reasons.append)
    finally:
        for server in placeholders:
            await server.stop()
    if reasons and opened:
        _log.info("stores answer", waited_for=len(reasons))
    return opened[0] if opened else None


async def _not_serving(settings: Settings, name: str, said: Callable[[str], None]) -> GrpcServer:
    """A server in the place of the one that waits: its services are NOT_SERVING, and calls may be tried again."""
    address = ADDRESSES[name](settings)
    server = GrpcServer(ServerSettings(address=address, tls=tls_of(settings), reuse_port=settings.reuse_port))
    server.stand_in_for(SERVICES[name], lambda _path: StoreUnavailable("the store of this server", "not there yet"))
    await server.start()
    said(f"{name} server waits on {server.target}")
    return server
