"""A broker that is killed or frozen while records are published: what was acknowledged is there, in order, without a gap."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest

from eventkernel.errors import PublishFailed, StoreUnavailable
from eventkernel.testing.contracts.bus import commit_through, message, new_group, receive
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from localstack import KafkaBroker

pytestmark = [pytest.mark.stack("kafka"), pytest.mark.slow, pytest.mark.xdist_group("localstack")]

DEADLINE_SECONDS = 90.0
KEYS = [b"default/counter-%d" % number for number in range(8)]
RUN = 40
PARTITIONS = 3


@dataclass(slots=True)
class Source:
    """Numbers by key, published in runs from a cursor that moves when a run was acknowledged, as a relay does."""

    publisher: KafkaEventPublisher
    topic: str
    cursor: int = 0
    failures: list[PublishFailed] = field(default_factory=list)
    turned: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            numbers = range(self.cursor, self.cursor + RUN)
            try:
                await self.publisher.publish([message(self.topic, key, b"%d" % n) for n in numbers for key in KEYS])
            except PublishFailed as error:
                self.failures.append(error)
            else:
                self.cursor += RUN
            async with self.turned:
                self.turned.notify_all()

    async def advances(self, runs: int) -> None:
        """Wait until so many more runs were acknowledged."""
        wanted = self.cursor + runs * RUN
        async with self.turned:
            await self.turned.wait_for(lambda: self.cursor >= wanted)

    async def fails(self, times: int) -> None:
        """Wait until so many more runs have failed."""
        wanted = len(self.failures) + times
        async with self.turned:
            await self.turned.wait_for(lambda: len(self.failures) >= wanted)


@pytest.fixture
def settings(own_broker: KafkaBroker) -> KafkaSettings:
    return KafkaSettings(own_broker.bootstrap_servers)


async def new_topic(settings: KafkaSettings) -> str:
    name = f"topic-{uuid4().hex}"
    await ensure_topic(settings, Topic(name, PARTITIONS, replication_factor=1, in_sync_replicas_min=1))
    return name


async def check(settings: KafkaSettings, source: Source) -> int:
    """First occurrences are in order without a gap, and reach what was acknowledged; gives how many records came twice."""
    tail = KafkaBusTail(settings)
    found: dict[bytes, list[int]] = defaultdict(list)
    for place, end in (await tail.end_offsets(source.topic)).items():
        for record in await tail.read(place, 0, end):
            found[record.key].append(int(record.value))
    await tail.close()
    again = 0
    for key in KEYS:
        firsts = list(dict.fromkeys(found[key]))
        assert firsts == list(range(len(firsts))), f"{key!r}: first occurrences out of order or with a gap"
        assert len(firsts) >= source.cursor, f"{key!r}: {source.cursor} acknowledged, {len(firsts)} on the bus"
        again += len(found[key]) - len(firsts)
    return again


async def test_a_broker_that_is_killed_and_comes_back_costs_patience_and_no_record(
    own_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    source, stop = Source(KafkaEventPublisher(settings), await new_topic(settings)), asyncio.Event()
    publishing = asyncio.ensure_future(source.publish_on(stop))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await source.advances(5)
        await asyncio.to_thread(own_broker.kill9)
        await asyncio.to_thread(own_broker.start)
        await source.advances(5)
        stop.set()
        await publishing
    assert source.failures == []
    assert await check(settings, source) == 0
    await source.publisher.close()


async def test_a_batch_that_failed_begins_again_and_leaves_neither_gap_nor_disorder(
    own_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    """The broker is away for longer than a batch may take: each failure drops the producer with all it had not sent."""
    impatient = replace(settings, publish_seconds=0.4)
    source, stop = Source(KafkaEventPublisher(impatient), await new_topic(settings)), asyncio.Event()
    publishing = asyncio.ensure_future(source.publish_on(stop))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await source.advances(5)
        own_broker.freeze()
        try:
            await source.fails(3)
        finally:
            own_broker.thaw()
        await source.advances(3)
        await asyncio.to_thread(own_broker.kill9)
        await source.fails(2)
        await asyncio.to_thread(own_broker.start)
        await source.advances(3)
        stop.set()
        await publishing
    await check(settings, source)
    await source.publisher.close()


async def test_members_and_tails_go_on_after_the_broker_came_back(
    own_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    topic, publisher, tail = await new_topic(settings), KafkaEventPublisher(settings), KafkaBusTail(settings)
    subscription = KafkaEventSubscription(replace(settings, call_seconds=1.0), new_group(), [topic])
    await publisher.publish([message(topic, KEYS[0], b"before")])
    assert [record.value for record in await receive(subscription, 1)] == [b"before"]
    ends = await tail.end_offsets(topic)
    await asyncio.to_thread(own_broker.kill9)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await told_unavailable(subscription)
        with pytest.raises(StoreUnavailable):
            await subscription.commit(ends)
        with pytest.raises(StoreUnavailable):
            await subscription.rewind()
        await asyncio.to_thread(own_broker.start)
        await publisher.publish([message(topic, KEYS[0], b"after")])
        values: list[bytes] = []
        while values[-1:] != [b"after"]:
            try:
                values += [record.value for record in await subscription.poll(10, 0.2)]
            except StoreUnavailable:
                continue
    assert set(values) <= {b"before", b"after"}
    source = next(place for place, end in ends.items() if end)
    assert [record.value for record in await tail.read(source, 0, 10)] == [b"before", b"after"]
    await subscription.commit(await tail.end_offsets(topic))
    await subscription.close()
    await publisher.close()
    await tail.close()


async def test_closing_does_not_wait_for_a_broker_that_is_gone(
    own_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    topic, publisher = await new_topic(settings), KafkaEventPublisher(settings)
    subscription = KafkaEventSubscription(replace(settings, call_seconds=0.5), new_group(), [topic])
    await publisher.publish([message(topic, KEYS[0], b"before")])
    [record] = await receive(subscription, 1)
    await asyncio.to_thread(own_broker.kill9)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(StoreUnavailable):
                await commit_through(subscription, [record])
            await subscription.close()
            await publisher.close()
    finally:
        await asyncio.to_thread(own_broker.start)


async def told_unavailable(subscription: KafkaEventSubscription) -> None:
    while True:
        try:
            assert await subscription.poll(10, 0.2) == []
        except StoreUnavailable:
            return
