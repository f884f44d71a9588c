"""Publishing with one idempotent producer, used by one thread, one batch at a time.

Why there can be no gap within a key: librdkafka keeps the order of a partition, and no record of a batch ever fails by itself
while a later one goes on (records have no time limit of their own, and the producer stops at the first error). So whatever
part of a batch reached the broker is its beginning, per partition. When a batch is not whole in time, the producer is purged
and dropped before anybody is told; what it had sent may still arrive, again as a beginning of the batch.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Producer

from eventkernel.errors import PublishFailed
from eventkernel.ids import partition_of
from eventkernel.ports.event_publisher import BusMessage, EventPublisher
from eventkernel_kafka.error_codes import ALL_AWAY, PURGED
from eventkernel_kafka.errors import described
from eventkernel_kafka.settings import KafkaSettings

_log = logging.getLogger(__name__)

Batch: TypeAlias = tuple[Sequence[BusMessage], "Future[None]"]

QUEUE_MESSAGES_MAX = 200_000
QUEUE_KIBIBYTES_MAX = 512 * 1024
WAIT_SECONDS = 0.1
ASK_SECONDS = 1.0

_partition_of = lru_cache(maxsize=65_536)(partition_of)


class KafkaEventPublisher:
    """Batches of several callers are published one after the other. Start-up and failures happen inside ``publish``."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._publishing = _Publishing(settings, self._work)
        self._thread = Thread(target=self._publishing.run, name="kafka-publisher", daemon=True)
        self._closed = False

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Returns when all in-sync replicas have every message."""
        if not messages:
            return
        if self._closed:
            raise PublishFailed(messages[0].topic, "the publisher is closed")
        if not self._thread.ident:
            self._thread.start()
        published: Future[None] = Future()
        self._work.put((messages, published))
        await asyncio.wrap_future(published)

    async def close(self) -> None:
        """Publish what was accepted, within ``call_seconds``, then end the thread."""
        self._closed = True
        self._publishing.hurry()
        if self._thread.is_alive():
            self._work.put(None)
            await asyncio.to_thread(self._thread.join)


class _Failure(Exception):
    """Why a batch cannot be published whole."""


class _Publishing:
    """What the thread does: it alone touches the producer."""

    def __init__(self, settings: KafkaSettings, work: "SimpleQueue[Batch | None]") -> None:
        self._settings = settings
        self._work = work
        self._producer: Producer | None = None
        self._partitions: dict[str, int] = {}
        self._refused: KafkaError | None = None
        self._trouble = ""
        self._latest = float("inf")

    def hurry(self) -> None:
        """From now on there are ``call_seconds`` left for everything."""
        self._latest = min(self._latest, time.monotonic() + self._settings.call_seconds)

    def run(self) -> None:
        while (batch := self._work.get()) is not None:
            messages, published = batch
            if not published.set_running_or_notify_cancel():
                continue  # given up before anything of it was sent
            try:
                self._publish(messages)
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
                try:
                    self._drop()
                finally:
                    published.set_exception(self._told(messages[0].topic, error))
            else:
                published.set_result(None)
        self._drop()

    def _publish(self, messages: Sequence[BusMessage]) -> None:
        until = time.monotonic() + self._settings.publish_seconds
        if self._producer is None:
            self._refused, self._trouble, self._partitions = None, "", {}
            self._producer = Producer(self._configuration())
        producer = self._producer
        for message in messages:
            partition = _partition_of(message.key, self._partitions_of(producer, message.topic, until))
            while True:
                try:
                    producer.produce(
                        message.topic, message.value, message.key, partition, headers=list(message.headers)
                    )
                    break
                except BufferError:
                    producer.poll(WAIT_SECONDS)
                    self._check(until)
        while producer.flush(WAIT_SECONDS):
            self._check(until)
        self._check_refused()

    def _check_refused(self) -> None:
        """One record that was refused ends the batch: nothing more may go out behind it."""
        if self._refused is not None:
            raise _Failure(described(self._refused))

    def _check(self, until: float) -> None:
        self._check_refused()
        if time.monotonic() >= min(until, self._latest):
            raise _Failure("not acknowledged in time")

    def _partitions_of(self, producer: Producer, topic: str, until: float) -> int:
        """The topic's partitions, asked once a producer; they are fixed, or keys would change their places."""
        while topic not in self._partitions:
            try:
                # All topics, because asking for one that is missing may create it.
                found = producer.list_topics(timeout=ASK_SECONDS).topics.get(topic)
            except KafkaException:
                self._check(until)
                continue
            if found is None or found.error is not None or not found.partitions:
                raise _Failure(f"topic {topic} does not exist")
            self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]

    def _drop(self) -> None:
        """Forget the producer and everything in it that was not sent."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.purge()
            producer.flush(0)
        except (KafkaException, RuntimeError) as error:
            _log.warning("a producer was dropped after it could not be purged: %s", error)

    def _told(self, topic: str, error: Exception) -> Exception:
        """What a caller is told: a mistake in a message as it is, everything else as the bus's failure."""
        if not isinstance(error, (_Failure, KafkaException)):
            return error
        text = described(error.args[0]) if isinstance(error, KafkaException) else str(error)
        failed = PublishFailed(topic, f"{text} ({self._trouble})" if self._trouble else text)
        failed.__cause__ = error
        return failed

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:
        """Called for failures alone (``delivery.report.only.error``): a call a record would cost as much as the sending."""
        if error is not None and error.code() not in PURGED:
            self._refused = self._refused or error

    def _noticed(self, error: KafkaError) -> None:
        # What follows from another trouble does not say why.
        if error.code() != ALL_AWAY or not self._trouble:
            self._trouble = described(error)
        if error.fatal():
            self._refused = self._refused or error

    def _configuration(self) -> dict[str, Any]:
        return self._settings.common() | {
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            # None of their own: a record that gave up alone would leave a gap before the ones behind it.
            "message.timeout.ms": 0,
            "message.max.bytes": self._settings.message_bytes_max,
            "linger.ms": self._settings.linger_ms,
            "compression.type": self._settings.compression,
            "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
            "queue.buffering.max.kbytes": QUEUE_KIBIBYTES_MAX,
            "delivery.report.only.error": True,
            "on_delivery": self._delivered,
            "error_cb": self._noticed,
        }


if TYPE_CHECKING:
    _: type[EventPublisher] = KafkaEventPublisher
