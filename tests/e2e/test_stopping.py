"""SIGTERM under load: every call is answered, the process ends by itself, and another goes on from there."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

from bootstrap.testing.calls import Caller, caller, request
from bootstrap.testing.data import settled, stores_of
from bootstrap.testing.program import Child, Erx, eventually
from eventkernel.ids import StreamId
from eventkernel_grpc import RemoteError
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply

CALLERS = 24
DRAIN_SECONDS = 20.0
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Load:
    """Callers who write drafts one after the other until they are first turned away."""

    caller: Caller
    accepted: dict[str, Message] = field(default_factory=dict)
    turned_away: dict[str, Message] = field(default_factory=dict)
    errors: list[RemoteError] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def run(self) -> None:
        content = content_to_reply(stories.content())
        while True:
            made = request("CreatePrescription", request_id=str(uuid4()), content=content)
            key = made.request_id  # type: ignore[attr-defined] # every command has one
            try:
                self.accepted[key] = await self.caller.send("CreatePrescription", made)
            except RemoteError as error:
                self.said.append("turned away")
                self.turned_away[key] = made
                self.errors.append(error)
                return


async def watch(address: str, load: Load) -> None:
    """Listen to the server's health until it says that it does not serve, or is gone."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                if answer.status == NOT_SERVING:
                    load.said.append("not serving")
                    return
        except grpc.aio.AioRpcError:
            load.said.append("gone")


async def test_every_call_under_way_at_sigterm_is_answered(erx: Erx, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = erx.serve(data, "--drain-seconds", str(DRAIN_SECONDS))
    async with caller(server.address("command"), server.address("query")) as opened:
        load = Load(opened)
        health = asyncio.create_task(watch(server.address("command"), load))
        callers = [asyncio.create_task(load.run()) for _ in range(CALLERS)]
        await reaches(load, 200)
        server.terminate()
        await asyncio.wait_for(asyncio.gather(health, *callers), DRAIN_SECONDS)
        await ends_by_itself(server)

    assert {error.code for error in load.errors} == {grpc.StatusCode.UNAVAILABLE}, load.errors
    assert load.said[0] == "not serving"
    assert len(load.errors) == CALLERS
    await is_stored(data, load)
    await goes_on(erx, data, load)


async def reaches(load: Load, count: int) -> None:
    async def reached() -> bool:
        return len(load.accepted) >= count

    await eventually(f"{count} accepted commands", reached)


async def ends_by_itself(server: Child) -> None:
    async def ended() -> bool:
        return not server.running

    await eventually("end of the server", ended, seconds=DRAIN_SECONDS)
    assert server.process.returncode == 0, server.errors
    assert "stopping" in server.output


async def is_stored(data: Path, load: Load) -> None:
    """Every reply that was given is in the journal, at the version it named."""
    async with stores_of(data) as stores:
        for reply in load.accepted.values():
            stream = StreamId("default", f"prescription-{reply.prescription.prescription_id}")  # type: ignore[attr-defined] # a reply
            assert (await stores.events.load(stream)).position.version == 1


async def goes_on(erx: Erx, data: Path, load: Load) -> None:
    """A server that starts there publishes the rest; who was turned away asks again, under the same id, and has one event."""
    server = erx.serve(data)
    async with caller(server.address("command"), server.address("query")) as opened:
        for made in load.turned_away.values():
            assert (await opened.send("CreatePrescription", made)).version == 1
    audited = await settled(data)
    assert audited.streams == audited.events == len(load.accepted) + len(load.turned_away)
    assert server.stopped().code == 0


async def test_four_processes_stop_under_load_and_nothing_is_half_done(erx: Erx, tmp_path: Path) -> None:
    data = tmp_path / "data"
    started = {
        name: erx.start(
            "serve", name, "--data", data, "--command-address", "127.0.0.1:0", "--query-address", "127.0.0.1:0"
        )
        for name in ("projector", "relay", "query", "command")
    }
    for child in started.values():
        child.says("ready")
    async with caller(started["command"].address("command"), started["query"].address("query")) as opened:
        load = Load(opened)
        callers = [asyncio.create_task(load.run()) for _ in range(CALLERS)]
        await reaches(load, 100)
        for child in started.values():
            child.terminate()
        await asyncio.wait_for(asyncio.gather(*callers), DRAIN_SECONDS)
        for child in started.values():
            await ends_by_itself(child)
    assert {error.code for error in load.errors} == {grpc.StatusCode.UNAVAILABLE}, load.errors
    await is_stored(data, load)
    await goes_on(erx, data, load)
