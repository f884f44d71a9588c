"""The newest steps of a topic, read once and kept in memory for all who follow it; older ones are read again from the bus."""

import asyncio
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from eventkernel.errors import EventUnreadable
from eventkernel.ids import StreamId
from eventkernel.ports import BusRecord, BusTail, TopicPartition
from eventkernel.runtime.cloudevents import from_record, version_of
from eventkernel.runtime.watch_steps import Step, StepFolder

Positions: TypeAlias = Mapping[int, int]
"""By partition: the offset of the next record to look at."""

TURN_ENTRIES = 256
"""Entries given from memory in one turn of the event loop."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Named limits: steps kept in memory, records read at once, and how far before a position to look for repeated records."""

    steps_max: int = 50_000
    records_max: int = 500
    look_behind: int = 1_000
    streams_max: int = 100_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A step at its place on the bus; ``next_offset`` is the position behind it."""

    partition: int
    next_offset: int
    step: Step


class StepLog:
    """Follows one topic from its end on.

    A version that lies on the bus more than once is given once, at its first place: versions are remembered per stream, at
    the start from the ``look_behind`` records before it.
    """

    def __init__(
        self, tail: BusTail, topic: str, folder: StepFolder[Any], *, settings: LogSettings = LogSettings()
    ) -> None:
        self.topic = topic
        self.folder = folder
        self.positions: dict[int, int] = {}
        self._tail = tail
        self._settings = settings
        self._begins: dict[int, int] = {}
        self._kept: dict[int, deque[LogEntry]] = {}
        self._known: dict[int, OrderedDict[StreamId, int]] = {}

    @property
    def started(self) -> bool:
        """Whether it has a position to follow from."""
        return bool(self.positions)

    async def start(self) -> None:
        """Take the end of the topic as the beginning."""
        ends = await self.ends()
        self._known = {partition: await self._versions_before(partition, end) for partition, end in ends.items()}
        self._kept = {partition: deque() for partition in ends}
        self._begins = dict(ends)
        self.positions = dict(ends)

    async def ends(self) -> dict[int, int]:
        """By partition, the offset after the last record there is."""
        return {source.partition: end for source, end in (await self._tail.end_offsets(self.topic)).items()}

    async def committed(self, group: str) -> dict[int, int]:
        """By partition, where a group goes on."""
        return {source.partition: at for source, at in (await self._tail.committed(group, self.topic)).items()}

    async def read_on(self) -> AsyncGenerator[LogEntry, None]:
        """What has come since, partition by partition, each entry at the moment at which it is added to the log.

        Between taking an entry and asking for the next, ``positions`` say that it and nothing after it has been given.
        """
        for partition, end in (await self.ends()).items():
            while self.positions[partition] < end:
                records = await self._read(partition, self.positions[partition])
                if not records:
                    break
                for record in records:
                    new = await self._entry(record, self._known[partition])
                    self.positions[partition] = record.offset + 1
                    if new is not None:
                        self._keep(new)
                        yield new

    async def entries(self, partition: int, offset: int) -> AsyncGenerator[LogEntry, None]:
        """What lies from ``offset`` on, up to the log's own position at the moment at which this ends."""
        known: OrderedDict[StreamId, int] | None = None
        while offset < self.positions[partition]:
            if offset >= self._begins[partition]:
                kept, offset = self._kept_from(partition, offset), self.positions[partition]
                for place, held in enumerate(kept):
                    if place % TURN_ENTRIES == TURN_ENTRIES - 1:
                        await asyncio.sleep(0)  # a long way from memory must not hold up everybody else
                    yield held
                continue
            if known is None:
                known = await self._versions_before(partition, offset)
            records = await self._read(partition, offset)
            for record in records:
                entry = await self._entry(record, known)
                if entry is not None:
                    yield entry
            offset = records[-1].offset + 1 if records else self._begins[partition]

    async def versions(self, start: Positions, ends: Positions) -> AsyncGenerator[tuple[StreamId, int], None]:
        """Streams and versions between two positions; from memory as far as they are there, else from the bus."""
        rest: dict[int, int] = {}
        for partition, end in ends.items():
            rest[partition] = start.get(partition, 0)
            if self.started and self._begins[partition] <= rest[partition] < self.positions[partition]:
                kept, rest[partition] = self._kept_from(partition, rest[partition]), self.positions[partition]
                for entry in kept:
                    if entry.next_offset <= end:
                        yield entry.step.event.stream, entry.step.event.version
        async for record in self.records(rest, ends):
            try:
                yield version_of(record)
            except EventUnreadable:
                continue

    async def records(self, start: Positions, ends: Positions) -> AsyncGenerator[BusRecord, None]:
        """The records between two positions, as they lie on the bus."""
        for partition, end in ends.items():
            offset = start.get(partition, 0)
            while offset < end:
                records = await self._read(partition, offset)
                if not records:
                    break
                for record in records:
                    if record.offset < end:
                        yield record
                offset = records[-1].offset + 1

    async def _read(self, partition: int, offset: int) -> Sequence[BusRecord]:
        return await self._tail.read(TopicPartition(self.topic, partition), offset, self._settings.records_max)

    async def _entry(self, record: BusRecord, known: OrderedDict[StreamId, int]) -> LogEntry | None:
        """None for a record that says nothing new, or is no event: the projector tells of those."""
        try:
            event = from_record(record)
        except EventUnreadable:
            return None
        if event.version <= known.get(event.stream, 0):
            return None
        step = await self.folder.step(event)
        self._remember(known, event.stream, event.version)
        return None if step is None else LogEntry(record.partition, record.offset + 1, step)

    async def _versions_before(self, partition: int, offset: int) -> OrderedDict[StreamId, int]:
        known: OrderedDict[StreamId, int] = OrderedDict()
        start = max(0, offset - self._settings.look_behind)
        async for record in self.records({partition: start}, {partition: offset}):
            try:
                stream, version = version_of(record)
            except EventUnreadable:
                continue
            self._remember(known, stream, max(version, known.get(stream, 0)))
        return known

    def _remember(self, known: OrderedDict[StreamId, int], stream: StreamId, version: int) -> None:
        known[stream] = version
        known.move_to_end(stream)
        if len(known) > self._settings.streams_max:
            known.popitem(last=False)

    def _keep(self, entry: LogEntry) -> None:
        kept = self._kept[entry.partition]
        kept.append(entry)
        if len(kept) > max(1, self._settings.steps_max // len(self._kept)):
            self._begins[entry.partition] = kept.popleft().next_offset

    def _kept_from(self, partition: int, offset: int) -> list[LogEntry]:
        kept = self._kept[partition]
        # The first entry whose record lies at ``offset`` or after it: its position behind is greater.
        place = bisect_left(_Behind(kept), offset + 1)
        return list(islice(kept, place, None))


class _Behind(Sequence[int]):
    """The positions behind entries, for bisecting."""

    def __init__(self, entries: "deque[LogEntry]") -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: Any) -> Any:
        return self._entries[place].next_offset

    def __iter__(self) -> Iterator[int]:
        return (entry.next_offset for entry in self._entries)
