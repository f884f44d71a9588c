import asyncio
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from localstack import ports

DEADLINE_SECONDS = 30


@pytest.fixture
def topic(settings: KafkaSettings) -> Iterator[Topic]:
    made = Topic(f"topic-{uuid4().hex}", 3, replication_factor=1, in_sync_replicas_min=1, retention_seconds=3_600)
    yield made
    admin = AdminClient(settings.common())
    if made.name in admin.list_topics(timeout=DEADLINE_SECONDS).topics:
        admin.delete_topics([made.name])[made.name].result(DEADLINE_SECONDS)


def described(settings: KafkaSettings, topic: Topic) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    admin = AdminClient(settings.common())
    found = admin.describe_configs([resource])[resource].result(DEADLINE_SECONDS)
    return {name: str(entry.value) for name, entry in found.items()}


async def test_a_topic_has_every_setting_that_matters_said(settings: KafkaSettings, topic: Topic) -> None:
    await ensure_topic(settings, topic)
    found = described(settings, topic)
    wanted = topic.configuration(settings.message_bytes_max)
    assert {name: found[name] for name in wanted} == wanted
    assert (wanted["cleanup.policy"], wanted["retention.ms"]) == ("delete", "3600000")
    assert wanted["unclean.leader.election.enable"] == "false"


async def test_several_processes_may_make_a_topic_at_once_and_again(settings: KafkaSettings, topic: Topic) -> None:
    await asyncio.gather(*(ensure_topic(settings, topic) for _ in range(4)))
    await ensure_topic(settings, topic)


async def test_a_topic_with_another_number_of_partitions_is_refused(settings: KafkaSettings, topic: Topic) -> None:
    await ensure_topic(settings, topic)
    with pytest.raises(StoreMismatch, match=f"{topic.name} with 4 partitions, found 3"):
        await ensure_topic(settings, replace(topic, partitions=4))


async def test_a_compacted_topic_is_refused(settings: KafkaSettings, topic: Topic) -> None:
    compacted = NewTopic(topic.name, topic.partitions, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient(settings.common())
    admin.create_topics([compacted])[topic.name].result(DEADLINE_SECONDS)
    with pytest.raises(StoreMismatch, match=r"cleanup\.policy delete, found compact"):
        await ensure_topic(settings, topic)


async def test_more_replicas_than_brokers_are_a_mismatch(settings: KafkaSettings, topic: Topic) -> None:
    with pytest.raises(StoreMismatch, match="INVALID_REPLICATION_FACTOR"):
        await ensure_topic(settings, replace(topic, replication_factor=3))


async def test_a_name_that_no_topic_can_have_is_a_mismatch(settings: KafkaSettings, topic: Topic) -> None:
    with pytest.raises(StoreMismatch):
        await ensure_topic(settings, replace(topic, name="not/a topic"))


async def test_brokers_that_are_not_there_are_unavailable() -> None:
    [port] = ports.free_ports(1)
    away = KafkaSettings(f"127.0.0.1:{port}", call_seconds=1.0)
    with pytest.raises(StoreUnavailable):
        await ensure_topic(away, Topic("any", 1))
