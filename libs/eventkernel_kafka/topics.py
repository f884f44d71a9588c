"""Topics: made with everything said that matters, and looked at before they are used."""

import asyncio
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_kafka.admin import LOOK_SECONDS, Admin
from eventkernel_kafka.error_codes import TOPIC_EXISTS
from eventkernel_kafka.errors import STORE, translating
from eventkernel_kafka.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of events.

    ``partitions`` are fixed once the topic exists, or keys would change their places. ``retention_seconds`` None keeps records
    for good; the journal is the truth, so a bounded time only has to be longer than any consumer may be behind. In production:
    three replicas, of which two must have a record before it counts as published.
    """

    name: str
    partitions: int
    replication_factor: int = 3
    in_sync_replicas_min: int = 2
    retention_seconds: int | None = None

    def configuration(self, message_bytes_max: int) -> dict[str, str]:
        """Kafka's settings of the topic. Never compacted: every event of a key is wanted, not the last."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(-1 if self.retention_seconds is None else self.retention_seconds * 1000),
            "retention.bytes": "-1",
            "min.insync.replicas": str(self.in_sync_replicas_min),
            "unclean.leader.election.enable": "false",
            "max.message.bytes": str(message_bytes_max),
            "message.timestamp.type": "CreateTime",
            "compression.type": "producer",
        }


async def ensure_topic(settings: KafkaSettings, topic: Topic) -> None:
    """Make the topic if it is missing and wait until it can be written; check it if it is there.

    Several processes may do so at once. Raises ``StoreMismatch`` for one that has another number of partitions or is compacted,
    and where the brokers do not let this program in.
    """
    with translating():
        admin = Admin(settings)
        try:
            await _create(admin, settings, topic)
        except KafkaException as error:
            if error.args[0].code() != TOPIC_EXISTS:
                raise
        await _await_leaders(admin, settings, topic)
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        asked = admin.client.describe_configs([resource], request_timeout=settings.call_seconds)
        found = await admin.answer(asked[resource])
    policy = str(found["cleanup.policy"].value)
    if policy != "delete":
        raise StoreMismatch(STORE, expected=f"{topic.name} with cleanup.policy delete", actual=policy)


async def _create(admin: Admin, settings: KafkaSettings, topic: Topic) -> None:
    new = NewTopic(
        topic.name, topic.partitions, topic.replication_factor, config=topic.configuration(settings.message_bytes_max)
    )
    limits = {"operation_timeout": settings.call_seconds, "request_timeout": settings.call_seconds}
    await admin.answer(admin.client.create_topics([new], **limits)[topic.name])


async def _await_leaders(admin: Admin, settings: KafkaSettings, topic: Topic) -> None:
    """A topic that was just made is known to the brokers one by one."""
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.call_seconds
    while True:
        found = await admin.called(admin.client.list_topics, timeout=settings.call_seconds)
        known = found.topics.get(topic.name)
        partitions = known.partitions.values() if known is not None and known.error is None else ()
        if partitions and len(partitions) != topic.partitions:
            expected = f"{topic.name} with {topic.partitions} partitions"
            raise StoreMismatch(STORE, expected=expected, actual=str(len(partitions)))
        if partitions and all(partition.leader >= 0 for partition in partitions):
            return
        if loop.time() >= until:
            raise StoreUnavailable(STORE, f"{topic.name} has no leaders")
        await asyncio.sleep(LOOK_SECONDS)
