"""Opening stores that may not be there yet: wait with backoff, and say NOT_SERVING in health and why in the log meanwhile."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from bootstrap.settings import Settings
from bootstrap.stores import Stores, open_stores
from eventkernel.runtime.waiting import until_available
from eventkernel_grpc import GrpcServer, ServerSettings
from eventkernel_memory.clock import SystemClock

if TYPE_CHECKING:
    from eventkernel.errors import KernelError

_log = structlog.get_logger()


async def open_when_available(settings: Settings, names: list[str], stop: asyncio.Event) -> Stores | None:
    """The stores once they answer; None when ``stop`` came first.

    Raises at once what waiting does not mend: a wrong keyspace or password, a schema from a newer program.
    """
    opened: list[Stores] = []
    placeholders: list[GrpcServer] = []
    reasons: list[KernelError] = []

    async def attempt() -> None:
        if reasons and not placeholders:
            placeholders.extend([await _not_serving(address) for address in _addresses(settings, names)])
        opened.append(await open_stores(settings))

    try:
        await until_available(attempt, clock=SystemClock(), name="start", stop=stop, on_waiting=reasons.append)
    finally:
        for server in placeholders:
            await server.stop()
    if reasons and opened:
        _log.info("stores answer", waited_for=len(reasons))
    return opened[0] if opened else None


def _addresses(settings: Settings, names: list[str]) -> list[str]:
    """Where this process will listen, as far as that is known before it does."""
    wanted = {"command": settings.command_address, "query": settings.query_address}
    return [address for name, address in wanted.items() if name in names and not address.endswith(":0")]


async def _not_serving(address: str) -> GrpcServer:
    """A server that answers health checks alone, with NOT_SERVING, in the place of the one that waits."""
    server = GrpcServer(ServerSettings(address=address, reflection=False))
    await server.start()
    server.health.set_serving("", serving=False)
    return server
