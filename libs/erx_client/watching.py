"""Watches that go on after a cut: an iterator of what is told, each thing once.

The iterator ends only where the caller leaves it or the service refuses for good. Whoever stores what they took stores
``resume_token`` with it; a new watch from there has neither a gap nor a repeat.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import grpc

from erx.prescriptions.v1.watch_service_pb2 import WatchPrescriptionsRequest, WatchPrescriptionsResponse
from erx_client.calling import failure
from erx_client.errors import CallFailed
from erx_client.exchange import Exchange
from erx_client.retries import worth_retrying

if TYPE_CHECKING:
    from erx.prescriptions.v1.watch_service_pb2_grpc import (
        PrescriptionWatchServiceAsyncStub,
        PrescriptionWatchServiceStub,
    )


class _Place:
    """Where a watch is: the request with the token of the last message, and how often opening it failed since."""

    def __init__(self, exchange: Exchange, request: WatchPrescriptionsRequest) -> None:
        self._exchange = exchange
        self.request = exchange.request(request)
        if self.request is request:
            self.request = WatchPrescriptionsRequest()
            self.request.CopyFrom(request)
        self._failures = 0

    @property
    def metadata(self) -> Any:
        return self._exchange.metadata(self.request)

    def took(self, message: WatchPrescriptionsResponse) -> bool:
        """Move on; return whether the message says anything."""
        self._failures = 0
        self.request.resume_token = message.resume_token
        return not message.HasField("heartbeat")

    def pause(self, failed: CallFailed) -> float | None:
        """How long to wait before going on; None where that would not help."""
        if not worth_retrying(failed):
            return None
        return (failed.retry_after_seconds or 0.0) + self.backoff()

    def backoff(self) -> float:
        """How long to wait before the call is made once more."""
        self._failures += 1
        return self._exchange.retries.backoff(self._failures)


class Watch(Iterator[WatchPrescriptionsResponse]):
    """For threads. ``close``, or leaving its ``with``, ends the call."""

    def __init__(
        self,
        stub: "PrescriptionWatchServiceStub",
        exchange: Exchange,
        request: WatchPrescriptionsRequest,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stub, self._place, self._wait = stub, _Place(exchange, request), wait
        self._call: Any = None
        self._closed = False

    @property
    def resume_token(self) -> bytes:
        """From where to go on after the last message taken, or after a heartbeat since."""
        return self._place.request.resume_token

    def __next__(self) -> WatchPrescriptionsResponse:
        while not self._closed:
            try:
                if self._call is None:
                    self._call = self._stub.WatchPrescriptions(self._place.request, metadata=self._place.metadata)
                message: WatchPrescriptionsResponse = next(self._call)
            except StopIteration:
                self._call = None
                self._wait(self._place.backoff())
            except grpc.RpcError as error:
                self._call = None
                if self._closed:
                    break
                failed = failure(error)
                pause = self._place.pause(failed)
                if pause is None:
                    raise failed from error
                self._wait(pause)
            else:
                if self._place.took(message):
                    return message
        raise StopIteration

    def close(self) -> None:
        """End the call; the iterator ends with it, also in another thread."""
        self._closed = True
        if (call := self._call) is not None:
            call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncWatch(AsyncIterator[WatchPrescriptionsResponse]):
    """For asyncio. ``close``, or leaving its ``with``, ends the call."""

    def __init__(
        self,
        stub: "PrescriptionWatchServiceAsyncStub",
        exchange: Exchange,
        request: WatchPrescriptionsRequest,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stub, self._place, self._wait = stub, _Place(exchange, request), wait
        self._call: Any = None
        self._closed = False

    @property
    def resume_token(self) -> bytes:
        """From where to go on after the last message taken, or after a heartbeat since."""
        return self._place.request.resume_token

    async def __anext__(self) -> WatchPrescriptionsResponse:
        while not self._closed:
            try:
                if self._call is None:
                    self._call = self._stub.WatchPrescriptions(self._place.request, metadata=self._place.metadata)
                message = await self._call.read()
            except asyncio.CancelledError:
                self._call = None  # what is cancelled while it is read is over
                task = asyncio.current_task()
                if not self._closed or (task is not None and task.cancelling()):
                    raise
            except grpc.RpcError as error:
                self._call = None
                failed = failure(error)
                pause = self._place.pause(failed)
                if pause is None:
                    raise failed from error
                await self._wait(pause)
            else:
                if message is grpc.aio.EOF:
                    self._call = None
                    await self._wait(self._place.backoff())
                elif self._place.took(message):
                    return message  # type: ignore[no-any-return]  # what the stub reads
        raise StopAsyncIteration

    def close(self) -> None:
        """End the call, and the iterator with it."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
