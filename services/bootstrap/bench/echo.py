"""The raw limit of gRPC here: a bare grpc.aio server that gives the request's bytes back.

``python -m bootstrap.bench.echo``.
"""

import asyncio
import sys
from typing import Any

import grpc

METHOD = "/erx.bench.Echo/Echo"


class Echo(grpc.GenericRpcHandler):
    """Answers every method with its request."""

    def service(self, _handler_call_details: grpc.HandlerCallDetails) -> Any:
        """A handler without parsing or serialising."""

        async def echo(request: bytes, _context: Any) -> bytes:
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


async def main() -> None:
    """Serve until standard input ends, so that the server never outlives who started it."""
    server = grpc.aio.server(handlers=(Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"echo server on 127.0.0.1:{port}\nready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(main())
