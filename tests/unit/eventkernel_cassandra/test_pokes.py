"""Pokes by datagram: hints that arrive where a shard is held, and nowhere else."""

import asyncio
import socket
from collections.abc import Mapping
from functools import partial

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId, shard_of
from eventkernel.testing.contracts.journal import new_stream
from eventkernel_cassandra.pokes import DATAGRAM_BYTES_MAX, Ear, PokeListener, PokeSender
from eventkernel_cassandra.shard_leases import CassandraShardLeases
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import ManualClock

SHARDS = 4
HEARD_SECONDS = 30.0


class Heard:
    """What a listener handed on."""

    def __init__(self) -> None:
        self.streams: list[StreamId] = []
        self._more = asyncio.Event()

    def poke(self, stream: StreamId) -> None:
        self.streams.append(stream)
        self._more.set()

    async def all(self, count: int) -> list[StreamId]:
        async with asyncio.timeout(HEARD_SECONDS):
            while len(self.streams) < count:
                self._more.clear()
                await self._more.wait()
        return self.streams


async def sender_to(holders: Mapping[int, str]) -> PokeSender:
    """One that knows already who holds what."""

    async def ask() -> Mapping[int, str]:
        return holders

    sender = PokeSender(ask, SHARDS)
    sender.poke(StreamId("default", "warm-up"))
    for _ in range(5):
        await asyncio.sleep(0)
    return sender


async def test_the_relay_that_holds_the_shard_hears_of_its_streams_alone() -> None:
    listeners = [PokeListener("127.0.0.1:0") for _ in range(2)]
    heard = [Heard() for _ in listeners]
    sender = await sender_to({shard: listeners[shard % 2].ear.named("host/1") for shard in range(SHARDS)})
    streams = [new_stream() for _ in range(100)]
    async with listeners[0].listening(heard[0].poke), listeners[1].listening(heard[1].poke):
        for stream in streams:
            sender.poke(stream)
            sender.poke(stream)
        for place in range(2):
            own = [stream for stream in streams if shard_of(stream, SHARDS) % 2 == place]
            assert await heard[place].all(len(own)) == own
    await sender.close()


async def test_who_listens_where_is_read_from_the_leases() -> None:
    listener, heard, stream = PokeListener("127.0.0.1:0"), Heard(), new_stream()
    leases = CassandraShardLeases(
        SimulatedSession(SimulatedStore(ManualClock())), statements_of("simulated"), "simulated"
    )
    await leases.acquire(listener.ear.named("host/1"), SHARDS, 30.0)
    sender = PokeSender(partial(leases.holders, SHARDS), SHARDS)
    async with listener.listening(heard.poke), asyncio.timeout(HEARD_SECONDS):
        while not heard.streams:
            sender.poke(stream)
            await asyncio.sleep(0)
    await sender.close()
    assert set(heard.streams) == {stream}


async def test_what_is_no_poke_is_dropped() -> None:
    listener, heard, stream = PokeListener("127.0.0.1:0"), Heard(), new_stream()
    token = listener.ear.token.encode()
    good = token + b"\n" + stream.key.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        async with listener.listening(heard.poke):
            for data in (b"", b"\xff\n\xff", stream.key.encode(), b"0" * 32 + good[32:], token, token + b"\n\xff/x"):
                anybody.sendto(data, (listener.ear.host, listener.ear.port))
            anybody.sendto(token + b"\nno stream", (listener.ear.host, listener.ear.port))
            anybody.sendto(good, (listener.ear.host, listener.ear.port))
            assert await heard.all(1) == [stream]


async def test_a_relay_of_the_same_process_gets_no_datagram_and_nobody_there_is_no_error() -> None:
    listener, heard = PokeListener("127.0.0.1:0"), Heard()
    sender = await sender_to(dict.fromkeys(range(SHARDS), listener.ear.named("host/1")))
    async with listener.listening(heard.poke):
        sender.own = listener.ear
        sender.poke(new_stream())
        await asyncio.sleep(0)
        sender.own = None
        other = new_stream()
        sender.poke(other)
        assert await heard.all(1) == [other]
    sender.poke(new_stream())
    await asyncio.sleep(0)
    await sender.close()


async def test_where_nobody_says_who_holds_the_shards_nothing_is_sent_and_nothing_fails() -> None:
    async def ask() -> Mapping[int, str]:
        raise StoreUnavailable("leases", "away")

    sender = PokeSender(ask, SHARDS)
    sender.poke(new_stream())
    for _ in range(5):
        await asyncio.sleep(0)
    await sender.close()


async def test_a_datagram_is_no_longer_than_a_network_carries() -> None:
    listener = PokeListener("127.0.0.1:0")
    sizes: list[int] = []

    class Measured(PokeSender):
        def _put(self, ear: Ear, data: bytes) -> None:
            sizes.append(len(data))

    async def ask() -> Mapping[int, str]:
        return dict.fromkeys(range(SHARDS), listener.ear.named("host/1"))

    sender = Measured(ask, SHARDS)
    for _ in range(2):
        for _ in range(200):
            sender.poke(new_stream())
        for _ in range(5):
            await asyncio.sleep(0)
    assert max(sizes) <= DATAGRAM_BYTES_MAX
    assert 5 < len(sizes) < 50
    async with listener.listening(lambda _: None):
        pass
    await sender.close()


@pytest.mark.parametrize("owner", ["", "host/12", "host/12@", "host/12@127.0.0.1:80", "a@b:c:d", "a@:1:" + "0" * 32])
async def test_a_name_without_an_ear_has_none(owner: str) -> None:
    assert Ear.of(owner) is None


async def test_an_ear_is_read_back_from_the_name() -> None:
    for ear in (Ear("127.0.0.1", 9, "0" * 32), Ear("::1", 65_535, "f" * 32)):
        assert Ear.of(ear.named("host@home/12")) == ear
