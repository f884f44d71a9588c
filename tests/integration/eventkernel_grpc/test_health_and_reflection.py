from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # its stubs are a package of their own
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]  # its stubs are a package of their own
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]  # likewise
    ProtoReflectionDescriptorDatabase,
)

from eventkernel_grpc import RemoteError, remote_errors, sync_channel

SERVICE = "eventkernel_grpc.testing.v1.EchoService"
Request = reflection_pb2.ServerReflectionRequest
Status = health_pb2.HealthCheckResponse
names = pytest.mark.parametrize(
    "name", ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
)


async def ask(served: Any, name: str, request: Any) -> Any:
    call = served.channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        Request.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = [answer async for answer in call([request])]
    return answers[0]


@names
async def test_reflection_lists_every_service_under_either_name(serve: Any, name: str) -> None:
    async with serve() as served:
        answer = await ask(served, name, Request(list_services=""))
        assert {service.name for service in answer.list_services_response.service} == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }


@names
@pytest.mark.parametrize("described", [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"])
async def test_reflection_describes_every_service_so_that_a_client_can_load_it(
    serve: Any, name: str, described: str
) -> None:
    async with serve() as served:
        answer = await ask(served, name, Request(file_containing_symbol=described))
        pool = DescriptorPool()
        files = list(answer.file_descriptor_response.file_descriptor_proto)
        for serialized in reversed(files):
            pool.AddSerializedFile(serialized)
        assert pool.FindServiceByName(described).methods


@names
async def test_reflection_says_not_found_for_what_is_not_there(serve: Any, name: str) -> None:
    async with serve() as served:
        answer = await ask(served, name, Request(file_containing_symbol="no.such.Thing"))
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_grpcio_s_own_reflection_client_finds_the_service(serve: Any) -> None:
    import asyncio

    async with serve() as served:

        def look() -> tuple[set[str], list[str]]:
            with sync_channel(served.server.target) as opened:
                database = ProtoReflectionDescriptorDatabase(opened)
                found = DescriptorPool(database).FindServiceByName(SERVICE)
                return set(database.get_services()), [method.name for method in found.methods]

        services, methods = await asyncio.to_thread(look)
        assert SERVICE in services
        assert methods == ["Say", "Look", "Missing", "Count", "Join", "Talk"]


async def test_reflection_can_be_left_out(serve: Any) -> None:
    async with serve(reflection=False) as served:
        with pytest.raises(grpc.RpcError) as caught:
            await ask(served, "grpc.reflection.v1.ServerReflection", Request(list_services=""))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_knows_the_server_and_each_service(serve: Any) -> None:
    async with serve() as served:
        health = health_pb2_grpc.HealthStub(served.channel)
        for service in ("", SERVICE, "grpc.health.v1.Health"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == Status.SERVING
        listed = await health.List(health_pb2.HealthListRequest())
        assert {name: answer.status for name, answer in listed.statuses.items()}[SERVICE] == Status.SERVING
        with pytest.raises(RemoteError) as caught, remote_errors():
            await health.Check(health_pb2.HealthCheckRequest(service="no.such"))
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN")


async def test_health_watch_tells_each_change_of_one_service(serve: Any) -> None:
    async with serve() as served:
        watch = health_pb2_grpc.HealthStub(served.channel).Watch(health_pb2.HealthCheckRequest(service="later"))
        assert (await watch.read()).status == Status.SERVICE_UNKNOWN
        served.server.health.set_serving("later", True)
        assert (await watch.read()).status == Status.SERVING
        served.server.health.set_serving("later", False)
        assert (await watch.read()).status == Status.NOT_SERVING
        watch.cancel()
