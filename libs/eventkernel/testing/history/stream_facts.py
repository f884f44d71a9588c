"""The facts of one stream, and what follows from their times: when each version was asked for first, and seen done."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from eventkernel.testing.history.records import History, JournalEvent, Outcome, Read, TopicRecord, ViewState, Write

BEFORE_ALL = float("-inf")
NEVER = float("inf")


@dataclass
class StreamFacts:
    """``log[v - 1]`` is the event of version v as far as the journal has no gap."""

    stream: str
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    journal: list[JournalEvent] = field(default_factory=list)
    topic: list[TopicRecord] = field(default_factory=list)
    views: list[ViewState] = field(default_factory=list)

    @cached_property
    def log(self) -> list[JournalEvent]:
        """The journal's events up to the first gap."""
        log: list[JournalEvent] = []
        for event in sorted(self.journal, key=lambda event: event.version):
            if event.version == len(log) + 1:
                log.append(event)
        return log

    @cached_property
    def commands(self) -> dict[str, list[Write]]:
        """The attempts by command."""
        found: dict[str, list[Write]] = defaultdict(list)
        for write in self.writes:
            found[write.command_id].append(write)
        return found

    @cached_property
    def version_of(self) -> dict[str, int]:
        """By event id, the first version that has it."""
        return {event.event_id: event.version for event in reversed(self.log)}

    @cached_property
    def called(self) -> list[float]:
        """By version, from 0 on: the latest of the first calls of this event and of all before it.

        An attempt that was refused is not the one that stored the event.
        """
        first: dict[str, int] = {}
        for write in self.writes:
            if write.outcome is not Outcome.REFUSED:
                first[write.event_id] = min(write.called_at, first.get(write.event_id, write.called_at))
        latest = BEFORE_ALL
        times = [latest]
        for event in self.log:
            latest = max(latest, first.get(event.event_id, BEFORE_ALL))
            times.append(latest)
        return times

    @cached_property
    def done(self) -> list[float]:
        """By version, from 0 on: when somebody knew first that this event or one behind it is there."""
        times = [BEFORE_ALL, *(NEVER for _ in self.log)]
        for write in self.writes:
            version = self.version_of.get(write.event_id)
            if version and write.outcome is Outcome.OK and write.returned_at is not None:
                times[version] = min(times[version], write.returned_at)
        for read in self.reads:
            if 0 < read.version < len(times):
                times[read.version] = min(times[read.version], read.returned_at)
        for version in range(len(times) - 2, 0, -1):
            times[version] = min(times[version], times[version + 1])
        return times

    def has(self, version: int, event_id: str) -> bool:
        """Whether the journal has this very event there."""
        return 0 < version <= len(self.log) and self.log[version - 1].event_id == event_id


def by_stream(history: History) -> Iterator[StreamFacts]:
    """The facts of every stream that anything is known of; rows that several streams share are of the stream ``""``."""
    found: dict[str, StreamFacts] = {}

    def of(stream: str) -> StreamFacts:
        if stream not in found:
            found[stream] = StreamFacts(stream)
        return found[stream]

    for write in history.writes:
        of(write.stream).writes.append(write)
    for read in history.reads:
        of(read.stream).reads.append(read)
    for event in history.journal:
        of(event.stream).journal.append(event)
    for record in sorted(history.topic, key=lambda record: (record.partition, record.offset)):
        of(record.stream).topic.append(record)
    for view in history.views:
        of(view.stream).views.append(view)
    yield from found.values()
