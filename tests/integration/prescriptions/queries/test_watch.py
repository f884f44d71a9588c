"""WatchPrescriptions over the wire, on views in memory and in SQLite."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import filters_pb2
from erx.prescriptions.v1 import watch_service_pb2 as w
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from eventkernel.envelope import StreamPosition
from eventkernel.runtime.watch_hub import HubSettings
from eventkernel_grpc import (
    GrpcServer,
    RemoteError,
    ServerSettings,
    call_metadata,
    channel,
    encode_token,
    remote_errors,
)
from prescriptions.testing.recorded import prescription, stream_of, untold
from prescriptions.watching import WatchLimits, add_watch_to_server

SECONDS = 20.0
TOPIC = "erx.prescriptions.events.v1"
ISSUED = filters_pb2.PrescriptionFilter(statuses=[enums_pb2.PRESCRIPTION_STATUS_ISSUED])


@asynccontextmanager
async def watched(side: Any, **hub: Any) -> AsyncIterator[Any]:
    """A stub of a server over the side's stores."""
    server = GrpcServer(ServerSettings(drain_seconds=0.5))
    add_watch_to_server(
        server,
        views=side.views,
        events=side.events,
        tail=side.tail,
        clock=side.clock,
        progress=side.progress,
        topic=TOPIC,
        group="views",
        token_key=b"a key of thirty-two bytes, or so",
        error_domain="prescriptions.erx",
        limits=WatchLimits(hub=HubSettings(**{"poll_seconds": 0.002, "heartbeat_seconds": 3_600.0, **hub})),
    )
    async with server, channel(server.target) as opened:
        yield PrescriptionWatchServiceStub(opened)


def asked(**fields: Any) -> w.WatchPrescriptionsRequest:
    return w.WatchPrescriptionsRequest(**{"filter": ISSUED, **fields})


async def take(call: Any, count: int) -> list[w.WatchPrescriptionsResponse]:
    async with asyncio.timeout(SECONDS):
        return [await call.read() for _ in range(count)]


def told(messages: list[w.WatchPrescriptionsResponse]) -> list[tuple[str, str, int]]:
    """What, which prescription, which version."""
    found = []
    for message in messages:
        match message.WhichOneof("told"):
            case "row":
                found.append(("row", message.row.prescription_id, message.row.version))
            case "changed":
                what = "appeared" if message.changed.appeared else "changed"
                found.append((what, message.changed.prescription.prescription_id, message.changed.prescription.version))
            case "removed":
                found.append(("removed", message.removed.prescription_id, message.removed.version))
            case other:
                found.append((str(other), "", 0))
    return found


async def test_rows_then_changes_then_the_end_of_fitting(live_side: Any) -> None:
    one, two = untold().create().sign().issue(), untold().create()
    await live_side.told(1, one)
    await live_side.told(2, two)
    async with watched(live_side) as stub:
        call = stub.WatchPrescriptions(asked())
        assert told(await take(call, 2)) == [("row", prescription(1), 3), ("rows_complete", "", 0)]
        await live_side.write(2, two.sign().issue())
        assert told(await take(call, 1)) == [("appeared", prescription(2), 3)]
        await live_side.write(1, one.claim())
        (gone,) = await take(call, 1)
        assert told([gone]) == [("removed", prescription(1), 4)]
        assert gone.removed.event_type == "PrescriptionClaimed"
        call.cancel()


async def test_a_cut_watch_goes_on_from_any_message_also_after_the_projector_moved_on(live_side: Any) -> None:
    stories = {number: untold().create().sign().issue() for number in (1, 2, 3)}
    for number, story in stories.items():
        await live_side.write(number, story)
    everything = asked(filter=filters_pb2.PrescriptionFilter(patient_id=stories[1].content.patient_id))
    async with watched(live_side) as stub:
        call = stub.WatchPrescriptions(everything)
        first = await take(call, 4)
        await live_side.write(1, stories[1].claim().part(10, 1))
        await live_side.write(2, stories[2].claim())
        first += await take(call, 3)
        call.cancel()
    await live_side.project()
    shown = told(first)
    assert [what for what, _, _ in shown] == ["row"] * 3 + ["rows_complete"] + ["changed"] * 3
    async with watched(live_side) as stub:
        for place in range(4, len(first)):
            request = w.WatchPrescriptionsRequest(filter=everything.filter, resume_token=first[place - 1].resume_token)
            call = stub.WatchPrescriptions(request)
            assert told(await take(call, len(first) - place)) == shown[place:]
            call.cancel()
        request = w.WatchPrescriptionsRequest(filter=everything.filter, resume_token=first[0].resume_token)
        call = stub.WatchPrescriptions(request)
        rest = told(await take(call, 3))
        call.cancel()
    newest = {prescription(1): 5, prescription(2): 4, prescription(3): 3}
    known = {prescription_id: version for _, prescription_id, version in [shown[0], *rest] if prescription_id}
    lowest = shown[0][1]
    assert {key: version for key, version in known.items() if key != lowest} == {
        key: version for key, version in newest.items() if key != lowest
    }


