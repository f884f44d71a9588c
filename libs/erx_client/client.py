"""Clients of both servers, and the sessions in which one speaks with them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from erx.eventlog.v1.consistency_pb2 import ConsistencyMode
from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceStub
from erx.prescriptions.v1.filters_pb2 import PrescriptionFilter
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from erx.prescriptions.v1.watch_service_pb2 import WatchPrescriptionsRequest
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from erx_client.calling import AsyncSessionChannel, SessionChannel
from erx_client.exchange import CALL_SECONDS, Exchange
from erx_client.retries import Retries
from erx_client.seen import Seen
from erx_client.watching import AsyncWatch, Watch
from eventkernel.envelope import Actor
from eventkernel_grpc import ChannelSettings, channel, sync_channel

if TYPE_CHECKING:
    from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceAsyncStub
    from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceAsyncStub
    from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceAsyncStub

COMMAND_ADDRESS = "127.0.0.1:50051"
QUERY_ADDRESS = "127.0.0.1:50052"
SAME = ConsistencyMode.CONSISTENCY_MODE_UNSPECIFIED


class Session:
    """What one user does, for threads: reads in it are never behind its writes, nor behind what it has read.

    ``commands`` and ``queries`` are the generated stubs. A command without a ``request_id`` gets one; what a call may fail with
    is in ``erx_client.errors``.
    """

    def __init__(self, client: "Client", exchange: Exchange) -> None:
        self._client, self._exchange = client, exchange
        commands = cast("Any", SessionChannel(client.command_channel, exchange))
        queries = cast("Any", SessionChannel(client.query_channel, exchange))
        self.commands: PrescriptionCommandServiceStub = PrescriptionCommandServiceStub(commands)
        self.queries: PrescriptionQueryServiceStub = PrescriptionQueryServiceStub(queries)
        self._watches: PrescriptionWatchServiceStub = PrescriptionWatchServiceStub(queries)

    @property
    def token(self) -> bytes:
        """What was seen so far, to hand to another session, here or elsewhere."""
        return self._exchange.seen.token

    def saw(self, token: bytes) -> None:
        """Read from here on at least as of this token too."""
        self._exchange.seen.add(token)

    def acting(self, actor: Actor) -> "Session":
        """The same session with somebody else acting."""
        return Session(self._client, replace(self._exchange, actor=actor))

    def watch(
        self, wanted: PrescriptionFilter | None = None, *, resume_token: bytes = b"", changes_only: bool = False
    ) -> Watch:
        """Follow what fits the filter, from now or from a token; it goes on by itself after a cut."""
        request = WatchPrescriptionsRequest(filter=wanted, resume_token=resume_token, changes_only=changes_only)
        return Watch(self._watches, self._exchange, request)


class AsyncSession:
    """What one user does, for asyncio. See ``Session``; calls are awaited."""

    def __init__(self, client: "AsyncClient", exchange: Exchange) -> None:
        self._client, self._exchange = client, exchange
        commands = cast("Any", AsyncSessionChannel(client.command_channel, exchange))
        queries = cast("Any", AsyncSessionChannel(client.query_channel, exchange))
        self.commands: PrescriptionCommandServiceAsyncStub = PrescriptionCommandServiceStub(commands)
        self.queries: PrescriptionQueryServiceAsyncStub = PrescriptionQueryServiceStub(queries)
        self._watches: PrescriptionWatchServiceAsyncStub = PrescriptionWatchServiceStub(queries)

    @property
    def token(self) -> bytes:
        """What was seen so far, to hand to another session, here or elsewhere."""
        return self._exchange.seen.token

    def saw(self, token: bytes) -> None:
        """Read from here on at least as of this token too."""
        self._exchange.seen.add(token)

    def acting(self, actor: Actor) -> "AsyncSession":
        """The same session with somebody else acting."""
        return AsyncSession(self._client, replace(self._exchange, actor=actor))

    def watch(
        self, wanted: PrescriptionFilter | None = None, *, resume_token: bytes = b"", changes_only: bool = False
    ) -> AsyncWatch:
        """Follow what fits the filter, from now or from a token; it goes on by itself after a cut."""
        request = WatchPrescriptionsRequest(filter=wanted, resume_token=resume_token, changes_only=changes_only)
        return AsyncWatch(self._watches, self._exchange, request)


class Client:
    """Connections to both servers, for threads. Close it, or use it with ``with``."""

    def __init__(
        self,
        command: str = COMMAND_ADDRESS,
        query: str = QUERY_ADDRESS,
        *,
        tenant: str = "",
        settings: ChannelSettings | None = None,
        retries: Retries | None = None,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self.command_channel = sync_channel(command, settings)
        self.query_channel = sync_channel(query, settings)
        self._exchange = Exchange(tenant=tenant, retries=retries or Retries(), call_seconds=call_seconds)

    def session(self, actor: Actor | None = None, *, consistency: ConsistencyMode.ValueType = SAME) -> Session:
        """A new session, which has seen nothing. ``consistency``: how queries that do not say it keep up with it."""
        return Session(self, _new_session(self._exchange, actor, consistency))

    def close(self) -> None:
        """End all calls."""
        self.command_channel.close()
        self.query_channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """Connections to both servers, for asyncio. Close it, or use it with ``async with``."""

    def __init__(
        self,
        command: str = COMMAND_ADDRESS,
        query: str = QUERY_ADDRESS,
        *,
        tenant: str = "",
        settings: ChannelSettings | None = None,
        retries: Retries | None = None,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self.command_channel = channel(command, settings)
        self.query_channel = channel(query, settings)
        self._exchange = Exchange(tenant=tenant, retries=retries or Retries(), call_seconds=call_seconds)

    def session(self, actor: Actor | None = None, *, consistency: ConsistencyMode.ValueType = SAME) -> AsyncSession:
        """A new session, which has seen nothing. ``consistency``: how queries that do not say it keep up with it."""
        return AsyncSession(self, _new_session(self._exchange, actor, consistency))

    async def close(self) -> None:
        """End all calls."""
        await self.command_channel.close()
        await self.query_channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _new_session(exchange: Exchange, actor: Actor | None, consistency: ConsistencyMode.ValueType) -> Exchange:
    return replace(exchange, actor=actor, seen=Seen(exchange.tenant), consistency=consistency)
