"""Reading topics without a group: a consumer that is told where to read, and questions to the brokers about offsets."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel.ports.event_subscription import BusRecord, TopicPartition
from eventkernel_kafka.error_codes import NO_GROUP, PARTITION_EOF, PASSING, STALE_LEADER
from eventkernel_kafka.errors import STORE, translated, translating
from eventkernel_kafka.one_thread import OneThread, answered
from eventkernel_kafka.records import bus_record
from eventkernel_kafka.settings import KafkaSettings

SLICE_SECONDS = 0.1
PREFETCH_KIBIBYTES = 4 * 1024
FETCH_WAIT_MS = 10
GRACE_SECONDS = 1.0  # the client's own time limits, which say more, come first
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaBusTail:
    """Reads go through one consumer, so one after another; going on where the last read ended costs least."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._thread = OneThread("kafka-tail", settings.call_seconds * 2 + GRACE_SECONDS)
        self._grace = settings.call_seconds + GRACE_SECONDS
        self._consumer: Consumer | None = None
        self._admin: AdminClient | None = None
        self._naming: dict[str, Consumer] = {}
        self._partitions: dict[str, int] = {}
        self._next: tuple[TopicPartition, int] | None = None

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """The next offset of every partition, from the leaders."""
        places = await self._places(topic)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.call_seconds
        with translating():
            while True:
                try:
                    return await self._ends(topic, places)
                except KafkaException as error:
                    if error.args[0].code() not in STALE_LEADER or loop.time() >= until:
                        raise
                # Brokers were restarted: learn anew who leads.
                await self._thread.run(self._list_topics)

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Where the group goes on, per partition; asked by a consumer that names the group and never joins it.

        Warning: the admin client's ``list_consumer_group_offsets`` of confluent-kafka 2.16.1 ends the process with a
        segmentation fault where the group does not exist yet.
        """
        places = await self._places(topic)
        found = await self._thread.run(lambda: self._committed(group, places))
        for place in found:
            if place.error is not None and place.error.code() not in NO_GROUP:
                raise translated(place.error)
        return {TopicPartition(topic, place.partition): max(0, place.offset) for place in found}

    async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
        """Records from an offset on. Where records were removed by retention, reading begins at the first that is left."""
        return await self._thread.run(lambda: self._read(source, offset, records_max))

    async def close(self) -> None:
        """Close the consumer."""
        await self._thread.close(self._end)

    def _read(self, source: TopicPartition, offset: int, records_max: int) -> list[BusRecord]:
        consumer = self._consumer = self._consumer or Consumer(self._configuration())
        place = Place(source.topic, source.partition)
        ends = consumer.get_watermark_offsets(place, timeout=self._settings.call_seconds)
        if ends is None:
            raise StoreUnavailable(STORE, f"no answer about {source.topic}/{source.partition}")
        low, high = ends
        at = max(low, offset)
        if at >= high or records_max <= 0:
            return []
        if self._next != (source, at):
            consumer.assign([Place(source.topic, source.partition, at)])
        # Unknown until the read has ended well.
        self._next = None
        records: list[BusRecord] = []
        until = time.monotonic() + self._settings.call_seconds
        while at < high and len(records) < records_max:
            for message in consumer.consume(min(records_max - len(records), high - at), SLICE_SECONDS):
                error = message.error()
                if error is None:
                    records.append(bus_record(message))
                    at = records[-1].offset + 1
                elif error.code() == PARTITION_EOF:
                    at = max(at, message.offset() or 0)  # the last offsets may hold no record for readers
                elif error.code() not in PASSING:
                    raise translated(error)
            if time.monotonic() > until:
                raise StoreUnavailable(
                    STORE, f"{source.topic}/{source.partition} gave {len(records)} records up to {high}"
                )
        if at < high:
            self._next = (source, at)
        else:
            consumer.unassign()  # a consumer at the end asks the broker again and again
        return records

    def _committed(self, group: str, places: list[Place]) -> list[Place]:
        naming = self._naming.get(group)
        if naming is None:
            naming = self._naming[group] = Consumer(self._configuration() | {"group.id": group})
        try:
            return naming.committed(places, timeout=self._settings.call_seconds)
        except KafkaException as error:
            if error.args[0].code() in NO_GROUP:
                return [Place(place.topic, place.partition, -1) for place in places]
            raise

    def _end(self) -> None:
        for consumer in (self._consumer, *self._naming.values()):
            if consumer is not None:
                consumer.close()

    def _asking(self) -> AdminClient:
        if self._admin is None:
            with translating():
                self._admin = AdminClient(self._settings.common())
        return self._admin

    def _list_topics(self) -> ClusterMetadata:
        return self._asking().list_topics(timeout=self._settings.call_seconds)

    async def _ends(self, topic: str, places: Sequence[Place]) -> dict[TopicPartition, int]:
        asked = self._asking().list_offsets(
            dict.fromkeys(places, LATEST),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=self._settings.call_seconds,
        )
        found = await asyncio.gather(*(answered(answer, self._grace) for answer in asked.values()))
        return {
            TopicPartition(topic, place.partition): result.offset
            for place, result in zip(asked.keys(), found, strict=True)
        }

    async def _places(self, topic: str) -> list[Place]:
        """All partitions; their number is fixed, so it is asked once."""
        if topic not in self._partitions:
            found = await self._thread.run(self._list_topics)
            metadata = found.topics.get(topic)
            if metadata is None or metadata.error is not None:
                raise StoreMismatch(STORE, expected=f"topic {topic}", actual="no such topic")
            self._partitions[topic] = len(metadata.partitions)
        return [Place(topic, partition) for partition in range(self._partitions[topic])]

    def _configuration(self) -> dict[str, Any]:
        return self._settings.common() | {
            # A name is asked for, no group is ever joined and nothing is committed.
            "group.id": f"{self._settings.client_id}-tail",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": self._settings.message_bytes_max,
            "queued.max.messages.kbytes": PREFETCH_KIBIBYTES,
            # A question that waits at the end of a partition holds up the next read elsewhere, by default for 500 ms.
            "fetch.wait.max.ms": FETCH_WAIT_MS,
        }


if TYPE_CHECKING:
    from eventkernel.ports.bus_tail import BusTail

    _: type[BusTail] = KafkaBusTail
