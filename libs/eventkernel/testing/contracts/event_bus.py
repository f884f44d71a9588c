"""The contract of ``EventPublisher``, ``EventSubscription`` and ``BusTail`` over one bus."""

import asyncio
from collections import defaultdict

from eventkernel.ids import partition_of
from eventkernel.ports.event_publisher import BusMessage
from eventkernel.ports.event_subscription import TopicPartition
from eventkernel.testing.contracts.bus import (
    DEADLINE_SECONDS,
    PARTITIONS,
    BusUnderTest,
    commit_through,
    key_in,
    member,
    message,
    new_group,
    nothing_more,
    publish,
    receive,
    settled,
)
from eventkernel.testing.contracts.features import Feature, Suite, needs


class EventBusContract(Suite):
    """Give it a fixture ``bus``: a ``BusUnderTest``."""

    async def test_a_record_comes_back_equal_in_key_value_and_headers(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(1)
        headers = (("ce_id", bytes(range(256))), ("empty", b""), ("twice", b"1"), ("twice", b"2"), ("Ω", b"\x00"))
        sent = [
            BusMessage(topic, b"default/order-1", bytes(range(256)), headers),
            BusMessage(topic, b"\x00\xff", b"", ()),
            BusMessage(topic, b"default/order-2", b"large" * 100_000, (("large", b"x" * 20_000),)),
        ]
        await bus.publisher.publish(sent)
        async with member(bus, new_group(), topic) as subscription:
            records = await receive(subscription, 3)
        assert [(r.topic, r.partition) for r in records] == [(topic, 0)] * 3
        assert [(r.key, r.value, r.headers) for r in records] == [(m.key, m.value, m.headers) for m in sent]

    async def test_the_partition_is_murmur2_of_the_key(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(PARTITIONS)
        keys = [b"default/order-%d" % number for number in range(40)]
        await bus.publisher.publish([message(topic, key, b"") for key in keys])
        async with member(bus, new_group(), topic) as subscription:
            records = await receive(subscription, len(keys))
        assert {r.key: r.partition for r in records} == {key: partition_of(key, PARTITIONS) for key in keys}

    async def test_records_of_a_key_keep_their_order_whoever_publishes_beside(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(PARTITIONS)

        async def one_writer(writer: int) -> None:
            publisher = bus.publisher if writer % 2 else bus.peer
            for start in range(0, 30, 3):
                key = b"default/order-%d" % writer
                await publisher.publish([message(topic, key, b"%d" % number) for number in range(start, start + 3)])

        await asyncio.gather(*(one_writer(writer) for writer in range(12)))
        by_key: dict[bytes, list[int]] = defaultdict(list)
        offsets: dict[int, list[int]] = defaultdict(list)
        async with member(bus, new_group(), topic) as subscription:
            for record in await receive(subscription, 12 * 30, records_max=37):
                by_key[record.key].append(int(record.value))
                offsets[record.partition].append(record.offset)
        assert all(numbers == list(range(30)) for numbers in by_key.values())
        assert all(some == sorted(set(some)) for some in offsets.values())

    async def test_a_large_batch_arrives_whole(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(PARTITIONS)
        values = [b"%06d" % number + b"." * 500 for number in range(3_000)]
        sent = [message(topic, b"default/order-%d" % (place % 50), value) for place, value in enumerate(values)]
        await bus.publisher.publish(sent)
        async with member(bus, new_group(), topic) as subscription:
            records = await receive(subscription, len(values))
            assert await nothing_more(subscription)
        assert sorted(record.value for record in records) == values

    async def test_publishing_nothing_is_allowed(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(1)
        await bus.publisher.publish([])
        assert await bus.tail.end_offsets(topic) == {TopicPartition(topic, 0): 0}

    async def test_a_poll_gives_no_more_than_it_is_asked_for_and_nothing_when_its_time_is_over(
        self, bus: BusUnderTest
    ) -> None:
        topic = await bus.create_topic(1)
        await publish(bus, topic, [b"%d" % number for number in range(10)])
        async with member(bus, new_group(), topic) as subscription:
            first = await receive(subscription, 1, records_max=4)
            assert len(first) <= 4
            await receive(subscription, 10 - len(first), records_max=4)
            assert await nothing_more(subscription)

    async def test_a_poll_that_waits_gets_what_is_published_meanwhile(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(1)
        async with member(bus, new_group(), topic) as subscription:
            assert await nothing_more(subscription)
            waiting = asyncio.ensure_future(subscription.poll(10, DEADLINE_SECONDS))
            await publish(bus, topic, [b"late"])
            assert [record.value for record in await waiting] == [b"late"]

    async def test_a_new_group_begins_at_the_beginning_and_every_group_gets_everything(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(PARTITIONS)
        await publish(bus, topic, [b"1", b"2"])
        for _ in range(2):
            async with member(bus, new_group(), topic) as subscription:
                records = await receive(subscription, 2)
                await commit_through(subscription, records)
                assert [record.value for record in records] == [b"1", b"2"]

    async def test_what_was_not_committed_comes_again_to_the_next_member(self, bus: BusUnderTest) -> None:
        topic, group = await bus.create_topic(1), new_group()
        await publish(bus, topic, [b"1", b"2", b"3", b"4"])
        async with member(bus, group, topic) as subscription:
            records = await receive(subscription, 4)
            await commit_through(subscription, records[:2])
        async with member(bus, group, topic) as subscription:
            assert [record.value for record in await receive(subscription, 2)] == [b"3", b"4"]

    async def test_rewinding_gives_what_was_not_committed_again(self, bus: BusUnderTest) -> None:
        topic = await bus.create_topic(1)
        await publish(bus, topic, [b"1", b"2", b"3"])
        async with member(bus, new_group(), topic) as subscription:
            records = await receive(subscription, 3)
            await subscription.rewind()
            assert await receive(subscription, 3) == records
            await commit_through(subscription, records[:1])
            await subscription.rewind()
            assert await receive(subscription, 2) == records[1:]
            await publish(bus, topic, [b"4"])
            assert [record.value for record in await receive(subscription, 1)] == [b"4"]

    async def test_members_of_a_group_share_the_partitions_evenly(self, bus: BusUnderTest) -> None:
        topic, group = await bus.create_topic(PARTITIONS), new_group()
        async with member(bus, group, topic) as one, member(bus, group, topic) as two:
            shares = await settled(bus, topic, [one, two])
        assert sorted(map(len, shares)) == [PARTITIONS // 2, PARTITIONS // 2]

    async def test_what_a_member_held_that_leaves_goes_to_the_others(self, bus: BusUnderTest) -> None:
        topic, group = await bus.create_topic(PARTITIONS), new_group()
        async with member(bus, group, topic) as one:
            async with member(bus, group, topic) as two:
                await settled(bus, topic, [one, two])
            assert await settled(bus, topic, [one]) == [set(range(PARTITIONS))]

    @needs(Feature.TAKEOVER)
    async def test_what_a_member_held_that_dies_goes_to_the_others(self, bus: BusUnderTest) -> None:
        assert bus.crash is not None
        topic, group = await bus.create_topic(PARTITIONS), new_group()
        async with member(bus, group, topic) as one, member(bus, group, topic) as two:
            await settled(bus, topic, [one, two])
            await bus.publisher.publish([message(topic, key_in(partition), b"last") for partition in range(PARTITIONS)])
            held = {record.partition for record in await receive(two, PARTITIONS // 2)}
            await bus.crash(two)
            records = await receive(one, PARTITIONS)
        assert {record.partition for record in records if record.value == b"last"} >= held

    async def test_a_commit_by_a_member_that_lost_the_partition_is_ignored(self, bus: BusUnderTest) -> None:
        topic, group = await bus.create_topic(PARTITIONS), new_group()
        async with member(bus, group, topic) as one, member(bus, group, topic) as two:
            shares = await settled(bus, topic, [one, two])
            before = await bus.tail.committed(group, topic)
            await one.commit({TopicPartition(topic, partition): 0 for partition in shares[1]})
            assert await bus.tail.committed(group, topic) == before

    async def test_a_tail_reads_anywhere_and_moves_no_group(self, bus: BusUnderTest) -> None:
        topic, group = await bus.create_topic(PARTITIONS), new_group()
        source = TopicPartition(topic, 2)
        await publish(bus, topic, [b"%d" % number for number in range(5)], key=key_in(2))
        async with member(bus, group, topic) as subscription:
            received = await receive(subscription, 5)
            await commit_through(subscription, received[:3])
            offsets = [record.offset for record in received]
            assert list(await bus.tail.read(source, 0, 100)) == received
            assert list(await bus.tail.read(source, offsets[2], 2)) == received[2:4]
            ends = await bus.tail.end_offsets(topic)
            assert list(await bus.tail.read(source, ends[source], 100)) == []
            assert list(await bus.tail.read(TopicPartition(topic, 0), 0, 100)) == []
            assert ends[source] == offsets[4] + 1
            committed = {TopicPartition(topic, partition): 0 for partition in range(PARTITIONS)}
            assert await bus.tail.committed(group, topic) == committed | {source: offsets[2] + 1}
            assert await nothing_more(subscription)

    @needs(Feature.DURABLE)
    async def test_records_and_committed_offsets_survive_closing_and_opening_again(self, bus: BusUnderTest) -> None:
        assert bus.reopen is not None
        topic, group = await bus.create_topic(1), new_group()
        await publish(bus, topic, [b"1", b"2", b"3"])
        async with member(bus, group, topic) as subscription:
            await commit_through(subscription, (await receive(subscription, 3))[:1])
        bus = await bus.reopen()
        await publish(bus, topic, [b"4"])
        async with member(bus, group, topic) as subscription:
            assert [record.value for record in await receive(subscription, 3)] == [b"2", b"3", b"4"]
