"""What clients ask of the broker, as the broker keeps it: no reply tells of which kind a producer or a group was."""

import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from confluent_kafka import ConsumerGroupType
from confluent_kafka.admin import AdminClient

from eventkernel.testing.contracts.bus import message, new_group, receive
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from localstack import KafkaBroker

NewTopic = Callable[..., Awaitable[str]]

DEADLINE_SECONDS = 60
PRODUCER_AND_SEQUENCE = struct.Struct(">qhi")
PRODUCER_AT = 43
"""Where a record batch of format 2 names its producer; -1 where that is not idempotent."""


def batches(folder: Path) -> list[tuple[int, int]]:
    """Producer and first sequence number of each batch in a partition's only segment."""
    (segment,) = folder.glob("*.log")
    content, found = segment.read_bytes(), []
    while content:
        producer, _, sequence = PRODUCER_AND_SEQUENCE.unpack_from(content, PRODUCER_AT)
        found.append((producer, sequence))
        content = content[12 + int.from_bytes(content[8:12]) :]
    return found


async def test_the_broker_can_tell_what_a_producer_sends_twice(
    settings: KafkaSettings, new_topic: NewTopic, kafka_server: KafkaBroker
) -> None:
    topic, publisher = await new_topic(1), KafkaEventPublisher(settings)
    for number in range(2):
        await publisher.publish([message(topic, b"key", b"%d" % number)])
    await publisher.close()
    (first, zero), (second, one) = batches(kafka_server.folder / "data" / f"{topic}-0")
    assert first == second >= 0
    assert (zero, one) == (0, 1)


async def test_a_group_is_one_whose_partitions_the_broker_assigns(settings: KafkaSettings, new_topic: NewTopic) -> None:
    topic, group, publisher = await new_topic(1), new_group(), KafkaEventPublisher(settings)
    await publisher.publish([message(topic, b"key", b"value")])
    await publisher.close()
    subscription = KafkaEventSubscription(settings, group, [topic])
    await receive(subscription, 1)
    admin = AdminClient(settings.common())
    described = admin.describe_consumer_groups([group])[group].result(DEADLINE_SECONDS)
    assert described.type is ConsumerGroupType.CONSUMER
    await subscription.close()
