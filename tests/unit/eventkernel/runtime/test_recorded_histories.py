"""Handlers, relay and projector among faults, written down as their clients see them: the checker finds nothing.

And it finds what is then taken away from a store.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventkernel.errors import KernelError, OutcomeUnknown, Refusal, StoreUnavailable
from eventkernel.testing.counter import COUNTER_SUMS, COUNTER_VIEW, Add, Close, Open, decode, new_counter, request
from eventkernel.testing.faulty import Faults, FaultyEventStore
from eventkernel.testing.history import History, Outcome, Recorder, RecordingEventStore, Rule, check, collect
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.stream_directory import MemoryStreamDirectory

if TYPE_CHECKING:
    from eventkernel.ids import StreamId

TOPIC = "counters"
RATES = dict.fromkeys(("append_refused", "append_lost", "append_stored", "append_late", "read_failed"), 0.1)
SEEDS = range(12)


class Clients:
    """Some clients on some counters, each call written down."""

    def __init__(self, world: Any, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.recorder = Recorder(now=count().__next__)
        self.streams = [new_counter() for _ in range(3)]
        self.faults = Faults(seed, turns=5.0, **RATES)
        self.stores = [FaultyEventStore(MemoryEventStore(world.journal), self.faults) for _ in range(2)]
        self.handlers = [world.handler(store) for store in self.stores]

    async def client(self, name: str) -> None:
        for _ in range(12):
            stream = self.random.choice(self.streams)
            if self.random.random() < 0.3:
                await self.read(stream, name)
            else:
                command = self.random.choice((Open(), Add(1), Add(2), Add(3), Close()))
                await self.command(stream, name, command)

    async def read(self, stream: "StreamId", name: str) -> None:
        store = RecordingEventStore(self.random.choice(self.stores), self.recorder, name)
        with suppress(StoreUnavailable):
            await store.load(stream)

    async def command(self, stream: "StreamId", name: str, command: Any) -> None:
        """As a client does: an unknown outcome, or none for the time being, and the same command goes again, twice."""
        command_id = uuid4()
        for _ in range(3):
            call = self.recorder.write(stream, command_id, client=name)
            try:
                handler = self.random.choice(self.handlers)
                reply = await handler.handle(request(stream, command, command_id))
            except OutcomeUnknown as error:
                call.unknown(str(error))
            except KernelError as error:
                call.refused("busy" if error.retriable else str(error))
                if isinstance(error, Refusal):
                    return
            else:
                call.ok(reply.aggregate.version)
                return

    async def run(self) -> History:
        await asyncio.gather(*(self.client(f"client-{number}") for number in range(4)))
        self.faults.quiet()
        for store in self.stores:
            await store.landed()
        relay, projector = self.world.relay(Faults()), self.world.projector()
        while await relay.run_once():
            pass
        while await projector.run_once():
            pass
        return await self.collected()

    async def collected(self) -> History:
        return await collect(
            self.recorder.history(),
            directory=MemoryStreamDirectory(self.world.journal),
            events=self.world.store,
            tail=MemoryBusTail(self.world.bus),
            topic=TOPIC,
            views=(COUNTER_VIEW, COUNTER_SUMS),
            store=self.world.views,
            decode=decode,
        )


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_clients_were_told_among_faults_is_possible(world: Any, seed: int) -> None:
    history = await Clients(world, seed).run()
    assert len(history.writes) > 20
    assert {write.outcome for write in history.writes} >= {Outcome.OK, Outcome.REFUSED}
    assert check(history) == []


async def test_what_is_then_taken_from_a_store_is_found(world: Any) -> None:
    clients = Clients(world, 1)
    await clients.run()
    stream = max(clients.streams, key=lambda stream: len(world.stored(stream)))
    last = world.journal.streams[stream].events.pop()
    found = {(one.rule, one.stream) for one in check(await clients.collected())}
    assert (Rule.TOPIC_IS_JOURNAL, stream.key) in found
    assert (Rule.VIEW_IS_JOURNAL, stream.key) in found
    world.journal.streams[stream].events.append(last)
    records = next(some for some in world.bus.partitions(TOPIC) if any(r.key == stream.key.encode() for r in some))
    records.pop()
    assert {one.rule for one in check(await clients.collected())} == {Rule.TOPIC_COMPLETE}


async def test_a_store_that_stores_an_unknown_append_twice_is_found(world: Any) -> None:
    clients = Clients(world, 2)
    await clients.run()
    stream = max(clients.streams, key=lambda stream: len(world.stored(stream)))
    events = world.journal.streams[stream].events
    events.append(replace(events[0], version=len(events) + 1))
    assert Rule.EFFECT_ONCE in {one.rule for one in check(await clients.collected())}
