from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient

from eventkernel.ports.event_subscription import EventSubscription
from eventkernel.testing.contracts.bus import BusUnderTest
from eventkernel.testing.contracts.event_bus import EventBusContract
from eventkernel.testing.contracts.features import Feature
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from localstack import KafkaBroker


class Opened:
    """The clients of two processes, and those of others when asked to open again."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._clients: list[KafkaEventPublisher | KafkaBusTail] = []
        self.topics: list[str] = []

    def open(self) -> BusUnderTest:
        one, two = KafkaEventPublisher(self._settings), KafkaEventPublisher(self._settings)
        tail = KafkaBusTail(self._settings)
        self._clients += [one, two, tail]
        return BusUnderTest(one, two, tail, self.create_topic, self.subscribe, crash, self.reopen)

    async def create_topic(self, partitions: int) -> str:
        name = f"topic-{uuid4().hex}"
        await ensure_topic(self._settings, Topic(name, partitions, replication_factor=1, in_sync_replicas_min=1))
        self.topics.append(name)
        return name

    def subscribe(self, group: str, topic: str) -> EventSubscription:
        return KafkaEventSubscription(self._settings, group, [topic])

    async def reopen(self) -> BusUnderTest:
        await self.close()
        return self.open()

    async def close(self) -> None:
        while self._clients:
            await self._clients.pop().close()


async def crash(subscription: EventSubscription) -> None:
    """Let go of the client without leaving the group, as far as a living process can."""
    assert isinstance(subscription, KafkaEventSubscription)
    subscription._consumer = None
    await subscription.close()


@pytest.fixture
async def bus(kafka_server: KafkaBroker) -> AsyncIterator[BusUnderTest]:
    settings = KafkaSettings(kafka_server.bootstrap_servers)
    opened = Opened(settings)
    yield opened.open()
    await opened.close()
    if opened.topics:
        admin = AdminClient(settings.common())
        for done in admin.delete_topics(opened.topics).values():
            done.result(30)


class TestKafkaBus(EventBusContract):
    features = frozenset({Feature.DURABLE, Feature.TAKEOVER})
