"""Topics of a test's own, and a broker of its own for those that kill it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient

from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from localstack import KafkaBroker, Stack

NewTopic = Callable[..., Awaitable[str]]


@pytest.fixture
def settings(kafka_server: KafkaBroker) -> KafkaSettings:
    """Of the broker that the whole run shares."""
    return KafkaSettings(kafka_server.bootstrap_servers)


@pytest.fixture
async def new_topic(settings: KafkaSettings) -> AsyncIterator[NewTopic]:
    """Makes topics that nobody else uses, and deletes them in the end."""
    made: list[str] = []

    async def make(partitions: int = 4) -> str:
        name = f"topic-{uuid4().hex}"
        made.append(name)
        await ensure_topic(settings, Topic(name, partitions, replication_factor=1, in_sync_replicas_min=1))
        return name

    yield make
    if made:
        admin = AdminClient(settings.common())
        for deleted in admin.delete_topics(made).values():
            deleted.result(30)


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker that the tests of one module may kill; each leaves it running."""
    with Stack(tmp_path_factory.mktemp("own") / "stack", services=["kafka"]) as stack:
        yield stack.kafka
