"""A bus in memory: lists of records by topic and partition, and the groups that read them."""

import asyncio
from dataclasses import dataclass, field

from eventkernel.errors import StoreMismatch
from eventkernel.ports.event_subscription import BusRecord, TopicPartition


@dataclass(slots=True)
class Group:
    """A consumer group: members in the order they joined, what they read, and the committed next offsets.

    ``generation`` grows with every change of the members.
    """

    members: dict[object, tuple[str, ...]] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 0


class MemoryBus:
    """What publishers, subscriptions and tails of one process share."""

    def __init__(self) -> None:
        self._topics: dict[str, tuple[list[BusRecord], ...]] = {}
        self._groups: dict[str, Group] = {}
        self._arrived = asyncio.Event()

    async def create_topic(self, topic: str, partitions: int) -> None:
        """Make a topic; one that exists must have as many partitions, else ``StoreMismatch``: keys would move."""
        if partitions < 1:
            raise ValueError(f"topic {topic} needs at least one partition, not {partitions}")
        known = self._topics.setdefault(topic, tuple([] for _ in range(partitions)))
        if len(known) != partitions:
            raise StoreMismatch("bus", expected=f"topic {topic} with {partitions} partitions", actual=str(len(known)))

    def partitions(self, topic: str) -> tuple[list[BusRecord], ...]:
        """The records of a topic by partition. Raises ``StoreMismatch`` for a topic that nobody has made."""
        if topic not in self._topics:
            raise StoreMismatch("bus", expected=f"topic {topic}", actual="no such topic")
        return self._topics[topic]

    def group(self, name: str) -> Group:
        """The group of this name."""
        return self._groups.setdefault(name, Group())

    def holdings(self, group: Group, member: object) -> list[TopicPartition]:
        """What the member holds: the partitions of each of its topics, dealt round among the topic's members."""
        held = []
        for topic in group.members.get(member, ()):
            readers = [name for name, topics in group.members.items() if topic in topics]
            place = readers.index(member)
            held += [TopicPartition(topic, n) for n in range(place, len(self.partitions(topic)), len(readers))]
        return held

    def changed(self) -> None:
        """Wake everybody who waits for records or partitions."""
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return at the next change or when the time is over."""
        arrived = self._arrived
        try:
            async with asyncio.timeout(seconds):
                await arrived.wait()
        except TimeoutError:
            return
