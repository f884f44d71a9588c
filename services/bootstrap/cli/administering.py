"""Conversations with the service that administers views."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bootstrap.cli.clients import channel_to, operator
from bootstrap.settings import Settings
from erx.eventlog.v1.view_admin_service_pb2_grpc import ViewAdminServiceStub

T = TypeVar("T")


async def admin(settings: Settings, call: Callable[[Any, Any], Awaitable[T]], tenant: str) -> T:
    """One conversation with the service that administers views; ``call`` gets the stub and the metadata."""
    async with channel_to(settings, settings.query_address) as opened:
        return await call(ViewAdminServiceStub(opened), operator(tenant))
