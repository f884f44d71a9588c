import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # its stubs are a package of their own
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]  # likewise

from eventkernel_grpc import ChannelSettings, RemoteError, channel, remote_errors

DEADLINE_SECONDS = 60.0


async def test_call_in_flight_gets_its_reply_while_new_ones_are_refused(serve: Any, text: Any) -> None:
    async with serve(drain_seconds=60.0) as served:
        served.echo.on = served.echo.hold
        call = served.unary("Look")(text(value="x"))
        await served.echo.entered.wait()
        stopping = asyncio.create_task(served.server.stop())
        await asyncio.wait_for(refused_as_unavailable(served.server.target), DEADLINE_SECONDS)
        assert not stopping.done()
        served.echo.go_on.set()
        assert (await call).value == "x"
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)


async def test_every_caller_of_a_loaded_server_is_answered_when_it_stops(serve: Any, text: Any) -> None:
    async with serve(drain_seconds=60.0) as served:
        codes: list[grpc.StatusCode] = []

        async def call_until_refused() -> None:
            while True:
                try:
                    await served.unary("Look")(text(value="x"), timeout=DEADLINE_SECONDS)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return

        callers = [asyncio.create_task(call_until_refused()) for _ in range(64)]
        for _ in range(200):
            await served.records.arrivals.get()
        await asyncio.wait_for(served.server.stop(), DEADLINE_SECONDS)
        await asyncio.gather(*callers)
        assert codes == [grpc.StatusCode.UNAVAILABLE] * 64


async def test_fifty_calls_in_flight_all_get_their_replies(serve: Any, text: Any) -> None:
    async with serve(drain_seconds=60.0) as served:
        served.echo.on = served.echo.hold
        calls = [served.unary("Look")(text(value=str(i))) for i in range(50)]
        replies = [asyncio.ensure_future(_reply(call)) for call in calls]
        for _ in calls:
            await served.records.arrivals.get()
        stopping = asyncio.create_task(served.server.stop())
        served.echo.go_on.set()
        assert await asyncio.gather(*replies) == [str(i) for i in range(50)]
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)


async def test_call_that_outlasts_the_drain_is_cut_off_and_the_log_says_so(
    serve: Any, text: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(drain_seconds=0.05) as served:
        served.echo.on = served.echo.hold
        call = asyncio.ensure_future(_reply(served.unary("Look")(text())))
        await served.echo.entered.wait()
        await asyncio.wait_for(served.server.stop(), DEADLINE_SECONDS)
        with pytest.raises(grpc.RpcError):
            await call
        assert served.echo.cancelled.is_set()
        assert "1 calls are cut off" in caplog.text


async def test_open_stream_ends_as_draining_and_does_not_hold_the_server(serve: Any, text: Any) -> None:
    async with serve(drain_seconds=60.0) as served:
        served.echo.on = served.echo.hold
        stream = served.streaming("Count")(text(value="a"))
        assert (await stream.read()).value == "a"
        await served.echo.entered.wait()
        stopping = asyncio.create_task(served.server.stop())
        with pytest.raises(RemoteError) as caught, remote_errors():
            await stream.read()
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_open_reflection_ends_as_draining_too(serve: Any, version: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(drain_seconds=60.0) as served:
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        stream = served.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()
        await stream.write(asked.SerializeToString())
        assert await stream.read()
        stopping = asyncio.create_task(served.server.stop())
        with pytest.raises(RemoteError) as caught, remote_errors():
            await stream.read()
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
        assert caught.value.retry_after_seconds
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)
    assert "Unexpected" not in caplog.text


async def test_health_watcher_is_told_and_does_not_hold_the_server(serve: Any) -> None:
    async with serve(drain_seconds=60.0) as served:
        watch = served.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(served.server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)


async def test_calls_are_still_taken_while_the_drain_is_announced(serve: Any, text: Any) -> None:
    async with serve(drain_notice_seconds=3.0) as served:
        stopping = asyncio.create_task(served.server.stop())
        await asyncio.wait([stopping], timeout=0)
        check = served.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"") == b"\x08\x02"
        assert (await served.unary("Look")(text(value="x"))).value == "x"
        await asyncio.wait_for(stopping, DEADLINE_SECONDS)


async def test_stopping_twice_is_stopping_once(serve: Any) -> None:
    async with serve() as served:
        await asyncio.wait_for(asyncio.gather(served.server.stop(), served.server.stop()), DEADLINE_SECONDS)
        await asyncio.wait_for(served.server.wait_stopped(), DEADLINE_SECONDS)
        await served.server.stop()


async def refused_as_unavailable(target: str) -> None:
    """Until a new caller finds nobody there; before that the method it asks for is merely unknown.

    In between grpc may drop a call that arrives while it closes the connection: the caller then sees CANCELLED.
    """
    code: Any = None
    while code is not grpc.StatusCode.UNAVAILABLE:
        async with channel(target, ChannelSettings(attempts_max=1)) as opened:
            late: Any = opened.unary_unary("/no.such/Method")
            with pytest.raises(grpc.RpcError) as caught:
                await late(b"")
        code = caught.value.code()
        assert code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}


async def _reply(call: Any) -> Any:
    return (await call).value
