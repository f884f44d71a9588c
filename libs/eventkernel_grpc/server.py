"""A gRPC server from start to drain: services, health, reflection, address, stop."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import MethodOptions
from grpc_health.v1 import health_pb2_grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

from eventkernel.errors import KernelError
from eventkernel_grpc import reflection
from eventkernel_grpc.admission import PROBE, Admission, QueueProbe
from eventkernel_grpc.deadlines import Deadlines
from eventkernel_grpc.draining import Draining
from eventkernel_grpc.edge import INVOCATION, Edge, Method
from eventkernel_grpc.error_table import abort
from eventkernel_grpc.errors import BindFailed, MethodUnknown
from eventkernel_grpc.health import SERVICE as HEALTH_SERVICE
from eventkernel_grpc.health import WHOLE_SERVER, Health
from eventkernel_grpc.limits import ConcurrencyLimit
from eventkernel_grpc.observer import CallObserver, LogObserver
from eventkernel_grpc.settings import ServerSettings
from eventkernel_grpc.validation import RequestValidator

S = TypeVar("S")
Handlers = dict[str, "grpc.RpcMethodHandler[Any, Any]"]

# Late calls are held until an interval passes without a new one; callers that never pause are given up on after this many.
QUIET_SECONDS = 0.02
QUIET_INTERVALS_MAX = 25
# After the drain's time is over calls are cancelled; this long they may take to clean up behind themselves.
CANCELLED_CALLS_SECONDS_MAX = 2.0

_log = logging.getLogger(__name__)


class GrpcServer:
    """Add services, start, stop; or ``async with`` around the time it serves. Make it inside the event loop it runs in."""

    def __init__(self, settings: ServerSettings | None = None, observer: CallObserver | None = None) -> None:
        self.settings = settings or ServerSettings()
        self.health = Health(self.settings.error_domain)
        self.calls = ConcurrencyLimit("grpc_calls", self.settings.calls_max)
        self.streams = ConcurrencyLimit("grpc_streams", self.settings.streams_max)
        self.admission = Admission(self.settings.queue_seconds_max)
        self.port = 0
        self._probe = QueueProbe(self.admission) if self.settings.queue_seconds_max > 0 else None
        self._draining = Draining()
        self._edge = Edge(
            validator=RequestValidator(),
            calls=self.calls,
            streams=self.streams,
            admission=self.admission,
            draining=self._draining,
            observer=observer or LogObserver(),
            deadlines=Deadlines(self.settings.default_deadline_seconds),
            request_bytes_max=self.settings.receive_bytes_max,
        )
        self._services: list[str] = []
        self._absent: Callable[[str], KernelError] | None = None
        self._handlers: Handlers = {}
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    def add(self, add_to_server: Callable[[S, Any], None], servicer: S, *, error_domain: str | None = None) -> None:
        """Add a service by its generated ``add_…Servicer_to_server``.

        Every method that is not marked NO_SIDE_EFFECTS in its proto is a command and needs the actor's metadata.
        Validation rules are compiled now: wrong ones raise here and not in a call.
        """
        domain = error_domain or self.settings.error_domain
        for service, handlers in _registered(add_to_server, servicer).items():
            described = descriptor_pool.Default().FindServiceByName(service).methods_by_name
            for name, handler in handlers.items():
                options = described[name].GetOptions()
                self._edge.validator.prepare(message_factory.GetMessageClass(described[name].input_type))
                method = Method(
                    path=f"/{service}/{name}",
                    handler=handler,
                    error_domain=domain,
                    actor_required=options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
                )
                self._handlers[method.path] = self._edge.wrapped(method)
            self._services.append(service)

    def stand_in_for(self, services: Iterable[str], absent: Callable[[str], KernelError]) -> None:
        """Listen in the place of a server that cannot serve yet.

        Its services are NOT_SERVING, and every call is refused with the error.
        """
        self._services.extend(services)
        self._absent = absent

    @property
    def target(self) -> str:
        """What clients connect to: the address with the port that was bound."""
        if self.settings.address.startswith("unix:"):
            return self.settings.address
        return f"{self.settings.address.rpartition(':')[0]}:{self.port}"

    async def start(self) -> int:
        """Bind and serve; gives the bound port (0 for a unix socket). Raises ``BindFailed``."""
        handlers = dict(self._handlers)
        for service, methods in _registered(health_pb2_grpc.add_HealthServicer_to_server, self.health).items():
            handlers |= {f"/{service}/{name}": handler for name, handler in methods.items()}
        if self.settings.reflection:
            handlers |= reflection.handlers(
                [*self._services, HEALTH_SERVICE], self._draining, self.settings.error_domain
            )
        if self._probe is not None:
            handlers[PROBE] = self._probe.handler()
        self._server = grpc.aio.server(
            handlers=(_Dispatch(handlers, self.settings.error_domain, self._absent or MethodUnknown),),
            options=self.settings.channel_options(),
        )
        self.port = await self._bind(self._server)
        if self._probe is not None:
            self._probe.listen(self._server)
        await self._server.start()
        if self._probe is not None:
            await self._probe.start()
        for service in (*self._services, HEALTH_SERVICE, WHOLE_SERVER):
            self.health.set_serving(service, self._absent is None)
        return self.port

    async def stop(self) -> None:
        """Drain: say NOT_SERVING, take no more calls, end open streams, let calls finish within their time, close.

        Safe to call again; every caller returns when the server is closed.
        """
        if self._server is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain(self._server), name="grpc-drain")
        await asyncio.shield(self._stopping)

    async def wait_stopped(self) -> None:
        """Return when the server has been stopped."""
        await self._stopped.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _drain(self, server: grpc.aio.Server) -> None:
        settings = self.settings
        self.health.stop()
        if self._probe is not None:
            await self._probe.stop()
        if settings.drain_notice_seconds > 0:
            await asyncio.sleep(settings.drain_notice_seconds)
        self._draining.begin()
        await self._draining.quiet(QUIET_SECONDS, QUIET_INTERVALS_MAX)
        # The grace given to grpc is longer than ours, so that it is here where it is seen and said that calls were cut off.
        closing = asyncio.create_task(server.stop(settings.drain_seconds + CANCELLED_CALLS_SECONDS_MAX))
        await asyncio.sleep(0)  # grpc refuses connections from the first step of that task on
        self._draining.close()
        done, _ = await asyncio.wait({closing}, timeout=settings.drain_seconds)
        if not done:
            _log.warning("%d calls are cut off after %g s of draining", self.calls.in_use, settings.drain_seconds)
            await server.stop(None)
        await closing
        with suppress(TimeoutError):
            await asyncio.wait_for(self.calls.idle(), CANCELLED_CALLS_SECONDS_MAX)
        self._stopped.set()

    async def _bind(self, server: grpc.aio.Server) -> int:
        address, tls = self.settings.address, self.settings.tls
        is_socket = address.startswith("unix:")
        if is_socket and await asyncio.to_thread(_answers, _socket_path(address)):
            # grpc would remove the socket of the other server and listen in its place.
            raise BindFailed(address, "another server answers there")
        try:
            if tls is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, await asyncio.to_thread(tls.credentials))
        except OSError as error:
            raise BindFailed(address, f"a file of its certificate cannot be read: {error}") from error
        except RuntimeError as error:
            raise BindFailed(address, "it is taken, not this machine's, or not allowed") from error
        return 0 if is_socket else port


class _Dispatch(grpc.GenericRpcHandler):
    """Handlers by path in one look-up; an unknown path is answered with an ErrorInfo as well."""

    def __init__(
        self,
        handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"],
        error_domain: str,
        unknown: Callable[[str], KernelError],
    ) -> None:
        self._handlers = handlers
        self._error_domain = error_domain
        self._error = unknown

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler of a path."""
        INVOCATION.set(cast("Any", handler_call_details.invocation_metadata))
        return self._handlers.get(handler_call_details.method) or self._unknown(handler_call_details.method)

    def _unknown(self, path: str) -> "grpc.RpcMethodHandler[Any, Any]":
        async def refuse(_requests: Any, context: Any) -> None:
            await abort(context, self._error(path), self._error_domain)

        return grpc.stream_stream_rpc_method_handler(refuse)


class _Recorder:
    """Stands where generated code wants a server, and keeps what it registers."""

    def __init__(self) -> None:
        self.services: dict[str, Handlers] = {}

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """The same handlers, without their names."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """A service's handlers by the names of their methods."""
        self.services[service] = handlers


def _registered(add_to_server: Callable[[S, Any], None], servicer: S) -> dict[str, Handlers]:
    recorder = _Recorder()
    add_to_server(servicer, recorder)
    return recorder.services


def _socket_path(address: str) -> Path:
    return Path(address.removeprefix("unix:").removeprefix("//"))


def _answers(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
