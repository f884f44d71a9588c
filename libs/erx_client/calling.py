"""Channels of a session, in the shape that generated stubs ask for: every call carries tokens, retries and typed errors.

A stub asks its channel for one callable per method and knows nothing more of it. So the session stands where the channel
would, and the stubs stay the generated ones with their types.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from erx_client.errors import CallFailed, typed
from erx_client.exchange import Exchange
from eventkernel_grpc import remote_error


def failure(error: grpc.RpcError) -> CallFailed:
    """The error of gRPC as one of ours."""
    return typed(remote_error(error))


class SessionChannel:
    """For threads: a call returns the reply or raises ``CallFailed``. ``wait`` is how it waits between attempts."""

    def __init__(self, channel: grpc.Channel, exchange: Exchange, wait: Callable[[float], None] = time.sleep) -> None:
        self._channel = channel
        self._exchange = exchange
        self._wait = wait

    def unary_unary(self, *arguments: Any, **keywords: Any) -> Callable[..., Any]:
        """The callable of one method."""
        send: Callable[..., Any] = self._channel.unary_unary(*arguments, **keywords)
        exchange = self._exchange

        def call(request: Message, timeout: float | None = None) -> Any:
            sent = exchange.request(request)
            ends_at = time.monotonic() + (exchange.call_seconds if timeout is None else timeout)
            attempt = 1
            while True:
                try:
                    reply = send(sent, timeout=ends_at - time.monotonic(), metadata=exchange.metadata(sent))
                except grpc.RpcError as error:
                    failed = failure(error)
                    pause = exchange.retries.pause(failed, attempt=attempt, seconds_left=ends_at - time.monotonic())
                    if pause is None:
                        raise failed from error
                else:
                    exchange.answered(reply)
                    return reply
                self._wait(pause)
                attempt += 1

        return call

    def unary_stream(self, *arguments: Any, **keywords: Any) -> Any:
        """The callable of a stream, as it is: ``Watch`` knows how to go on with it."""
        return self._channel.unary_stream(*arguments, **keywords)


class AsyncSessionChannel:
    """For asyncio: a call is awaited, and returns the reply or raises ``CallFailed``."""

    def __init__(
        self, channel: grpc.aio.Channel, exchange: Exchange, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._channel = channel
        self._exchange = exchange
        self._wait = wait

    def unary_unary(self, *arguments: Any, **keywords: Any) -> Callable[..., Awaitable[Any]]:
        """The callable of one method."""
        send: Callable[..., Any] = self._channel.unary_unary(*arguments, **keywords)
        exchange = self._exchange

        async def call(request: Message, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the stubs' signature
            sent = exchange.request(request)
            ends_at = time.monotonic() + (exchange.call_seconds if timeout is None else timeout)
            attempt = 1
            while True:
                try:
                    reply = await send(sent, timeout=ends_at - time.monotonic(), metadata=exchange.metadata(sent))
                except grpc.RpcError as error:
                    failed = failure(error)
                    pause = exchange.retries.pause(failed, attempt=attempt, seconds_left=ends_at - time.monotonic())
                    if pause is None:
                        raise failed from error
                else:
                    exchange.answered(reply)
                    return reply
                await self._wait(pause)
                attempt += 1

        return call

    def unary_stream(self, *arguments: Any, **keywords: Any) -> Any:
        """The callable of a stream, as it is: ``AsyncWatch`` knows how to go on with it."""
        return self._channel.unary_stream(*arguments, **keywords)
