import asyncio
from typing import Any

import grpc
import pytest

from eventkernel.envelope import Actor, Provenance, StreamPosition
from eventkernel.errors import InvalidCommand, StoreUnavailable, TransitionRefused
from eventkernel_grpc import CallContext, RemoteError, call_metadata, current_call, encode_token, remote_errors

Code = grpc.StatusCode
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WHO = Provenance(Actor("p-1", "prescriber", "org-1"), "TREATMENT", "co-1", "ca-1", TRACE)
ACTOR = call_metadata(actor=WHO.actor)


def raising(error: BaseException) -> Any:
    async def handler(request: Any, _context: Any) -> Any:
        raise error

    return handler


async def refused(call: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught, remote_errors():
        await call
    return caught.value


async def test_handler_finds_tenant_provenance_deadline_and_token_of_its_call(serve: Any, text: Any) -> None:
    async with serve() as served:
        seen: list[CallContext] = []
        left: list[float | None] = []
        position = StreamPosition("prescriptions", "prescription-1", 3)
        token = encode_token([position], tenant="t-1")

        async def on(request: Any, _context: Any) -> Any:
            call = current_call()
            seen.append(call)
            left.append(call.remaining_seconds(reserve_seconds=10.0))
            assert call.seen() == (position,)
            call.reply_token(token)
            return request

        served.echo.on = on
        call = served.unary("Say")(
            text(value="x"), timeout=100, metadata=call_metadata(tenant="t-1", provenance=WHO, token=token)
        )
        assert (await call).value == "x"
        assert (seen[0].tenant, seen[0].provenance) == ("t-1", WHO)
        assert left[0] is not None
        assert 30 < left[0] < 95  # grpc rounds a deadline up on its way
        assert ("erx-consistency-bin", token) in [(key, value) for key, value in await call.trailing_metadata()]


async def test_refusal_arrives_with_reason_state_and_what_is_allowed(serve: Any, text: Any) -> None:
    async with serve() as served:
        served.echo.on = raising(TransitionRefused(state="DRAFT", command="Claim", allowed=["Sign", "Amend"]))
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert (error.code, error.reason, error.domain) == (
            Code.FAILED_PRECONDITION,
            "INVALID_STATE_TRANSITION",
            "echo.test",
        )
        assert error.metadata == {"state": "DRAFT", "command": "Claim", "allowed": "Sign,Amend"}
        assert not error.may_retry


async def test_unforeseen_error_is_internal_and_says_nothing_but_its_incident(serve: Any, text: Any) -> None:
    async with serve() as served:
        served.echo.on = raising(RuntimeError("secret host"))
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert (error.code, error.reason) == (Code.INTERNAL, "INTERNAL")
        assert "secret" not in str(error)
        record = served.records.finished_calls[-1]
        assert error.metadata == {"incident": record.incident}
        assert str(record.error) == "secret host"


async def test_unavailable_store_says_when_to_come_back_and_the_client_s_policy_retries_it(
    serve: Any, text: Any
) -> None:
    async with serve() as served:
        attempts = 0

        async def on(request: Any, _context: Any) -> Any:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise StoreUnavailable("cassandra", "host is down")
            return request

        served.echo.on = on
        assert (await served.unary("Say")(text(value="x"), metadata=ACTOR)).value == "x"
        assert attempts == 3
        served.echo.on = raising(StoreUnavailable("cassandra", "host is down"))
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert error.may_retry
        assert error.retry_after_seconds == 1.0


async def test_an_error_of_several_things_done_at_once_is_answered_as_of_one(serve: Any, text: Any) -> None:
    async def on(_request: Any, _context: Any) -> Any:
        async def one() -> None:
            raise StoreUnavailable("cassandra", "host is down")

        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            outer.create_task(one())
            inner.create_task(one())

    async with serve() as served:
        served.echo.on = on
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert (error.code, error.reason, error.retry_after_seconds) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE", 1.0)


async def test_refusal_is_not_retried(serve: Any, text: Any) -> None:
    async with serve() as served:
        served.echo.on = raising(InvalidCommand("a", "must be b"))
        error = await refused(served.unary("Say")(text(), metadata=ACTOR))
        assert [(v.field, v.message) for v in error.violations] == [("a", "must be b")]
        assert len(served.records.started_methods) == 1


async def test_bytes_that_are_no_request_are_an_invalid_argument(serve: Any) -> None:
    async with serve() as served:
        error = await refused(served.raw("Say")(b"\xff\xff\xff", metadata=ACTOR))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_garbage_token_is_an_invalid_argument_of_its_field(serve: Any, text: Any) -> None:
    async with serve() as served:

        async def on(request: Any, _context: Any) -> Any:
            current_call().seen(b"")
            return request

        served.echo.on = on
        error = await refused(served.unary("Say")(text(), metadata=call_metadata(actor=WHO.actor, token=b"garbage")))
        assert (error.code, error.metadata["field"]) == (Code.INVALID_ARGUMENT, "token")


async def test_command_without_an_actor_is_refused_and_a_query_is_not(serve: Any, text: Any) -> None:
    async with serve() as served:
        error = await refused(served.unary("Say")(text()))
        assert (error.code, error.reason, error.metadata) == (
            Code.INVALID_ARGUMENT,
            "INVALID_METADATA",
            {"key": "erx-actor-id"},
        )
        assert (await served.unary("Look")(text(value="x"))).value == "x"


async def test_method_that_nobody_wrote_or_knows_is_unimplemented_with_an_error_info(serve: Any, text: Any) -> None:
    async with serve() as served:
        for name in ("Missing", "Unknown"):
            error = await refused(served.unary(name)(text()))
            assert (error.code, error.reason) == (Code.UNIMPLEMENTED, "METHOD_UNKNOWN")


async def test_handler_that_gives_no_message_is_an_internal_error(serve: Any, text: Any) -> None:
    async with serve() as served:

        async def on(_request: Any, _context: Any) -> Any:
            return "not a message"

        served.echo.on = on
        error = await refused(served.unary("Look")(text()))
        assert error.code is Code.INTERNAL
        assert "str" not in error.message


async def test_handler_may_abort_by_itself(serve: Any, text: Any) -> None:
    async with serve() as served:

        async def on(_request: Any, context: Any) -> Any:
            await context.abort(Code.OUT_OF_RANGE, "by itself")

        served.echo.on = on
        error = await refused(served.unary("Look")(text()))
        assert (error.code, error.message) == (Code.OUT_OF_RANGE, "by itself")
        assert served.records.finished_calls[-1].code == "OUT_OF_RANGE"


async def test_call_whose_inner_work_was_cancelled_is_answered(serve: Any, text: Any) -> None:
    async with serve() as served:
        served.echo.on = raising(asyncio.CancelledError())
        error = await refused(served.unary("Look")(text(), timeout=60))
        assert error.code is Code.INTERNAL


async def test_every_kind_of_method_goes_through_the_edge(serve: Any, text: Any) -> None:
    async with serve() as served:
        path = "/eventkernel_grpc.testing.v1.EchoService/"
        codec = (text.SerializeToString, text.FromString)
        parts = [text(value="a"), text(value="b")]
        assert [part.value async for part in served.streaming("Count")(text(value="a,b"))] == ["a", "b"]
        assert (await served.channel.stream_unary(path + "Join", *codec)(parts)).value == "a,b"
        assert [part.value async for part in served.channel.stream_stream(path + "Talk", *codec)(parts)] == ["a", "b"]
        assert [record.code for record in served.records.finished_calls] == ["OK", "OK", "OK"]


async def test_record_names_tenant_role_and_trace(serve: Any, text: Any) -> None:
    async with serve() as served:
        await served.unary("Say")(text(), metadata=call_metadata(tenant="t-1", provenance=WHO))
        record = served.records.finished_calls[0]
        assert (record.tenant, record.actor_role, record.trace_id, record.correlation_id) == (
            "t-1",
            "prescriber",
            TRACE[3:35],
            "co-1",
        )
