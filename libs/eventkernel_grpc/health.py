"""grpc.health.v1 for the server and each of its services.

grpcio's own servicer cannot end a ``Watch``, so a single watcher would hold a stopping server until the end of its grace;
here a watcher is told NOT_SERVING and its stream ends. Services: "" is the server as a whole.
"""

import asyncio
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # its stubs are a package of their own

from eventkernel_grpc.status import DETAILS_KEY, WireError

SERVICE = "grpc.health.v1.Health"
WHOLE_SERVER = ""

Status = health_pb2.HealthCheckResponse


class Health:
    """Which services serve. Not thread-safe: for the server's event loop."""

    def __init__(self, error_domain: str) -> None:
        self._error_domain = error_domain
        self._serving: dict[str, bool] = {WHOLE_SERVER: False}
        self._stopped = False
        self._changed = asyncio.Event()

    def set_serving(self, service: str, serving: bool) -> None:
        """Say whether a service serves; after ``stop`` it stays NOT_SERVING."""
        self._serving[service] = serving and not self._stopped
        self._tell()

    def stop(self) -> None:
        """Everything is NOT_SERVING from now on, and every watcher's stream ends after saying so."""
        self._stopped = True
        for service in self._serving:
            self._serving[service] = False
        self._tell()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        """The status of one service; NOT_FOUND for one that the server does not know."""
        if request.service in self._serving:
            return Status(status=self._status(request.service))
        resource = error_details_pb2.ResourceInfo(resource_type="service", resource_name=request.service)
        facts = {"service": request.service}
        error = WireError(grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN", "unknown service", facts, [resource])
        return await context.abort(error.code, error.message, ((DETAILS_KEY, error.trailers(self._error_domain)),))

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802  # the protocol's name
        """The status of every service."""
        statuses = {service: Status(status=self._status(service)) for service in self._serving}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: Any, _context: Any) -> Any:  # noqa: N802  # the protocol's name
        """The status now and each time it changes, until the server stops."""
        last = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield Status(status=status)
            if self._stopped:
                return
            if changed is self._changed:
                await changed.wait()

    def _status(self, service: str) -> Any:
        serving = self._serving.get(service)
        if serving is None:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if serving else Status.NOT_SERVING

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
