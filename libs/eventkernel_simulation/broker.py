"""A Kafka cluster as its clients can tell: partitions, what is replicated of them, idempotent producers, and groups.

A record can be read, and is acknowledged, once it is replicated. A crash of the leader loses what was not, and nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from eventkernel.errors import StoreMismatch
from eventkernel.ids import partition_of
from eventkernel.ports import BusMessage, BusRecord, TopicPartition
from eventkernel_simulation.weather import Weather

SESSION_SECONDS = 3.0
"""After so long without a sign of life a member of a group is taken for dead."""


@dataclass(slots=True)
class Partition:
    """``owners`` says of each record which producer sent it, and as its how-manieth to this partition."""

    records: list[BusRecord] = field(default_factory=list)
    owners: list[tuple[int, int]] = field(default_factory=list)
    replicated: int = 0
    epoch: int = 0
    waiting: list[tuple[int, "asyncio.Future[None]"]] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """Members in the order in which they joined, and what they read; ``generation`` grows with every change of them."""

    members: dict[object, tuple[str, ...]] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    earlier: dict[TopicPartition, list[int]] = field(default_factory=dict)
    generation: int = 0


class Broker:
    """``heard`` is told of every record that can be read from now on."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.loop = weather.loop
        self.partitions: dict[TopicPartition, Partition] = {}
        self.groups: dict[str, Group] = {}
        self.up = True
        self.heard: Callable[[BusRecord], None] | None = None
        self._producers = count()
        self._sleepers: list[asyncio.Future[None]] = []

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make one."""
        self.partitions |= {TopicPartition(topic, number): Partition() for number in range(partitions)}

    def places(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic. Raises ``StoreMismatch`` for one that nobody has made."""
        found = [place for place in self.partitions if place.topic == topic]
        if not found:
            raise StoreMismatch("bus", expected=f"topic {topic}", actual="no such topic")
        return found

    def new_producer(self) -> int:
        """An id that no producer had before."""
        return next(self._producers)

    def place_of(self, message: BusMessage) -> TopicPartition:
        """The partition of a message's key."""
        places = self.places(message.topic)
        return places[partition_of(message.key, len(places))]

    def append(self, place: TopicPartition, producer: int, first: int, messages: Sequence[BusMessage]) -> int:
        """Take a producer's messages from its ``first``-th of this partition on; gives the offset behind them.

        What it has of them already is not added again. Messages that do not follow the producer's last one are refused: -1.
        """
        partition = self.partitions[place]
        has = [sequence for owner, sequence in partition.owners if owner == producer]
        following = has[-1] + 1 if has else first
        if first > following:
            return -1
        for sequence, message in enumerate(messages, first):
            if sequence >= following:
                offset = len(partition.records)
                partition.records.append(
                    BusRecord(place.topic, place.partition, offset, message.key, message.value, message.headers)
                )
                partition.owners.append((producer, sequence))
        self.loop.later(self.weather.trip(), self._replicate, place, partition.epoch)
        last = first + len(messages) - 1
        return next(
            (at + 1 for at in range(len(partition.owners) - 1, -1, -1) if partition.owners[at] == (producer, last)), -1
        )

    def acknowledged(self, place: TopicPartition, offset: int) -> "asyncio.Future[None]":
        """Done when everything before an offset is replicated; ``ConnectionError`` when the leader is gone before."""
        partition = self.partitions[place]
        done = self.loop.create_future()
        if partition.replicated >= offset:
            done.set_result(None)
        else:
            partition.waiting.append((offset, done))
        return done

    def readable(self, place: TopicPartition, offset: int, records_max: int) -> list[BusRecord]:
        """Records from an offset on."""
        partition = self.partitions[place]
        return partition.records[offset : min(offset + records_max, partition.replicated)]

    def crash(self, seconds: float) -> None:
        """The leaders go down; of what was not replicated some beginning is left."""
        self.up = False
        for partition in self.partitions.values():
            kept = self.weather.random.randint(partition.replicated, len(partition.records))
            del partition.records[kept:], partition.owners[kept:]
            partition.epoch += 1
            self._drop_waiting(partition)
        self.loop.later(seconds, self._come_back)

    def lose_tail(self, records_max: int) -> TopicPartition:
        """A replica that lacked the last records becomes the leader: acknowledged ones are gone. Gives the partition."""
        place = self.weather.random.choice(list(self.partitions))
        partition = self.partitions[place]
        kept = self.weather.random.randint(max(0, partition.replicated - records_max), partition.replicated)
        del partition.records[kept:], partition.owners[kept:]
        partition.replicated = kept
        partition.epoch += 1
        self._drop_waiting(partition)
        return place

    def forget_commits(self) -> None:
        """A group's coordinator comes back with older offsets, as after an unclean change of it."""
        for group in self.groups.values():
            for place, earlier in group.earlier.items():
                if earlier:
                    group.committed[place] = self.weather.random.choice(earlier)

    async def arrival(self, seconds: float) -> None:
        """Return when something can be read that could not before, when groups change, or when the time is over."""
        arrived: asyncio.Future[None] = self.loop.create_future()
        self._sleepers.append(arrived)
        try:
            async with asyncio.timeout(seconds):
                await arrived
        except TimeoutError:
            return

    def group(self, name: str) -> Group:
        """The group of this name."""
        return self.groups.setdefault(name, Group())

    def held(self, group: Group, member: object) -> list[TopicPartition]:
        """The partitions of a member, dealt round among all."""
        held = []
        for topic in group.members.get(member, ()):
            readers = [name for name, topics in group.members.items() if topic in topics]
            held += self.places(topic)[readers.index(member) :: len(readers)]
        return held

    def join(self, group: Group, member: object, topics: Sequence[str]) -> None:
        """One more member."""
        group.members[member] = tuple(topics)
        group.generation += 1
        self._wake()

    def leave(self, group: Group, member: object) -> None:
        """One member less."""
        if member in group.members:
            del group.members[member]
            group.generation += 1
            self._wake()

    def _replicate(self, place: TopicPartition, epoch: int) -> None:
        partition = self.partitions[place]
        if partition.epoch != epoch or not self.up:
            return
        before, partition.replicated = partition.replicated, len(partition.records)
        if self.heard is not None:
            for record in partition.records[before:]:
                self.heard(record)
        still = []
        for offset, done in partition.waiting:
            if partition.replicated >= offset:
                if not done.done():
                    done.set_result(None)
            else:
                still.append((offset, done))
        partition.waiting = still
        self._wake()

    def _drop_waiting(self, partition: Partition) -> None:
        for _, done in partition.waiting:
            if not done.done():
                done.set_exception(ConnectionError("the leader is gone"))
        partition.waiting.clear()

    def _come_back(self) -> None:
        """New leaders: what they kept of the unreplicated is replicated first."""
        self.up = True
        for place, partition in self.partitions.items():
            self._replicate(place, partition.epoch)

    def _wake(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for arrived in sleepers:
            if not arrived.done():
                arrived.set_result(None)
