"""The raw limit of the bus: idempotent ``produce`` of the records the relay makes, through the bare driver.

``python -m bootstrap.bench.raw_bus SERVERS TOPIC PARTITIONS SECONDS``. Batches of 1,000 that wait for their acknowledgements,
a delivery callback each, as whoever must not lose any has to.
"""

import logging
import sys
import time
from uuid import uuid4

from confluent_kafka import Producer

from bootstrap.bench.meter import Meter, tell
from bootstrap.bench.samples import three
from bootstrap.stores import SOURCE
from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import BusMessage
from eventkernel.runtime.cloudevents import to_message
from eventkernel_kafka.settings import KafkaSettings
from prescriptions.wire.events import PrescriptionEventCodec

BATCH = 1_000


def messages(topic: str) -> list[BusMessage]:
    """A batch as the relay makes it."""
    wire_name = PrescriptionEventCodec().wire_name
    entries = three()
    made: list[BusMessage] = []
    while len(made) < BATCH:
        stream = StreamId("default", f"prescription-{uuid4()}")
        for version, entry in enumerate(entries, 1):
            e = entry.event
            event = RecordedEvent(stream, version, e.event_id, e.type, e.schema_version, e.data, e.meta)
            made.append(to_message(event, topic=topic, source=SOURCE, wire_name=wire_name))
    return made[:BATCH]


def main(servers: str, topic: str, partitions: int, seconds: float) -> None:
    """Produce and print."""
    logging.disable(logging.WARNING)
    settings = KafkaSettings(servers)
    producer = Producer(
        settings.common()
        | {"acks": "all", "enable.idempotence": True, "linger.ms": settings.linger_ms}
        | {"compression.type": settings.compression}
    )
    batch, left = messages(topic), 0

    def delivered(error: object, _message: object) -> None:
        nonlocal left
        if error is not None:
            raise RuntimeError(str(error))
        left -= 1

    def produce() -> None:
        nonlocal left
        left = len(batch)
        for place, one in enumerate(batch):
            producer.produce(
                one.topic, one.value, one.key, place % partitions, headers=list(one.headers), on_delivery=delivered
            )
        while left:
            producer.poll(0.1)

    produce()  # connects
    meter, done = Meter(), 0
    while meter.seconds < seconds:
        began = time.perf_counter()
        produce()
        meter.took(time.perf_counter() - began)
        done += len(batch)
    tell(meter.facts(done))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
