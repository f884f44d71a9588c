"""Server reflection under both of its names, so that every grpcurl, old or new, works.

grpcio-reflection serves ``grpc.reflection.v1alpha`` alone. ``grpc.reflection.v1`` has the same messages, field by field, so
the same servicer answers under that name as well, and describes itself under it with a file made from the other's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]  # its stubs are a package of their own
    reflection,
    reflection_pb2,
)

from eventkernel_grpc.draining import Draining
from eventkernel_grpc.error_table import abort
from eventkernel_grpc.errors import ServerDraining

METHOD = "ServerReflectionInfo"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def handlers(
    services: Iterable[str], draining: Draining, error_domain: str
) -> Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]:
    """Method handlers by full path for both names, describing these services and both reflection services."""
    servicer = reflection.aio.ReflectionServicer([*services, V1ALPHA, V1], pool=_PoolWithV1())

    async def info(requests: Any, context: Any) -> None:
        try:
            async with draining.stream():
                async for answer in servicer.ServerReflectionInfo(requests, context):
                    await context.write(answer)
        except ServerDraining as error:
            await abort(context, error, error_domain)

    handler = grpc.stream_stream_rpc_method_handler(
        info,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {f"/{name}/{METHOD}": handler for name in (V1ALPHA, V1)}


class _PoolWithV1:
    """The default pool, and beside it the v1 file in a pool of its own: another library may bring the real one along."""

    def __init__(self) -> None:
        self._default = descriptor_pool.Default()
        self._own = descriptor_pool.DescriptorPool()
        self._own.Add(_v1_file())

    def __getattr__(self, name: str) -> Any:
        default, own = getattr(self._default, name), getattr(self._own, name)

        def find(*args: Any) -> Any:
            try:
                return default(*args)
            except KeyError:
                return own(*args)

        return find


def _v1_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    old, new = "grpc.reflection.v1alpha", "grpc.reflection.v1"
    file.name, file.package = "grpc/reflection/v1/reflection.proto", new
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(old, new)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(old, new)
            method.output_type = method.output_type.replace(old, new)
    return file
