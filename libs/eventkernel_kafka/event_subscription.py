"""A member of a consumer group, by the group protocol of KIP-848 (Kafka 4): the broker assigns, and joining is quick."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from eventkernel.errors import KernelError, StoreUnavailable
from eventkernel.ports.event_subscription import BusRecord, EventSubscription, TopicPartition
from eventkernel_kafka.error_codes import LOST, NOT_BEGUN, PASSING
from eventkernel_kafka.errors import STORE, described, translated
from eventkernel_kafka.one_thread import OneThread
from eventkernel_kafka.records import bus_record
from eventkernel_kafka.settings import KafkaSettings

_log = logging.getLogger(__name__)

SLICE_SECONDS = 0.1
ASK_SECONDS = 1.0
GRACE_SECONDS = 1.0  # the client's own time limits, which say more, come first


class KafkaEventSubscription:
    """Joins with the first ``poll``. Rebalances happen inside ``poll``, so never between it and the ``commit`` that follows."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
        self._settings = settings
        self._group = group
        self._topics = list(topics)
        self._thread = OneThread(f"kafka-{group}", settings.call_seconds + GRACE_SECONDS)
        self._consumer: Consumer | None = None
        self._leaving = False
        self._left_over: list[BusRecord] = []
        self._under_way: asyncio.Task[None] | None = None
        self._refused: KernelError | None = None
        self._trouble: KafkaError | None = None

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """The next records. A caller that is cancelled loses none: they are the first of the next poll."""
        await self._ended()
        if not self._left_over:
            self._under_way = asyncio.create_task(self._fill(records_max, timeout_seconds), name="kafka-poll")
            await self._ended()
        records, self._left_over = self._left_over[:records_max], self._left_over[records_max:]
        return records

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Committed when it returns, for the partitions held."""
        await self._thread.run(lambda: self._commit(offsets))

    async def rewind(self) -> None:
        """Go back to the committed offsets, or to the beginning where there is none."""
        with suppress(KernelError):
            await self._ended()
        await self._thread.run(self._rewind)

    async def close(self) -> None:
        """Leave the group, so that the others take over at once."""
        self._leaving = True
        with suppress(KernelError):
            await self._ended()
        await self._thread.close(self._leave)

    async def _ended(self) -> None:
        """The poll under way, perhaps of a caller that was cancelled, is over."""
        under_way = self._under_way
        if under_way is not None:
            try:
                await asyncio.shield(under_way)
            finally:
                if under_way.done():
                    self._under_way = None

    async def _fill(self, records_max: int, timeout_seconds: float) -> None:
        def call() -> None:
            # Kept here and not handed back: a caller that has stopped waiting must not lose them.
            if not self._left_over:
                self._left_over = self._poll(records_max, timeout_seconds)

        await self._thread.run(call, timeout_seconds + ASK_SECONDS)

    def _poll(self, records_max: int, timeout_seconds: float) -> list[BusRecord]:
        if self._refused is not None:
            refused, self._refused = self._refused, None
            raise refused
        consumer = self._consumer or self._join()
        until = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, until - time.monotonic())
            # One is waited for; with it come those that have arrived meanwhile.
            first = consumer.poll(min(left, SLICE_SECONDS))
            others = consumer.consume(records_max - 1, 0.0) if first is not None and records_max > 1 else []
            messages = [] if first is None else [first, *others]
            records = [bus_record(message) for message in messages if self._is_record(message)]
            if records:
                return records
            if self._refused is not None:
                return self._poll(records_max, 0.0)
            if left <= 0 or self._leaving:
                self._ask_whether_it_is_over(consumer)
                return []

    def _join(self) -> Consumer:
        consumer = Consumer(self._configuration())
        consumer.subscribe(self._topics)
        self._consumer = consumer
        return consumer

    def _leave(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _is_record(self, message: "Message[Any, Any]") -> bool:
        """An error is raised by the next poll: records that came with it are not lost."""
        error = message.error()
        if error is None:
            return True
        if error.code() in PASSING and not error.fatal():
            _log.warning("a member of %s goes on after %s", self._group, described(error))
            return False
        self._refused = self._refused or translated(error)
        if error.fatal():
            # This client is done for; a later poll joins with a new one.
            self._leave()
            self._consumer = None
        return False

    def _ask_whether_it_is_over(self, consumer: Consumer) -> None:
        """After trouble, silence may mean that there is nothing, or that nobody is there."""
        if self._trouble is None:
            return
        try:
            consumer.list_topics(self._topics[0], timeout=ASK_SECONDS)
        except KafkaException as error:
            raise translated(self._trouble) from error
        self._trouble = None

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._consumer is None:
            return
        held = {(place.topic, place.partition) for place in self._consumer.assignment()}
        places = [
            Place(source.topic, source.partition, offset)
            for source, offset in offsets.items()
            if (source.topic, source.partition) in held
        ]
        if not places:
            return
        try:
            results = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in LOST:
                raise
            _log.warning("a commit of %s is ignored: %s", self._group, described(error.args[0]))
            return
        for place in results or ():
            if place.error is not None and place.error.code() not in LOST:
                raise translated(place.error)

    def _rewind(self) -> None:
        self._left_over = []
        if self._consumer is None:
            return
        held = self._consumer.assignment()
        if not held:
            return
        for place in self._consumer.committed(held, timeout=self._settings.call_seconds):
            if place.error is not None:
                raise translated(place.error)
            offset = place.offset if place.offset >= 0 else self._beginning(self._consumer, place)
            self._seek(self._consumer, Place(place.topic, place.partition, offset))

    def _beginning(self, consumer: Consumer, place: Place) -> int:
        found = consumer.get_watermark_offsets(place, timeout=self._settings.call_seconds)
        if found is None:
            raise StoreUnavailable(STORE, f"no answer about {place.topic}/{place.partition}")
        return found[0]

    def _seek(self, consumer: Consumer, place: Place) -> None:
        try:
            consumer.seek(place)
        except KafkaException as error:
            if error.args[0].code() != NOT_BEGUN:
                raise

    def _noticed(self, error: KafkaError) -> None:
        self._trouble = error

    def _configuration(self) -> dict[str, Any]:
        return self._settings.common() | {
            "group.id": self._group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "fetch.message.max.bytes": self._settings.message_bytes_max,
            "error_cb": self._noticed,
        }


if TYPE_CHECKING:
    _: type[EventSubscription] = KafkaEventSubscription
