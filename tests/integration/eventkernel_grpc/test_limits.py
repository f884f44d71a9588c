import asyncio
from typing import Any

import grpc
import pytest

from eventkernel.envelope import Actor
from eventkernel_grpc import RemoteError, call_metadata, current_call, remote_errors

Code = grpc.StatusCode
ACTOR = call_metadata(actor=Actor("p-1", "prescriber"))
DEADLINE_SECONDS = 60.0


async def refused(call: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught, remote_errors():
        await call
    return caught.value


async def test_one_call_more_than_the_limit_is_refused_at_once_and_health_is_not(serve: Any, text: Any) -> None:
    async with serve(calls_max=1) as served:
        served.echo.on = served.echo.hold
        first = served.unary("Look")(text(value="x"))
        await served.echo.entered.wait()
        error = await refused(served.unary("Look")(text()))
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert error.metadata == {"limit": "grpc_calls", "at": "1"}
        assert error.retry_after_seconds == pytest.approx(0.1)
        check = served.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"") == b"\x08\x01"
        served.echo.go_on.set()
        assert (await first).value == "x"
        assert (await served.unary("Look")(text(value="y"))).value == "y"


async def test_open_streams_have_a_limit_of_their_own(serve: Any, text: Any) -> None:
    async with serve(streams_max=1) as served:
        served.echo.on = served.echo.hold
        stream = served.streaming("Count")(text(value="a"))
        assert (await stream.read()).value == "a"
        error = await refused(served.streaming("Count")(text(value="a")).read())
        assert error.metadata["limit"] == "grpc_streams"
        served.echo.on = None
        assert (await served.unary("Look")(text(value="x"))).value == "x"
        served.echo.go_on.set()
        assert (await stream.read()).value == "a"


async def test_call_without_a_deadline_gets_the_server_s(serve: Any, text: Any) -> None:
    async with serve(default_deadline_seconds=0.05) as served:
        served.echo.on = served.echo.hold
        error = await refused(served.unary("Look")(text()))
        assert (error.code, error.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED")
        assert served.echo.cancelled.is_set()


async def test_caller_s_deadline_ends_the_handler_too(serve: Any, text: Any) -> None:
    async with serve() as served:
        served.echo.on = served.echo.hold
        error = await refused(served.unary("Look")(text(), timeout=3.0))
        assert error.code is Code.DEADLINE_EXCEEDED
        await asyncio.wait_for(served.echo.cancelled.wait(), DEADLINE_SECONDS)


async def test_a_command_whose_time_is_over_is_unknown_and_says_so_before_the_caller_s_deadline(
    serve: Any, text: Any
) -> None:
    async with serve() as served:
        served.echo.on = served.echo.hold
        error = await refused(served.unary("Say")(text(), metadata=ACTOR, timeout=5.0))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "OUTCOME_UNKNOWN")
        assert error.may_retry
        assert error.retry_after_seconds
        assert served.echo.cancelled.is_set()
        assert len(served.records.started_methods) == 1


async def test_a_command_without_a_deadline_is_unknown_at_the_server_s(serve: Any, text: Any) -> None:
    async with serve(default_deadline_seconds=0.02) as served:
        served.echo.on = served.echo.hold
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "OUTCOME_UNKNOWN")


async def test_time_out_inside_a_handler_is_not_taken_for_the_deadline(serve: Any, text: Any) -> None:
    async with serve() as served:

        async def on(_request: Any, _context: Any) -> Any:
            raise TimeoutError("a driver's")

        served.echo.on = on
        assert (await refused(served.unary("Look")(text()))).code is Code.INTERNAL


async def test_stream_without_a_deadline_has_none(serve: Any, text: Any) -> None:
    async with serve(default_deadline_seconds=0.01) as served:
        left: list[float | None] = []

        async def on(request: Any, _context: Any) -> Any:
            left.append(current_call().remaining_seconds())
            return request

        served.echo.on = on
        assert [part.value async for part in served.streaming("Count")(text(value="a"))] == ["a", "a"]
        assert left == [None]


async def test_cancelled_caller_ends_the_handler_and_frees_the_place(serve: Any, text: Any) -> None:
    async with serve(calls_max=1) as served:
        served.echo.on = served.echo.hold
        call = served.unary("Look")(text())
        await served.echo.entered.wait()
        call.cancel()
        await asyncio.wait_for(served.echo.cancelled.wait(), DEADLINE_SECONDS)
        await asyncio.wait_for(served.server.calls.idle(), DEADLINE_SECONDS)
        assert [record.code for record in served.records.finished_calls] == ["CANCELLED"]
        served.echo.on = None
        assert (await served.unary("Look")(text(value="x"))).value == "x"


async def test_cancelled_stream_ends_the_handler_and_frees_the_place(serve: Any, text: Any) -> None:
    async with serve(streams_max=1) as served:
        served.echo.on = served.echo.hold
        stream = served.streaming("Count")(text(value="a"))
        assert (await stream.read()).value == "a"
        await served.echo.entered.wait()
        stream.cancel()
        await asyncio.wait_for(served.echo.cancelled.wait(), DEADLINE_SECONDS)
        await asyncio.wait_for(served.server.streams.idle(), DEADLINE_SECONDS)


async def test_oversized_request_is_refused_with_the_limit_and_the_connection_lives_on(serve: Any, text: Any) -> None:
    async with serve(receive_bytes_max=1024) as served:
        error = await refused(served.unary("Look")(text(value="x" * 2000)))
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert error.metadata == {"bytes": "2003", "limit": "1024"}
        assert [violation.message for violation in error.violations] == ["at most 1024 bytes"]
        assert not error.may_retry
        whole = text(value="x" * 1021)
        assert whole.ByteSize() == 1024
        assert (await served.unary("Look")(whole)).value == whole.value


async def test_request_beyond_what_grpc_reads_is_refused_and_the_connection_lives_on(serve: Any, text: Any) -> None:
    async with serve(receive_bytes_max=1024) as served:
        error = await refused(served.unary("Look")(text(value="x" * 20_000)))
        assert error.code is Code.RESOURCE_EXHAUSTED
        assert (await served.unary("Look")(text(value="x"))).value == "x"
