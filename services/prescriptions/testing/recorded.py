"""Stories as the log has them: each event at its time, encoded, in a stream of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance, RecordedEvent
from eventkernel.ids import StreamId
from prescriptions.domain import commands as c
from prescriptions.domain.profiles import US, Profile
from prescriptions.domain.values import PrescriptionContent
from prescriptions.testing.stories import Story, content
from prescriptions.wire.events import PrescriptionEventCodec

if TYPE_CHECKING:
    from datetime import datetime

_NAMESPACE = UUID("5a1b8f0e-8d0c-5a58-9d53-0a4d7f3b6f11")
_CODEC = PrescriptionEventCodec()


class TimedStory(Story):
    """A story that remembers who did what when."""

    def __init__(self, content: PrescriptionContent, profile: Profile = US) -> None:
        super().__init__(content, profile)
        self.told: list[tuple[datetime, Actor]] = []

    def do(self, command: c.Command, actor: Actor, **changes: Any) -> "TimedStory":
        super().do(command, actor, **changes)
        self.told.append((self.now, actor))
        return self


def untold(profile: Profile = US, **changes: Any) -> TimedStory:
    """Nothing has happened yet. Keyword arguments change the content."""
    return TimedStory(content(**changes), profile)


def prescription(number: int) -> str:
    """The id of the n-th prescription of a test."""
    return str(uuid5(_NAMESPACE, str(number)))


def stream_of(number: int, tenant: str = "default") -> StreamId:
    """Its stream."""
    return StreamId(tenant, f"prescription-{prescription(number)}")


def recorded(story: Story, stream: StreamId) -> list[RecordedEvent]:
    """The story's events as stored in this stream; the same story gives the same events."""
    return [
        RecordedEvent(stream, version, event.event_id, event.type, event.schema_version, event.data, event.meta)
        for version, event in enumerate(new_events(story, stream), 1)
    ]


def new_events(story: Story, stream: StreamId) -> Sequence[NewEvent]:
    """The story's events on their way into a store. They were recorded when they took effect."""
    if not isinstance(story, TimedStory):
        raise TypeError("only a story with times can be recorded")
    events = []
    for place, (event, (at, actor)) in enumerate(zip(story.events, story.told, strict=True)):
        encoded = _CODEC.encode(event)
        named = f"{stream.key}/{place}"
        meta = EventMeta(at, at, uuid5(_NAMESPACE, f"command/{named}"), Provenance(actor))
        events.append(
            NewEvent(uuid5(_NAMESPACE, f"event/{named}"), encoded.type, encoded.schema_version, encoded.data, meta)
        )
    return events
