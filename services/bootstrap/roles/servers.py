"""The gRPC servers of a process."""

from collections.abc import Awaitable, Callable

from bootstrap.metrics import CallMetrics
from bootstrap.process import Process
from bootstrap.settings import Settings, SettingsError
from eventkernel_grpc import GrpcServer, LogObserver, Observers, ServerSettings, ServerTls

ERROR_DOMAIN = "prescriptions.erx"

Finish = Callable[[], Awaitable[None]]


class ServerComponent:
    """A gRPC server as a component; ``after`` runs when no call is left."""

    def __init__(self, name: str, server: GrpcServer, said: Callable[[str], None], after: Finish | None = None) -> None:
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


def grpc_server(process: Process, address: str) -> GrpcServer:
    """A server with the settings' limits."""
    settings = process.settings
    return GrpcServer(
        ServerSettings(
            address=address,
            error_domain="erx",
            tls=tls_of(settings),
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


def tls_of(settings: Settings) -> ServerTls | None:
    """The servers' certificate, where the settings name one."""
    if not (settings.tls_certificate or settings.tls_key):
        return None
    if not (settings.tls_certificate and settings.tls_key):
        raise SettingsError("tls_certificate and tls_key: both or neither")
    return ServerTls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
