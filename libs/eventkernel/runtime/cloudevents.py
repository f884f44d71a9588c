"""An event on the bus: the CloudEvents Kafka protocol binding 1.0.2, binary content mode.

``ce_*`` headers say what consumers of any language need; the ``es_*`` headers carry what the kernel needs to give back
the very event that was stored. The value is the payload as it was encoded before the append.
"""

from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.errors import EventUnreadable, InvalidCommand
from eventkernel.ids import StreamId
from eventkernel.ports import BusMessage, BusRecord

WireName = Callable[[str, int], str]

STREAMS_MAX = 4_096
"""Keys whose streams are remembered: a stream's events come close together."""


class BrokenRecord(EventUnreadable):
    """A record on the topic that lacks what an event must have, or has it in a form that cannot be read."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(f"record at {place}: {cause}")
        self.place = place


def to_message(event: RecordedEvent, *, topic: str, source: str, wire_name: WireName) -> BusMessage:
    """The event as a record; the key is ``tenant/stream``, so that a stream keeps its order in one partition."""
    p = event.meta.provenance
    headers = [
        ("content-type", b"application/protobuf"),
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event.event_id).encode()),
        ("ce_type", wire_name(event.type, event.schema_version).encode()),
        ("ce_source", source.encode()),
        ("ce_subject", event.stream.id.encode()),
        ("ce_time", event.meta.occurred_at.isoformat().replace("+00:00", "Z").encode()),
        ("ce_sequence", str(event.version).encode()),
        ("ce_dataschema", f"{event.type}/{event.schema_version}".encode()),
        ("es_meta", event.meta.to_bytes()),
    ]
    for name, value in (
        ("traceparent", p.traceparent),
        ("ce_correlationid", p.correlation_id),
        ("ce_causationid", p.causation_id),
    ):
        if value:
            headers.append((name, value.encode()))
    return BusMessage(topic, event.stream.key.encode(), event.data, tuple(headers))


def from_record(record: BusRecord) -> RecordedEvent:
    """The event of a record. Raises ``BrokenRecord``."""
    headers = dict(record.headers)
    try:
        name, _, schema_version = headers["ce_dataschema"].decode().rpartition("/")
        stream, version = version_of(record)
        return RecordedEvent(
            stream=stream,
            version=version,
            event_id=UUID(headers["ce_id"].decode()),
            type=name,
            schema_version=int(schema_version),
            data=record.value,
            meta=EventMeta.from_bytes(headers["es_meta"]),
        )
    except KeyError as error:
        raise BrokenRecord(_place(record), f"header {error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        # A header or a key may be null on the bus, and anybody can write to a topic.
        raise BrokenRecord(_place(record), repr(error)) from error


def version_of(record: BusRecord) -> tuple[StreamId, int]:
    """Stream and version alone, for reading back what is already published. Raises ``BrokenRecord``."""
    for name, value in record.headers:
        if name == "ce_sequence":
            try:
                stream, version = _stream(record.key), int(value)
            except (ValueError, TypeError, AttributeError, InvalidCommand) as error:
                raise BrokenRecord(_place(record), repr(error)) from error
            if version < 1:
                raise BrokenRecord(_place(record), f"version {version}")
            return stream, version
    raise BrokenRecord(_place(record), "header ce_sequence is missing")


@lru_cache(STREAMS_MAX)
def _stream(key: bytes) -> StreamId:
    return StreamId.from_key(key.decode()).validated()


def _place(record: BusRecord) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
