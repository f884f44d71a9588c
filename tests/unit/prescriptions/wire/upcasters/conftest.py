from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.protobuf.message import Message

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.ids import StreamId

AT = datetime(2012, 3, 6, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def recorded_as() -> Callable[[Message], RecordedEvent]:
    """A message of an older package as the first event of a stream."""

    def recorded(message: Message) -> RecordedEvent:
        package, _, name = message.DESCRIPTOR.full_name.rpartition(".")
        meta = EventMeta(AT, AT, UUID(int=1), Provenance(Actor("dr-grey", "prescriber")))
        stream = StreamId("default", "prescription-00000000-0000-4000-8000-000000000001")
        return RecordedEvent(stream, 1, UUID(int=2), name, int(package[-1]), message.SerializeToString(), meta)

    return recorded
