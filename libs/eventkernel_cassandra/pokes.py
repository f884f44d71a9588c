"""Pokes across processes: datagrams that say in which streams something was appended.

A poke is a hint and nothing more. A lost one costs the time until the relay looks by itself, a false one a look; what is
published is always read from the journal. So there is no acknowledgement, no order and no queue. Where a relay listens stands
behind its name in the leases of its shards, with a token without which it does not listen.
"""

import asyncio
import hmac
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from eventkernel.errors import KernelError
from eventkernel.ids import StreamId, shard_of

_log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 1_200
"""What a network carries in one piece."""
HOLDERS_SECONDS = 2.0
"""How old the known holders of shards may be."""
WAITING_MAX = 10_000
TOKEN_BYTES = 16
_AT = "@"

Holders: TypeAlias = Callable[[], Awaitable[Mapping[int, str]]]
"""The owners of leased shards, by shard."""


@dataclass(frozen=True, slots=True)
class Ear:
    """Where a relay listens, and the token that a datagram to it begins with."""

    host: str
    port: int
    token: str

    def named(self, owner: str) -> str:
        """The relay's name with this behind it."""
        return f"{owner}{_AT}{self.host}:{self.port}:{self.token}"

    @classmethod
    def of(cls, owner: str) -> "Ear | None":
        """What stands behind a relay's name; None where that is nothing, or nothing of this kind."""
        host, _, rest = owner.rpartition(_AT)[2].rpartition(":")[0].rpartition(":")
        token = owner.rpartition(":")[2]
        if _AT not in owner or not host or not rest.isdigit() or len(token) != 2 * TOKEN_BYTES:
            return None
        return cls(host, int(rest), token)


class PokeListener:
    """The receiving end. Bound when it is made, so that the relay can be named after it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host.strip("[]"), int(port)))
        self.ear = Ear(host.strip("[]"), self._socket.getsockname()[1], secrets.token_hex(TOKEN_BYTES))

    @asynccontextmanager
    async def listening(self, poke: Callable[[StreamId], None]) -> AsyncIterator[None]:
        """Hand on what comes until the end of the block."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiving(self.ear.token.encode(), poke), sock=self._socket
        )
        try:
            yield
        finally:
            transport.close()


class _Receiving(asyncio.DatagramProtocol):
    def __init__(self, token: bytes, poke: Callable[[StreamId], None]) -> None:
        self._token = token
        self._poke = poke

    def datagram_received(self, data: bytes, addr: object) -> None:
        token, *keys = data.split(b"\n")
        if not hmac.compare_digest(token, self._token):
            return
        for key in keys:
            try:
                stream = StreamId.from_key(key.decode()).validated()
            except (ValueError, KernelError):
                return
            self._poke(stream)


class PokeSender:
    """The sending end: pokes of one turn of the loop go together, to the relay that holds the stream's shard."""

    def __init__(self, holders: Holders, shard_count: int) -> None:
        self._holders = holders
        self._shard_count = shard_count
        self._ears: dict[int, Ear] = {}
        self._asked_at = -HOLDERS_SECONDS
        self._asking: asyncio.Task[None] | None = None
        self._waiting: dict[StreamId, None] = {}
        self._sockets: dict[int, socket.socket] = {}
        self.own: Ear | None = None
        """The relay that lives in this process and needs no datagram."""

    def poke(self, stream: StreamId) -> None:
        """Something was appended to this stream, or may have been."""
        if len(self._waiting) >= WAITING_MAX:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting[stream] = None

    async def close(self) -> None:
        """Send nothing any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        while self._sockets:
            self._sockets.popitem()[1].close()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        loop = asyncio.get_running_loop()
        if self._asking is None and loop.time() - self._asked_at >= HOLDERS_SECONDS:
            self._asking = loop.create_task(self._ask(), name="poke-holders")
        by_ear: dict[Ear, list[bytes]] = {}
        for stream in waiting:
            ear = self._ears.get(shard_of(stream, self._shard_count))
            if ear is not None and ear != self.own:
                by_ear.setdefault(ear, []).append(stream.key.encode())
        for ear, keys in by_ear.items():
            self._tell(ear, keys)

    def _tell(self, ear: Ear, keys: list[bytes]) -> None:
        data = ear.token.encode()
        for key in keys:
            if len(data) + 1 + len(key) > DATAGRAM_BYTES_MAX:
                self._put(ear, data)
                data = ear.token.encode()
            data += b"\n" + key
        self._put(ear, data)

    def _put(self, ear: Ear, data: bytes) -> None:
        family = socket.AF_INET6 if ":" in ear.host else socket.AF_INET
        sending = self._sockets.get(family)
        try:
            if sending is None:
                sending = self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
                sending.setblocking(False)
            sending.sendto(data, (ear.host, ear.port))
        except OSError as error:
            _log.debug("a poke to %s:%d was not sent: %s", ear.host, ear.port, error)

    async def _ask(self) -> None:
        try:
            ears = {shard: Ear.of(owner) for shard, owner in (await self._holders()).items()}
            self._ears = {shard: ear for shard, ear in ears.items() if ear is not None}
        except KernelError as error:
            _log.debug("nobody said who holds the shards: %s", error)
        finally:
            self._asked_at = asyncio.get_running_loop().time()
            self._asking = None
