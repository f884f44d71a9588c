"""Publisher, subscription and tail of one process, as clients of the simulated broker."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventkernel.errors import PublishFailed, StoreUnavailable
from eventkernel.ports import BusMessage, BusRecord, BusTail, EventPublisher, EventSubscription, TopicPartition
from eventkernel_simulation.broker import SESSION_SECONDS, Broker
from eventkernel_simulation.loop import Process

PUBLISH_SECONDS = 1.5
RETRY_SECONDS = 0.2


class SimulatedPublisher:
    """``EventPublisher``. Like the one on Kafka: an idempotent producer, dropped with whatever it held at the first failure.

    What of a batch reaches the broker is always a beginning of it, per partition, also when it arrives long after.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._weather = broker.weather
        self._producer: int | None = None
        self._publishing = asyncio.Lock()
        self._sent: dict[TopicPartition, int] = {}

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Batches of several callers one after the other; every partition by itself, each in order."""
        if messages:
            async with self._publishing:
                await self._publish(messages)

    async def close(self) -> None:
        """Nothing waits."""

    async def _publish(self, messages: Sequence[BusMessage]) -> None:
        if self._producer is None:
            self._producer, self._sent = self._broker.new_producer(), {}
        shares: dict[TopicPartition, list[BusMessage]] = {}
        for message in messages:
            shares.setdefault(self._broker.place_of(message), []).append(message)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await asyncio.gather(*(self._send(self._producer, place, share) for place, share in shares.items()))
        except TimeoutError as error:
            self._producer = None
            raise PublishFailed(messages[0].topic, "not acknowledged in time") from error
        except BaseException:
            self._producer = None
            raise

    async def _send(self, producer: int, place: TopicPartition, messages: Sequence[BusMessage]) -> None:
        first = self._sent.get(place, 0)
        while True:
            if await self._try(producer, place, first, messages):
                self._sent[place] = first + len(messages)
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _try(self, producer: int, place: TopicPartition, first: int, messages: Sequence[BusMessage]) -> bool:
        """Send everything, over a connection that may end anywhere. Whether all of it was acknowledged."""
        weather, later = self._weather, self._broker.loop.later
        fault = weather.one_of(("produce.lost", "produce.cut", "produce.late", "produce.unacknowledged"))
        if weather.tracing and fault:
            weather.note("bus", f"{len(messages)} messages to partition {place.partition}: {fault}")
        if fault == "produce.lost":
            await asyncio.sleep(weather.trip())
            return False
        arrived: asyncio.Future[int] = self._broker.loop.create_future()
        some = messages[: weather.random.randrange(len(messages))] if fault == "produce.cut" else messages
        delay = weather.long() if fault == "produce.late" else weather.trip()
        later(delay, self._arrive, place, producer, first, some, arrived)
        if fault in ("produce.cut", "produce.late"):
            await asyncio.sleep(weather.trip())
            return False
        behind = await arrived
        if behind < 0:
            return False
        try:
            await self._broker.acknowledged(place, behind)
        except ConnectionError:
            return False
        await asyncio.sleep(weather.trip())
        return fault is None

    def _arrive(
        self,
        place: TopicPartition,
        producer: int,
        first: int,
        messages: Sequence[BusMessage],
        arrived: "asyncio.Future[int]",
    ) -> None:
        behind = self._broker.append(place, producer, first, messages) if self._broker.up and messages else -1
        if self._weather.tracing and messages:
            headers = [dict(message.headers)["ce_sequence"].decode() for message in messages]
            keys = sorted({message.key.decode() for message in messages})
            self._weather.note("bus", f"partition {place.partition} takes {keys} versions {headers}: {behind}")
        if not arrived.done():
            arrived.set_result(behind)


class SimulatedSubscription:
    """``EventSubscription``: a member that joins with its first poll. One that is killed or frozen is found out in time."""

    def __init__(self, broker: Broker, group: str, topics: Sequence[str], process: Process) -> None:
        self._broker = broker
        self._weather = broker.weather
        self._group = broker.group(group)
        self._topics = tuple(topics)
        self._process = process
        self._next: dict[TopicPartition, int] = {}
        self._generation = -1
        self._turn = 0
        self._closed = False

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """Records of the partitions held, each in turn being the first to give."""
        loop = self._broker.loop
        deadline = loop.time() + timeout_seconds
        while True:
            await asyncio.sleep(self._weather.trip())
            if self._closed or not self._broker.up or self._weather.strikes("poll.failed"):
                raise StoreUnavailable("bus", "no answer to a poll")
            if self not in self._group.members:
                self._broker.join(self._group, self, self._topics)
            records = self._take(records_max)
            left = deadline - loop.time()
            if records or left <= 0:
                return records
            await self._broker.arrival(left)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """For the partitions held when it arrives."""
        await asyncio.sleep(self._weather.trip())
        fault = self._weather.one_of(("commit.lost", "commit.unanswered"))
        if not self._broker.up or fault == "commit.lost":
            raise StoreUnavailable("bus", "offsets not committed")
        held = self._broker.held(self._group, self)
        for place, offset in offsets.items():
            if place in held:
                if place in self._group.committed:
                    self._group.earlier.setdefault(place, []).append(self._group.committed[place])
                self._group.committed[place] = offset
        await asyncio.sleep(self._weather.trip())
        if fault is not None:
            raise StoreUnavailable("bus", "no answer to a commit")

    async def rewind(self) -> None:
        """Go back to the committed offsets."""
        await asyncio.sleep(self._weather.trip())
        if not self._broker.up or self._weather.strikes("poll.failed"):
            raise StoreUnavailable("bus", "no answer about offsets")
        self._next.clear()

    async def close(self) -> None:
        """Leave."""
        self._closed = True
        self._broker.leave(self._group, self)

    def missed(self) -> None:
        """The process was killed or frozen: look after a while whether it is still silent."""
        self._broker.loop.later(SESSION_SECONDS, self._expire)

    def _expire(self) -> None:
        if self._process.frozen or not self._process.alive:
            self._broker.leave(self._group, self)

    def _take(self, records_max: int) -> list[BusRecord]:
        held = self._broker.held(self._group, self)
        if self._group.generation != self._generation:
            self._next = {place: offset for place, offset in self._next.items() if place in held}
            self._generation = self._group.generation
        self._turn += 1
        taken: list[BusRecord] = []
        for turn in range(len(held)):
            place = held[(self._turn + turn) % len(held)]
            offset = self._next.get(place, self._group.committed.get(place, 0))
            if offset > self._broker.partitions[place].replicated:
                offset = 0  # out of range: from the earliest on
            records = self._broker.readable(place, offset, records_max - len(taken))
            self._next[place] = offset + len(records)
            taken += records
        return taken


class SimulatedTail:
    """``BusTail``: what is replicated, whenever the broker answers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._weather = broker.weather

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """Behind the last record that can be read."""
        await self._answer()
        return {place: self._broker.partitions[place].replicated for place in self._broker.places(topic)}

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Where the group goes on."""
        await self._answer()
        committed = self._broker.group(group).committed
        return {place: committed.get(place, 0) for place in self._broker.places(topic)}

    async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
        """Records."""
        await self._answer()
        return self._broker.readable(source, offset, records_max)

    async def close(self) -> None:
        """Nothing is held."""

    async def _answer(self) -> None:
        await asyncio.sleep(self._weather.trip())
        if not self._broker.up or self._weather.strikes("tail.failed"):
            raise StoreUnavailable("bus", "no answer about the tail")


if TYPE_CHECKING:
    _: tuple[type[EventPublisher], type[EventSubscription], type[BusTail]] = (
        SimulatedPublisher,
        SimulatedSubscription,
        SimulatedTail,
    )
