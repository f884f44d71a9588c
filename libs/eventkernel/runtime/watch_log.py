"""The newest steps of a topic, read once and kept in memory for all who follow it; older ones are read again from the bus."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from eventkernel.errors import EventUnreadable
from eventkernel.filters import Filter
from eventkernel.ids import StreamId
from eventkernel.ports import BusRecord, BusTail, TopicPartition
from eventkernel.runtime.cloudevents import from_record, version_of
from eventkernel.runtime.watch_kept import KeptSteps, LogEntry, Place, demanded, indexed_columns, of_tenant
from eventkernel.runtime.watch_known import KnownVersions
from eventkernel.runtime.watch_past import Block, PastSteps
from eventkernel.runtime.watch_steps import StepFolder

Positions: TypeAlias = Mapping[int, int]
"""By partition: the offset of the next record to look at."""

TURN_ENTRIES = 256
"""Entries given from memory in one turn of the event loop."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Named limits: steps kept in memory, records read at once, and how far before a position to look for repeated records;
    streams whose versions are known by partition; blocks of older steps (``records_max`` each) kept after they were read again.
    """

    steps_max: int = 50_000
    records_max: int = 500
    look_behind: int = 1_000
    streams_max: int = 100_000
    past_blocks_max: int = 48


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
        self.columns = indexed_columns(folder.view)
        self.positions: dict[int, int] = {}
        self._tail = tail
        self._settings = settings
        self._begins: dict[int, int] = {}
        self._kept: dict[int, KeptSteps] = {}
        self._known: dict[int, KnownVersions] = {}
        self._past = PastSteps(self._block, settings.past_blocks_max)
        self._past_folder = folder.apart(states_max=settings.past_blocks_max * settings.records_max)

    @property
    def started(self) -> bool:
        """Whether it has a position to follow from."""
        return bool(self.positions)

    async def start(self) -> None:
        """Take the end of the topic as the beginning."""
        ends = await self.ends()
        self._known = {partition: await self._versions_before(partition, end) for partition, end in ends.items()}
        self._kept = {partition: KeptSteps(self.columns) for partition in ends}
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
                    new = await self._entry(record, self._known[partition], self.folder)
                    self.positions[partition] = record.offset + 1
                    if new is not None:
                        self._keep(new)
                        yield new

    async def entries(
        self, partition: int, offset: int, *, places: Sequence[Place] = ()
    ) -> AsyncGenerator[LogEntry, None]:
        """What lies from ``offset`` on, up to the log's own position at the moment at which this ends.

        With ``places``, of ``columns`` that entries are found by, only what has one of them.
        """
        while offset < self.positions[partition]:
            if offset >= self._begins[partition]:
                found, offset = self._kept[partition].after(offset, places), self.positions[partition]
            else:
                size = self._settings.records_max
                block = await self._past.block(partition, offset // size * size)
                found, offset = block.steps.after(offset, places), max(block.ends, offset + 1)
            for place, held in enumerate(found):
                if place % TURN_ENTRIES == TURN_ENTRIES - 1:
                    await asyncio.sleep(0)  # a long way from memory must not hold up everybody else
                yield held

    def places(self, tenant: str, where: Filter) -> list[Place]:
        """Where ``entries`` finds what may concern a filter: by the values it demands, else all of the tenant's."""
        found = demanded(where, self.columns)
        return [of_tenant(tenant)] if found is None else [(tenant, found[0], value) for value in found[1]]

    async def ahead(self, start: Positions) -> tuple[dict[StreamId, int], dict[int, int]]:
        """The streams of which something lies on the bus from ``start`` on, with their last version there; and up to where.

        From memory as far as it is there, else from the bus.
        """
        ends = await self.ends()
        found: dict[StreamId, int] = {}
        rest: dict[int, int] = {}
        for partition, end in ends.items():
            rest[partition] = start.get(partition, 0)
            if self.started and self._known[partition].covers_from <= rest[partition] <= self.positions[partition]:
                found.update(self._known[partition].since(rest[partition]))
                rest[partition] = self.positions[partition]
                ends[partition] = max(end, self.positions[partition])
        async for record in self.records(rest, ends):
            try:
                stream, version = version_of(record)
            except EventUnreadable:
                continue
            found[stream] = max(version, found.get(stream, 0))
        return found, ends

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

    async def _block(self, partition: int, begins: int) -> Block:
        """Steps of the records from ``begins`` on, ``records_max`` of them, which others need not read again."""
        ends = begins + self._settings.records_max
        whole = ends <= self.positions[partition]
        known = await self._versions_before(partition, begins)
        steps = KeptSteps(self.columns)
        records = await self._read(partition, begins)
        for record in records:
            if record.offset < ends:
                entry = await self._entry(record, known, self._past_folder)
                if entry is not None:
                    steps.add(entry)
        if not records:
            ends = self._begins[partition]
        elif records[0].offset >= ends:
            ends = records[0].offset  # nothing is left of what lay in between
        elif not whole:
            ends = records[-1].offset + 1
        return Block(steps, ends, whole)

    async def _entry(self, record: BusRecord, known: KnownVersions, folder: StepFolder[Any]) -> LogEntry | None:
        """None for a record that says nothing new, or is no event: the projector tells of those."""
        try:
            event = from_record(record)
        except EventUnreadable:
            return None
        if event.version <= known.version(event.stream):
            return None
        step = await folder.step(event)
        known.remember(event.stream, event.version, record.offset + 1)
        return None if step is None else LogEntry(record.partition, record.offset + 1, step)

    async def _versions_before(self, partition: int, offset: int) -> KnownVersions:
        start = max(0, offset - self._settings.look_behind)
        known = KnownVersions(start, self._settings.streams_max)
        async for record in self.records({partition: start}, {partition: offset}):
            try:
                stream, version = version_of(record)
            except EventUnreadable:
                continue
            known.remember(stream, max(version, known.version(stream)), record.offset + 1)
        return known

    def _keep(self, entry: LogEntry) -> None:
        kept = self._kept[entry.partition]
        kept.add(entry)
        if len(kept) > max(1, self._settings.steps_max // len(self._kept)):
            self._begins[entry.partition] = kept.drop().next_offset
