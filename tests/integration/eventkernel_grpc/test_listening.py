import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from eventkernel_grpc import BindFailed, ChannelSettings, ClientTls, ServerTls, channel, sync_channel

LOOK = "/eventkernel_grpc.testing.v1.EchoService/Look"


async def test_port_zero_gives_the_port_that_was_bound(serve: Any, text: Any) -> None:
    async with serve() as first, serve() as second:
        assert first.server.port not in (0, second.server.port)
        assert (await first.unary("Look")(text(value="x"))).value == "x"


async def test_taken_port_is_refused_by_name(serve: Any) -> None:
    async with serve() as first:
        with pytest.raises(BindFailed) as caught:
            await start(serve(address=first.server.target))
        assert caught.value.address == first.server.target


async def test_shared_port_is_allowed_where_it_is_asked_for(serve: Any) -> None:
    async with serve(reuse_port=True) as first, serve(reuse_port=True, address=first.server.target) as second:
        assert first.server.port == second.server.port


async def test_unix_socket_serves_and_a_second_server_does_not_take_it_away(
    serve: Any, text: Any, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/s"
    async with serve(address=address) as served:
        assert (await served.unary("Look")(text(value="x"))).value == "x"
        with pytest.raises(BindFailed, match="another server"):
            await start(serve(address=address))
        assert (await served.unary("Look")(text(value="y"))).value == "y"


async def test_socket_left_behind_by_a_dead_server_is_taken_over(serve: Any, text: Any, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/s")
    async with serve(address=f"unix:{tmp_path}/s") as served:
        assert (await served.unary("Look")(text(value="x"))).value == "x"


async def test_channel_for_threads_reaches_the_server(serve: Any) -> None:
    async with serve() as served:

        def call() -> bytes:
            with sync_channel(served.server.target) as opened:
                look: Any = opened.unary_unary(LOOK)
                return bytes(look(b""))

        assert await asyncio.to_thread(call) == b""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, certify: Callable[[Path, str], None]) -> Path:
    """A CA and a certificate for localhost under it, made for this run."""
    folder = tmp_path_factory.mktemp("tls")
    certify(folder, "DNS:localhost")
    return folder


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual tls"])
async def test_encrypted_server_answers_those_who_trust_it_and_whom_it_trusts(
    serve: Any, certificates: Path, mutual: bool
) -> None:
    leaf, key, ca = certificates / "leaf.pem", certificates / "leaf.key", certificates / "ca.pem"
    async with serve(tls=ServerTls(leaf, key, ca if mutual else None), address="localhost:0") as served:
        known = ClientTls(ca, leaf, key) if mutual else ClientTls(ca)
        async with channel(served.server.target, ChannelSettings(tls=known)) as opened:
            assert await look(opened)(b"", timeout=5) == b""
        stranger = ChannelSettings(tls=ClientTls(ca)) if mutual else ChannelSettings()
        async with channel(served.server.target, stranger) as opened:
            with pytest.raises(grpc.RpcError) as caught:
                await look(opened)(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def look(opened: grpc.aio.Channel) -> Any:
    """The method, in bytes."""
    return opened.unary_unary(LOOK)


async def start(serving: Any) -> None:
    """Start a server that is not expected to start."""
    async with serving:
        pass
