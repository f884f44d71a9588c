"""More calls than a server can carry, and clients that mean harm or are broken: others are served, and memory is bounded."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from bootstrap.testing.program import eventually
from eventkernel_grpc import RemoteError, remote_errors

Code = grpc.StatusCode
DEADLINE_SECONDS = 60.0


def is_so(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """A condition that can be awaited."""

    async def asked() -> bool:
        return condition()

    return asked


async def busy(request: Any, _context: Any) -> Any:
    """A handler that holds the interpreter, as Python handlers do."""
    ends = time.perf_counter() + 0.004
    while time.perf_counter() < ends:
        pass
    return request


async def test_beyond_capacity_a_share_is_refused_with_a_time_to_come_back_and_later_none(
    serve: Any, text: Any
) -> None:
    async with serve(queue_seconds_max=0.1) as served:
        served.echo.on = busy
        refusals: list[RemoteError] = []
        served_calls = 0

        async def client() -> None:
            nonlocal served_calls
            while len(refusals) < 50:
                try:
                    with remote_errors():
                        await served.unary("Look")(text(value="x"))
                except RemoteError as error:
                    refusals.append(error)
                else:
                    served_calls += 1

        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*(client() for _ in range(300)))
        assert {(error.code, error.reason) for error in refusals} == {(Code.RESOURCE_EXHAUSTED, "OVERLOADED")}
        assert {error.metadata["limit"] for error in refusals} == {"queue_seconds"}
        assert all(error.retry_after_seconds and error.retry_after_seconds >= 0.5 for error in refusals)
        assert served_calls > 0
        check = served.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"") == b"\x08\x01"
        await eventually("everybody let in again after the load", is_so(lambda: served.server.admission.share == 1.0))
        served.echo.on = None
        assert (await served.unary("Look")(text(value="y"))).value == "y"


async def test_without_a_limit_of_waiting_nobody_is_refused_for_it(serve: Any, text: Any) -> None:
    async with serve(queue_seconds_max=0.0) as served:
        served.echo.on = busy
        answers = await asyncio.gather(*(served.unary("Look")(text(value=str(n))) for n in range(300)))
        assert [answer.value for answer in answers] == [str(n) for n in range(300)]


async def test_the_probe_s_socket_has_no_name_while_the_server_runs(serve: Any) -> None:
    async with serve() as served:
        assert served.server._probe is not None
        assert served.server._probe._folder is not None
        assert not served.server._probe._folder.exists()


async def test_garbage_and_half_open_connections_do_not_keep_others_from_being_served(serve: Any, text: Any) -> None:
    async with serve() as served, AsyncExitStack() as opened:
        host, port = served.server.target.rsplit(":", 1)
        for number in range(64):
            raw = opened.enter_context(socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS))
            match number % 4:
                case 0:
                    raw.sendall(os.urandom(4_096))
                case 1:
                    raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                case 2:  # a preface, a settings frame, and then a header that announces far more than ever comes
                    raw.sendall(
                        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + b"\xff\xff\xff\x01"
                    )
                case _:
                    pass  # connected, and silent
        answers = await asyncio.gather(*(served.unary("Look")(text(value=str(n))) for n in range(50)))
        assert [answer.value for answer in answers] == [str(n) for n in range(50)]


async def test_a_giant_message_is_refused_and_the_next_call_on_the_connection_is_served(serve: Any, text: Any) -> None:
    async with serve(receive_bytes_max=100_000) as served:
        with pytest.raises(RemoteError) as caught, remote_errors():
            await served.unary("Look")(text(value="x" * 200_000))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert (await served.unary("Look")(text(value="y"))).value == "y"


async def test_thousands_of_open_streams_leave_room_for_calls(serve: Any, text: Any) -> None:
    async with serve(streams_max=500, connection_streams_max=2_000, queue_seconds_max=0.0) as served:
        served.echo.on = served.echo.hold
        streams = [served.streaming("Count")(text(value="a")) for _ in range(1_500)]
        firsts = await asyncio.gather(*(stream.read() for stream in streams), return_exceptions=True)
        refused = [one for one in firsts if isinstance(one, grpc.aio.AioRpcError)]
        assert {one.code() for one in refused} == {Code.RESOURCE_EXHAUSTED}
        assert len(firsts) - len(refused) == served.server.streams.in_use == 500
        served.echo.on = None
        assert (await served.unary("Look")(text(value="x"))).value == "x"
        for stream in streams:
            stream.cancel()
        await eventually("place given back by every stream", is_so(lambda: served.server.streams.in_use == 0))
