"""Records as librdkafka gives them, in the kernel's form."""

from typing import TYPE_CHECKING, Any

from eventkernel.ports.event_subscription import BusRecord

if TYPE_CHECKING:
    from confluent_kafka import Message


def bus_record(message: "Message[Any, Any]") -> BusRecord:
    """A record. Anybody may write to a topic: a null key, value or header comes as empty bytes."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers: Any = message.headers() or ()
    return BusRecord(
        topic,
        partition,
        offset,
        message.key() or b"",
        message.value() or b"",
        tuple((name, value or b"") for name, value in headers),
    )
