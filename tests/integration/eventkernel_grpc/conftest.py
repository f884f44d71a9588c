"""An echo service made for these tests, and servers of it on ports of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2

from eventkernel_grpc import CallRecord, GrpcServer, ServerSettings, channel

SERVICE = "eventkernel_grpc.testing.v1.EchoService"
Text: TypeAlias = wrappers_pb2.StringValue


def describe() -> None:
    """Put the service into the default pool, as generated code does for its own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="eventkernel_grpc/testing/v1/echo.proto",
        package="eventkernel_grpc.testing.v1",
        dependency=["google/protobuf/wrappers.proto"],
        syntax="proto3",
    )
    service = file.service.add(name="EchoService")
    kind = ".google.protobuf.StringValue"
    for name, asks, answers in (
        ("Say", False, False),
        ("Look", False, False),
        ("Missing", False, False),
        ("Count", False, True),
        ("Join", True, False),
        ("Talk", True, True),
    ):
        method = service.method.add(name=name, input_type=kind, output_type=kind)
        method.client_streaming, method.server_streaming = asks, answers
        if name != "Say":
            method.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    descriptor_pool.Default().Add(file)


try:
    descriptor_pool.Default().FindServiceByName(SERVICE)
except KeyError:
    describe()


@dataclass
class Echo:
    """Each method does what the test put into ``on``; without that it gives back what it gets."""

    on: Callable[[Text, Any], Awaitable[Any]] | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, request: Text, context: Any) -> Any:
        self.entered.set()
        try:
            return await self.on(request, context) if self.on else request
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def hold(self, request: Text, _context: Any) -> Text:
        """A handler that takes until the test lets it go on."""
        await self.go_on.wait()
        return request

    def missing(self, _request: Text, context: Any) -> Any:
        """As generated code leaves a method that nobody wrote."""
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    async def count(self, request: Text, context: Any) -> AsyncIterator[Text]:
        for part in request.value.split(","):
            yield Text(value=part)
        if self.on:
            yield await self.say(request, context)

    async def join(self, requests: AsyncIterator[Text], _context: Any) -> Text:
        return Text(value=",".join([request.value async for request in requests]))

    async def talk(self, requests: AsyncIterator[Text], _context: Any) -> AsyncIterator[Text]:
        async for request in requests:
            yield request


def add_echo_to_server(servicer: Echo, server: Any) -> None:
    """What generated code would be."""
    codec = (Text.FromString, Text.SerializeToString)
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(servicer.say, *codec),
        "Look": grpc.unary_unary_rpc_method_handler(servicer.say, *codec),
        "Missing": grpc.unary_unary_rpc_method_handler(servicer.missing, *codec),
        "Count": grpc.unary_stream_rpc_method_handler(servicer.count, *codec),
        "Join": grpc.stream_unary_rpc_method_handler(servicer.join, *codec),
        "Talk": grpc.stream_stream_rpc_method_handler(servicer.talk, *codec),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


@dataclass
class Records:
    """An observer that keeps what it is told."""

    started_methods: list[str] = field(default_factory=list)
    finished_calls: list[CallRecord] = field(default_factory=list)
    arrivals: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def started(self, method: str) -> None:
        self.started_methods.append(method)
        self.arrivals.put_nowait(method)

    def finished(self, record: CallRecord) -> None:
        self.finished_calls.append(record)


@dataclass
class Served:
    """A running server, its service, what was observed, and a channel to it."""

    server: GrpcServer
    echo: Echo
    records: Records
    channel: grpc.aio.Channel

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{name}", Text.SerializeToString, Text.FromString)

    def raw(self, name: str) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{name}")

    def streaming(self, name: str) -> Any:
        return self.channel.unary_stream(f"/{SERVICE}/{name}", Text.SerializeToString, Text.FromString)


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """Serves in a block; the settings are those of `ServerSettings`."""

    @asynccontextmanager
    async def serving(**settings: Any) -> AsyncIterator[Served]:
        echo, records = Echo(), Records()
        server = GrpcServer(ServerSettings(**{"drain_seconds": 0.5, **settings}), records)
        server.add(add_echo_to_server, echo, error_domain="echo.test")
        async with server, channel(server.target) as opened:
            yield Served(server, echo, records, opened)

    return serving


@pytest.fixture
def text() -> type[Text]:
    """The message of the service."""
    return Text