async def test_changes_only_begins_without_rows(live_side: Any) -> None:
    one = untold().create().sign().issue()
    await live_side.told(1, one)
    async with watched(live_side) as stub:
        call = stub.WatchPrescriptions(asked(filter=None, changes_only=True))
        assert told(await take(call, 1)) == [("rows_complete", "", 0)]
        await live_side.write(1, one.claim())
        assert told(await take(call, 1)) == [("changed", prescription(1), 4)]
        call.cancel()


async def test_another_tenant_sees_nothing_and_cannot_use_the_token(live_side: Any) -> None:
    one = untold().create().sign().issue()
    await live_side.told(1, one)
    async with watched(live_side) as stub:
        call = stub.WatchPrescriptions(asked(), metadata=call_metadata(tenant="other"))
        assert told(await take(call, 1)) == [("rows_complete", "", 0)]
        call.cancel()
        call = stub.WatchPrescriptions(asked())
        token = (await take(call, 2))[-1].resume_token
        call.cancel()
        for metadata, request in (
            (call_metadata(tenant="other"), asked(resume_token=token)),
            ((), asked(filter=None, resume_token=token)),
        ):
            with pytest.raises(RemoteError) as refused, remote_errors():
                await stub.WatchPrescriptions(request, metadata=metadata).read()
            assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_RESUME_TOKEN")


async def test_a_reader_that_does_not_read_is_told_so_with_its_token(live_side: Any) -> None:
    """What grpc takes off the server before anybody reads is bounded; what waits behind it is bounded by the hub."""
    story = untold().create().sign().issue().claim()
    async with watched(live_side, waiting_max=3) as stub:
        call = stub.WatchPrescriptions(asked(filter=None, changes_only=True))
        tokens = [message.resume_token for message in await take(call, 1)]
        ended = None
        number = 0
        while ended is None:
            # More at once than may wait, until a poll of the hub finds the reader's task elsewhere.
            for _ in range(20):
                number += 1
                await live_side.write(number, story)
            try:
                with remote_errors():
                    async with asyncio.timeout(SECONDS):
                        while (message := await call.read()) is not grpc.aio.EOF:
                            tokens.append(message.resume_token)
            except RemoteError as error:
                ended = error
    assert (ended.code, ended.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONSUMER_TOO_SLOW")
    assert base64.b64decode(ended.metadata["resume_token"]) == tokens[-1]


async def test_a_watch_with_a_token_of_a_write_begins_after_it(live_side: Any) -> None:
    from eventkernel.envelope import StreamPosition
    from eventkernel_grpc import encode_token

    await live_side.write(1, untold().create().sign().issue())
    seen = encode_token([StreamPosition("prescriptions", f"prescription-{prescription(1)}", 3)], tenant="default")
    async with watched(live_side) as stub:
        call = stub.WatchPrescriptions(asked(token=seen))
        waiting = asyncio.ensure_future(call.read())
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        await live_side.project()
        assert told([await waiting]) == [("row", prescription(1), 3)]
        call.cancel()


async def test_a_watch_with_a_token_that_is_not_reached_says_so_before_its_deadline(live_side: Any) -> None:
    await live_side.told(1, untold().create())
    beyond = encode_token([StreamPosition("prescriptions", stream_of(1).name, 2)], tenant="default")
    async with watched(live_side) as stub:
        with pytest.raises(RemoteError) as caught, remote_errors():
            await take(stub.WatchPrescriptions(asked(token=beyond), timeout=2.0), 1)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOKEN_NOT_REACHED")
    assert caught.value.metadata["reached"] == "1"


async def test_an_idle_watch_is_told_that_it_lives(live_side: Any) -> None:
    async with watched(live_side, heartbeat_seconds=0.01) as stub:
        call = stub.WatchPrescriptions(asked())
        assert [what for what, _, _ in told(await take(call, 3))] == ["rows_complete", "heartbeat", "heartbeat"]
        call.cancel()
