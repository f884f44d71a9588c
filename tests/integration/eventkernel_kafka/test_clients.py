"""What the clients do about missing topics, records that are too large, strangers' records, cancelled callers, no broker."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from eventkernel.errors import PublishFailed, StoreMismatch, StoreUnavailable
from eventkernel.ports.event_publisher import BusMessage
from eventkernel.ports.event_subscription import TopicPartition
from eventkernel.testing.contracts.bus import commit_through, message, new_group, receive
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings, Sasl, Tls
from localstack import ports

NewTopic = Callable[..., Awaitable[str]]

DEADLINE_SECONDS = 60


@pytest.fixture
def away() -> KafkaSettings:
    [port] = ports.free_ports(1)
    return KafkaSettings(f"127.0.0.1:{port}", call_seconds=0.5, publish_seconds=0.5)


async def all_values(settings: KafkaSettings, topic: str, partition: int = 0) -> list[bytes]:
    tail = KafkaBusTail(settings)
    found = [record.value for record in await tail.read(TopicPartition(topic, partition), 0, 100_000)]
    await tail.close()
    return found


async def test_a_topic_that_does_not_exist_is_neither_published_to_nor_made(settings: KafkaSettings) -> None:
    publisher, topic = KafkaEventPublisher(settings), f"topic-{uuid4().hex}"
    with pytest.raises(PublishFailed, match=f"{topic} does not exist"):
        await publisher.publish([message(topic, b"key", b"value")])
    await publisher.close()
    assert topic not in AdminClient(settings.common()).list_topics(timeout=DEADLINE_SECONDS).topics


async def test_a_record_that_is_too_large_fails_its_batch_and_not_the_next(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    topic, publisher = await new_topic(1), KafkaEventPublisher(settings)
    values = [b"1", b"2" * (settings.message_bytes_max + 1), b"3"]
    with pytest.raises(PublishFailed, match="MSG_SIZE_TOO_LARGE"):
        await publisher.publish([message(topic, b"key", value) for value in values])
    await publisher.publish([message(topic, b"key", value) for value in (b"1", b"3")])
    await publisher.close()
    assert (await all_values(settings, topic))[-2:] == [b"1", b"3"]


async def test_a_record_that_the_broker_refuses_lets_nothing_behind_it_through(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    """The broker's limit is lower than the client's: the refusal comes back while the batch is under way."""
    topic = await new_topic(1)
    publisher = KafkaEventPublisher(
        replace(settings, message_bytes_max=4 * settings.message_bytes_max, compression="none")
    )
    values = [b"a", b"b" * (2 * settings.message_bytes_max), *(b"%d" % number for number in range(3_000))]
    with pytest.raises(PublishFailed):
        await publisher.publish([message(topic, b"key", value) for value in values])
    await publisher.close()
    assert await all_values(settings, topic) in ([], [b"a"])


async def test_a_mistake_in_a_message_is_told_to_its_caller_and_the_next_batch_goes_through(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    topic, publisher = await new_topic(1), KafkaEventPublisher(settings)
    wrong = BusMessage(topic, b"key", b"value", (("number", 7),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await publisher.publish([wrong])
    await publisher.publish([message(topic, b"key", b"right")])
    await publisher.close()
    assert await all_values(settings, topic) == [b"right"]


async def test_a_publisher_that_is_closing_publishes_what_it_has_accepted(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    topic, publisher = await new_topic(1), KafkaEventPublisher(settings)
    publishing = [asyncio.ensure_future(publisher.publish([message(topic, b"key", b"%d" % n)])) for n in range(5)]
    await asyncio.sleep(0)
    await publisher.close()
    await asyncio.gather(*publishing)
    assert await all_values(settings, topic) == [b"0", b"1", b"2", b"3", b"4"]
    with pytest.raises(PublishFailed, match="closed"):
        await publisher.publish([message(topic, b"key", b"late")])


async def test_without_a_broker_publishing_fails_in_time_and_says_why(away: KafkaSettings) -> None:
    publisher = KafkaEventPublisher(away)
    for _ in range(2):
        with pytest.raises(PublishFailed, match=r"not acknowledged in time \(.*refused"):
            await publisher.publish([message("any", b"key", b"value")])
    await publisher.close()


async def test_without_a_broker_closing_does_not_wait_for_the_batch_under_way(away: KafkaSettings) -> None:
    publisher = KafkaEventPublisher(replace(away, publish_seconds=3_600))
    publishing = asyncio.ensure_future(publisher.publish([message("any", b"key", b"value")]))
    await asyncio.sleep(0)
    await asyncio.wait_for(publisher.close(), DEADLINE_SECONDS)
    with pytest.raises(PublishFailed):
        await publishing


async def test_without_a_broker_reading_is_unavailable(away: KafkaSettings) -> None:
    tail, subscription = KafkaBusTail(away), KafkaEventSubscription(away, new_group(), ["any"])
    with pytest.raises(StoreUnavailable):
        await tail.end_offsets("any")
    with pytest.raises(StoreUnavailable):
        await tail.read(TopicPartition("any", 0), 0, 1)
    with pytest.raises(StoreUnavailable):
        await subscription.poll(10, 1.0)
    await tail.close()
    await subscription.close()


async def test_a_broker_that_does_not_speak_tls_or_sasl_is_not_taken_without(settings: KafkaSettings) -> None:
    for other in (replace(settings, tls=Tls()), replace(settings, sasl=Sasl("PLAIN", "erx", "secret"))):
        tail = KafkaBusTail(replace(other, call_seconds=1.0))
        with pytest.raises((StoreUnavailable, StoreMismatch)):
            await tail.end_offsets("any")
        await tail.close()


async def test_the_tail_of_a_topic_that_does_not_exist_is_a_mismatch(settings: KafkaSettings) -> None:
    tail, topic = KafkaBusTail(settings), f"topic-{uuid4().hex}"
    with pytest.raises(StoreMismatch, match=topic):
        await tail.end_offsets(topic)
    with pytest.raises(StoreMismatch, match=topic):
        await tail.committed(new_group(), topic)
    await tail.close()


async def test_a_tail_goes_on_where_it_ended_and_jumps_where_it_is_told(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    topic, publisher, tail = await new_topic(2), KafkaEventPublisher(settings), KafkaBusTail(settings)
    keys = [b"a%d" % number for number in range(20)]
    await publisher.publish([message(topic, key, b"%d" % n) for n in range(50) for key in keys])
    ends = await tail.end_offsets(topic)
    whole = {source: list(await tail.read(source, 0, 10_000)) for source in ends}
    assert {source: len(records) for source, records in whole.items()} == dict(ends)
    for source, records in whole.items():
        pages = [list(await tail.read(source, at, 70)) for at in range(0, ends[source], 70)]
        assert [record for page in pages for record in page] == records
        assert list(await tail.read(source, 5, 3)) == records[5:8]
        assert list(await tail.read(source, 8, 3)) == records[8:11]
        assert list(await tail.read(source, 2, 1)) == records[2:3]
        assert list(await tail.read(source, ends[source], 3)) == []
        await publisher.publish([message(topic, records[0].key, b"new")])
        assert [record.value for record in await tail.read(source, ends[source], 3)] == [b"new"]
    await tail.close()
    await publisher.close()


async def test_a_strangers_record_without_key_value_or_headers_is_given_as_empty(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    topic = await new_topic(1)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    producer.produce(topic, None, headers=[("null", None)])
    producer.produce(topic, b"value")
    assert producer.flush(DEADLINE_SECONDS) == 0
    subscription = KafkaEventSubscription(settings, new_group(), [topic])
    found = [(record.key, record.value, record.headers) for record in await receive(subscription, 2)]
    await subscription.close()
    assert found == [(b"", b"", (("null", b""),)), (b"", b"value", ())]


async def test_a_poll_whose_caller_is_cancelled_loses_no_record(settings: KafkaSettings, new_topic: NewTopic) -> None:
    topic, publisher = await new_topic(1), KafkaEventPublisher(settings)
    subscription = KafkaEventSubscription(settings, new_group(), [topic])
    await receive_nothing(subscription)
    polling = asyncio.ensure_future(subscription.poll(10, DEADLINE_SECONDS))
    await asyncio.sleep(0)
    polling.cancel()
    await asyncio.wait([polling])
    await publisher.publish([message(topic, b"key", b"%d" % number) for number in range(7)])
    found = await receive(subscription, 7, records_max=2)
    assert [record.value for record in found] == [b"%d" % number for number in range(7)]
    await commit_through(subscription, found)
    await subscription.close()
    await publisher.close()


async def test_a_subscription_can_be_closed_while_somebody_polls_and_twice(
    settings: KafkaSettings, new_topic: NewTopic
) -> None:
    subscription = KafkaEventSubscription(settings, new_group(), [await new_topic(1)])
    polling = asyncio.ensure_future(subscription.poll(10, 3_600))
    await asyncio.sleep(0)
    await asyncio.wait_for(subscription.close(), DEADLINE_SECONDS)
    assert await polling == []
    await subscription.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await subscription.poll(10, 1)


async def test_a_member_that_never_polled_can_commit_rewind_and_leave(settings: KafkaSettings) -> None:
    subscription = KafkaEventSubscription(settings, new_group(), ["any"])
    await subscription.commit({TopicPartition("any", 0): 1})
    await subscription.rewind()
    await subscription.close()


async def receive_nothing(subscription: KafkaEventSubscription) -> None:
    """Poll until partitions are held; the topic is empty."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (subscription._consumer and subscription._consumer.assignment()):
            assert await subscription.poll(10, 0.05) == []
