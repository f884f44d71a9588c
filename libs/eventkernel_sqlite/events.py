"""Rows of the events table as recorded events."""

from typing import Any
from uuid import UUID

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.ids import StreamId


def recorded(stream: StreamId, row: tuple[Any, ...]) -> RecordedEvent:
    """The event of a row (version, event_id, type, schema_version, data, meta)."""
    version, event_id, event_type, schema_version, data, meta = row
    return RecordedEvent(
        stream, version, UUID(bytes=event_id), event_type, schema_version, data, EventMeta.unread(meta)
    )
