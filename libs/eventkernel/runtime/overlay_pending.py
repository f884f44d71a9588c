"""Events that are on the bus and, by the committed offsets, not yet in the views: by stream, each version once."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import TopicPartition

EVENT_BYTES = 1_500
"""What an event costs in memory beside its payload: envelope, ids, texts."""


@dataclass(slots=True)
class PendingEvents:
    """Grows at the end of the bus and shrinks where the views' group has committed. The first event of a version counts:
    a later one under the same version is a repeat, or a divergence that the projector will name.
    """

    events: int = 0
    bytes: int = 0
    _streams: dict[StreamId, dict[int, RecordedEvent]] = field(default_factory=dict)
    _places: dict[TopicPartition, list[tuple[int, StreamId, int]]] = field(default_factory=dict)
    _ahead: set[tuple[StreamId, int]] = field(default_factory=set)

    @property
    def ahead(self) -> int:
        """How many events were told of and have not come over the bus yet."""
        return len(self._ahead)

    def tell(self, event: RecordedEvent) -> bool:
        """Add an event that is stored and will come over the bus; whether it was new."""
        versions = self._streams.setdefault(event.stream, {})
        if event.version in versions:
            return False
        self._put(versions, event)
        self._ahead.add((event.stream, event.version))
        return True

    def add(self, source: TopicPartition, offset: int, event: RecordedEvent) -> bool:
        """Add an event as it lies on the bus; whether it was new."""
        versions = self._streams.setdefault(event.stream, {})
        told = (event.stream, event.version) in self._ahead
        if event.version in versions and not told:
            return False
        heapq.heappush(self._places.setdefault(source, []), (offset, event.stream, event.version))
        if told:
            self._ahead.remove((event.stream, event.version))
            return False
        self._put(versions, event)
        return True

    def has(self, event: RecordedEvent) -> bool:
        """Whether this version of its stream is pending."""
        return event.version in self._streams.get(event.stream, ())

    def trim(self, source: TopicPartition, before: int) -> Iterator[StreamId]:
        """Drop the events that lie before an offset; gives their streams."""
        places = self._places.get(source, [])
        while places and places[0][0] < before:
            _, stream, version = heapq.heappop(places)
            self._drop(stream, version)
            yield stream

    def drop(self, source: TopicPartition) -> Iterator[StreamId]:
        """Drop everything of one partition; gives the streams."""
        for _, stream, version in self._places.pop(source, []):
            self._drop(stream, version)
            yield stream

    def after(self, stream: StreamId, version: int) -> list[RecordedEvent]:
        """The run that follows a version, up to the first version that is missing."""
        versions = self._streams.get(stream, {})
        run = []
        while (event := versions.get(version + 1)) is not None:
            run.append(event)
            version += 1
        return run

    def first(self, stream: StreamId) -> int:
        """The lowest version that is pending; 0 where none is."""
        return min(self._streams.get(stream, ()), default=0)

    def last(self, stream: StreamId) -> int:
        """The highest version that is pending; 0 where none is."""
        return max(self._streams.get(stream, ()), default=0)

    def is_whole(self, stream: StreamId) -> bool:
        """Whether no version is missing between the lowest and the highest. One may be after the group was set back."""
        return len(self._streams.get(stream, ())) == self.last(stream) - self.first(stream) + 1

    def streams(self) -> set[StreamId]:
        """The streams of which anything is pending."""
        return set(self._streams)

    def _put(self, versions: dict[int, RecordedEvent], event: RecordedEvent) -> None:
        versions[event.version] = event
        self.events += 1
        self.bytes += _size(event)

    def _drop(self, stream: StreamId, version: int) -> None:
        versions = self._streams[stream]
        event = versions.pop(version)
        if not versions:
            del self._streams[stream]
        self.events -= 1
        self.bytes -= _size(event)


def _size(event: RecordedEvent) -> int:
    return len(event.data) + EVENT_BYTES
