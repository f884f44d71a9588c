"""Encrypted connections and passwords, on a real broker that asks for both."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from eventkernel.errors import StoreMismatch
from eventkernel.ports import BusMessage, TopicPartition
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.event_publisher import KafkaEventPublisher
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings, Sasl, Tls
from eventkernel_kafka.topics import Topic, ensure_topic
from localstack import KafkaBroker, Stack
from localstack.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.stack("kafka")]

USER, PASSWORD, MECHANISM = "keeper", "a password, not a good one", "SCRAM-SHA-512"
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Secured:
    """How to reach a broker over TLS and SASL; ``foreign`` vouches for somebody else."""

    settings: KafkaSettings
    foreign: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ours, foreign = certificate(folder, "ours"), certificate(folder, "foreign")
    with Stack(folder / "stack", services=["kafka"]) as stack:
        broker = stack.kafka
        register(broker)
        [port] = free_ports(1)
        broker.stop()
        broker.own_settings.write_text(listening(broker, port, ours), encoding="utf-8")
        broker.start()
        tls, sasl = Tls(authority=ours), Sasl(MECHANISM, USER, PASSWORD)
        yield Secured(KafkaSettings(f"127.0.0.1:{port}", tls=tls, sasl=sasl, publish_seconds=SECONDS), foreign)


def certificate(folder: Path, name: str) -> Path:
    """A self-signed one for the loopback address; its key lies beside it."""
    made = folder / f"{name}.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", made.with_suffix(".key"), "-out", made], check=True, capture_output=True
    )
    return made


def register(broker: KafkaBroker) -> None:
    """Make the user, over the listener that asks for nothing."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, credential, PASSWORD.encode())])
    made[USER].result(SECONDS)


def listening(broker: KafkaBroker, port: int, ours: Path) -> str:
    """The broker's settings of one more listener, which asks for a password and shows the certificate."""
    both = ours.with_suffix(".both")
    both.write_bytes(ours.with_suffix(".key").read_bytes() + ours.read_bytes())
    written = (broker.folder / "server.properties").read_text(encoding="utf-8")
    known = dict(line.split("=", 1) for line in written.splitlines())
    named = "listener.name.sasl_ssl"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    settings = {
        "listeners": f"{known['listeners']},SASL_SSL://127.0.0.1:{port}",
        "advertised.listeners": f"{known['advertised.listeners']},SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": MECHANISM,
        f"{named}.scram-sha-512.sasl.jaas.config": f"{module} required;",
        f"{named}.ssl.keystore.type": "PEM",
        f"{named}.ssl.keystore.location": str(both),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


async def topic_of(settings: KafkaSettings) -> Topic:
    made = Topic(f"topic-{uuid4().hex}", 1, replication_factor=1, in_sync_replicas_min=1)
    await ensure_topic(settings, made)
    return made


async def test_events_go_and_come_over_an_encrypted_connection(secured: Secured) -> None:
    topic = await topic_of(secured.settings)
    publisher, tail = KafkaEventPublisher(secured.settings), KafkaBusTail(secured.settings)
    subscription = KafkaEventSubscription(secured.settings, "group", [topic.name])
    try:
        messages = [BusMessage(topic.name, b"key", f"value {number}".encode(), ()) for number in range(3)]
        await publisher.publish(messages)
        found = await tail.read(TopicPartition(topic.name, 0), 0, 10)
        assert [record.value for record in found] == [message.value for message in messages]
        async with asyncio.timeout(SECONDS):
            polled: list[bytes | None] = []
            while len(polled) < len(messages):
                polled += [record.value for record in await subscription.poll(10, 1.0)]
        assert polled == [message.value for message in messages]
    finally:
        await subscription.close()
        await tail.close()
        await publisher.close()


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("_AUTHENTICATION", lambda s: replace(s.settings, sasl=Sasl(MECHANISM, USER, "wrong"))),
        ("_SSL", lambda s: replace(s.settings, tls=Tls(authority=s.foreign))),
    ],
    ids=["wrong password", "untrusted certificate"],
)
async def test_what_is_not_secured_as_agreed_is_refused_by_name(secured: Secured, said: str, refused: object) -> None:
    assert callable(refused)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(StoreMismatch, match=said) as found:
            await topic_of(refused(secured))
    assert PASSWORD not in str(found.value)
