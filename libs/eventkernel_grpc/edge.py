"""One layer between grpc.aio and a handler: metadata, limits, deadline, validation, errors, observation.

A single wrapper instead of a chain of interceptors, because grpc.aio resolves interceptors anew for every call. Requests
and replies cross grpc as bytes and are parsed and serialised here, so that bytes that cannot be read, and replies that
cannot be written, are answered by the error table too; grpc's own answer to both would repeat the exception to the caller.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from eventkernel_grpc import metadata
from eventkernel_grpc.admission import Admission
from eventkernel_grpc.call import CallContext, enter_call
from eventkernel_grpc.deadlines import Deadlines, reply_seconds
from eventkernel_grpc.draining import Draining
from eventkernel_grpc.error_table import row_of
from eventkernel_grpc.errors import (
    DeadlinePassed,
    MethodUnknown,
    OutcomeNotKnown,
    RequestInvalid,
    RequestTooLarge,
    Violation,
)
from eventkernel_grpc.limits import ConcurrencyLimit
from eventkernel_grpc.observer import CallObserver, CallRecord
from eventkernel_grpc.status import DETAILS_KEY
from eventkernel_grpc.validation import RequestValidator, refuse_nul

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
# The metadata that grpc decoded to find the handler. It is set in the call's own task, by the dispatcher; asking the
# servicer context would decode all of it once more, which costs more than the rest of this module.
INVOCATION: ContextVar[Sequence[tuple[str, str | bytes]]] = ContextVar("eventkernel_grpc_invocation", default=())

# Keeps the client's library from a retry that the deadline would end, and so from hiding this answer (gRPC proposal A6).
NO_RETRY = ("grpc-retry-pushback-ms", "-1")

RawHandler: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method to be served: its full path, its handler as generated code registers it, and what it asks of callers."""

    path: str
    handler: "grpc.RpcMethodHandler[Any, Any]"
    error_domain: str
    actor_required: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """Wraps handlers. One per server; it holds the server's limits."""

    validator: RequestValidator
    calls: ConcurrencyLimit
    streams: ConcurrencyLimit
    admission: Admission
    draining: Draining
    observer: CallObserver
    deadlines: Deadlines
    request_bytes_max: int

    def wrapped(self, method: Method) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler to register with grpc in the place of the given one."""
        handler: Any = method.handler
        if handler.response_streaming:
            run = self._streaming(method, handler.stream_stream if handler.request_streaming else handler.unary_stream)
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(run)
            return grpc.unary_stream_rpc_method_handler(run)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(method, handler.stream_unary))
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary))

    def _unary(self, method: Method, handler: RawHandler) -> RawHandler:
        read, open_call, deadlines = self._reader(method), self._open, self.deadlines
        changes, settled = method.actor_required, self._settled

        async def body(raw: Any, context: Context, served: "_Served") -> bytes:
            remaining: float | None = context.time_remaining()  # the stub forgets None: no deadline
            call = served.call = open_call(method, context, deadlines.seconds if remaining is None else remaining)
            enter_call(call)
            request = read(raw)
            if changes:
                reply = await settled(handler(request, context), method.path, request, remaining)
            elif remaining is None:
                reply = await deadlines.within(handler(request, context), method.path)
            else:  # grpc itself ends the call at the caller's deadline
                reply = await handler(request, context)
            return reply.SerializeToString()  # type: ignore[no-any-return]  # a generated message's

        return self._served(method, self.calls, body)

    async def _settled(self, reply: Awaitable[Any], path: str, request: Any, remaining: float | None) -> Any:
        """The reply of a call that may change something. Whoever has to wait too long is told so before grpc ends the call:
        at the deadline itself the caller would learn neither that a retry is safe nor when to try.
        """
        if remaining is not None:
            remaining -= reply_seconds(remaining)
        try:
            return await self.deadlines.within(reply, path, remaining)
        except DeadlinePassed as error:
            known = getattr(request, "request_id", "")
            raise OutcomeNotKnown(path, seconds=error.seconds, request_id=known, time_left=remaining is None) from error

    def _streaming(self, method: Method, handler: Callable[[Any, Context], Any]) -> RawHandler:
        read, open_call = self._reader(method), self._open

        async def body(raw: Any, context: Context, served: "_Served") -> None:
            call = served.call = open_call(method, context, context.time_remaining())
            enter_call(call)
            request = read(raw)
            async with AsyncExitStack() as opened:
                await opened.enter_async_context(self.draining.stream())
                replies = await opened.enter_async_context(aclosing(handler(request, context)))
                async for reply in replies:
                    await context.write(reply.SerializeToString())

        return self._served(method, self.streams, body)

    def _served(
        self, method: Method, limit: ConcurrencyLimit, body: Callable[[Any, Context, "_Served"], Awaitable[Any]]
    ) -> RawHandler:
        observer, path, draining, admission = self.observer, method.path, self.draining, self.admission

        async def serve(raw: Any, context: Context) -> Any:
            served = _Served(time.perf_counter())
            entered = False
            try:
                if draining.begun:
                    await draining.refuse()
                admission.admit()
                limit.enter()
                entered = True
                observer.started(path)
                reply = await body(raw, context, served)
            except grpc.aio.AbortError:
                observer.finished(served.record(path, _code_name(context), ""))
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    observer.finished(served.record(path, "CANCELLED", ""))
                    raise
                # Not this call was cancelled but something it waited for: without an answer the caller would wait on.
                await self._refuse(method, context, served, error)
            except NotImplementedError as error:
                known: Exception = MethodUnknown(path) if _code_name(context) == "UNIMPLEMENTED" else error
                await self._refuse(method, context, served, known)
            except Exception as error:  # noqa: BLE001  # the last place where an error can be turned into an answer
                await self._refuse(method, context, served, _first_of(error))
            else:
                observer.finished(served.record(path, "OK", ""))
                return reply
            finally:
                if entered:
                    limit.leave()

        return serve

    async def _refuse(self, method: Method, context: Context, served: "_Served", error: BaseException) -> None:
        row = row_of(type(error))
        shown = row.show(error)
        incident = ""
        if row.hidden:
            incident = uuid.uuid4().hex
            shown = replace(shown, metadata={**shown.metadata, "incident": incident})
        record = served.record(method.path, shown.code.name, shown.reason, incident=incident, error=error)
        self.observer.finished(record)
        trailers: tuple[tuple[str, str | bytes], ...] = ((DETAILS_KEY, shown.trailers(method.error_domain)),)
        if isinstance(error, OutcomeNotKnown) and not error.time_left:
            trailers = (*trailers, NO_RETRY)
        await context.abort(shown.code, shown.short_message, trailers)

    def _open(self, method: Method, context: Context, seconds: float | None) -> CallContext:
        found = metadata.read(INVOCATION.get())
        return CallContext(
            method=method.path,
            tenant=metadata.tenant_of(found),
            provenance=metadata.provenance_of(found, actor_required=method.actor_required),
            deadline=None if seconds is None else asyncio.get_running_loop().time() + seconds,
            consistency=metadata.consistency_of(found),
            servicer_context=context,
        )

    def _reader(self, method: Method) -> Callable[[Any], Any]:
        parse: Callable[[bytes], Message] = method.handler.request_deserializer  # type: ignore[assignment]  # generated: set
        check, at_most = self.validator.check, self.request_bytes_max

        def read(raw: bytes) -> Message:
            if len(raw) > at_most:
                raise RequestTooLarge(size=len(raw), at_most=at_most)
            try:
                request = parse(raw)
            except DecodeError as error:
                violation = Violation("", "protobuf", "the bytes are not a message of the request's type")
                raise RequestInvalid([violation], reason="MALFORMED_REQUEST") from error
            check(request)
            refuse_nul(request, raw)
            return request

        async def read_each(raws: AsyncIterator[bytes]) -> AsyncIterator[Message]:
            async for raw in raws:
                yield read(raw)

        return read_each if method.handler.request_streaming else read


def _first_of(error: Exception) -> Exception:
    """Of several things that were done at once and failed the first: its row is the answer's, as if it had been done alone."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass(slots=True)
class _Served:
    """What is known of a call so far, for its record."""

    began: float
    call: CallContext | None = None

    def record(
        self, path: str, code: str, reason: str, *, incident: str = "", error: BaseException | None = None
    ) -> CallRecord:
        seconds = time.perf_counter() - self.began
        call = self.call
        if call is None:
            return CallRecord(path, code, reason, seconds, incident=incident, error=error)
        origin = call.provenance
        return CallRecord(
            path,
            code,
            reason,
            seconds,
            tenant=call.tenant,
            actor_role=origin.actor.role,
            trace_id=metadata.trace_id(origin.traceparent),
            correlation_id=origin.correlation_id,
            incident=incident,
            error=error,
        )


def _code_name(context: Context) -> str:
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), "UNKNOWN")
