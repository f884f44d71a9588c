"""Onto the bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BusMessage:
    """A record to publish. Records of one key keep their order; the partition is murmur2 of the key, as Kafka's Java client."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class EventPublisher(Protocol):
    """Publishes in order per key, at least once.

    ``publish`` returns after the bus has acknowledged, durably, every message. On ``PublishFailed`` any part of them may be
    on the bus; what follows must start again at the first (duplicates may appear, gaps and reorderings may not).
    """

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Publish and wait for every acknowledgement."""

    async def close(self) -> None:
        """Flush what was accepted, then release."""
