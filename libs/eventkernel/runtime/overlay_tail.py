"""The bus from the views' committed offsets on, followed without acknowledging anything, in bounded memory.

What the group has committed is in the views: offsets move after the transaction. So an event is dropped once an offset beyond
it was seen committed and every reading that may have begun before that has ended; a reading that begins later finds it in its
snapshot. When more is pending than may be kept, the tail stands still and says so, and goes on where it stood.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import BusRecord, BusTail, Clock, TopicPartition
from eventkernel.runtime.cloudevents import BrokenRecord, from_record
from eventkernel.runtime.overlay_pending import PendingEvents
from eventkernel.runtime.waiting import FIRST_BACKOFF_SECONDS, first_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OverlayTailSettings:
    """Named limits and intervals. ``events_max`` and ``bytes_max`` bound what is kept (bytes with a flat rate for envelopes);
    ``committed_seconds``: how old the known committed offsets may be.
    """

    events_max: int = 20_000
    bytes_max: int = 64 * 1024 * 1024
    records_max: int = 500
    poll_seconds: float = 0.02
    committed_seconds: float = 0.2
    backoff_seconds_max: float = 5.0


class OverlayTail:
    """Follows one topic behind one group. Any number may run; none of them is seen by the group."""

    def __init__(
        self,
        tail: BusTail,
        *,
        topic: str,
        group: str,
        clock: Clock,
        settings: OverlayTailSettings = OverlayTailSettings(),
    ) -> None:
        self._tail = tail
        self._topic = topic
        self._group = group
        self._clock = clock
        self._settings = settings
        self._pending = PendingEvents()
        self._next: dict[TopicPartition, int] = {}
        self._committed: Mapping[TopicPartition, int] = {}
        self._asked_at: float | None = None
        self._readings: dict[int, None] = {}
        self._begun = 0
        self._trims: deque[tuple[int, Mapping[TopicPartition, int]]] = deque()
        self._listeners: list[set[StreamId]] = []
        self._reading = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._poked = asyncio.Event()
        self.full = False
        """Whether the bound is reached: something may be pending that is not kept."""
        self.following = False
        """Whether the bus has been read and answers."""
        self.arrivals = 0
        """Grows whenever records are read."""

    @property
    def events(self) -> int:
        """How many events are kept."""
        return self._pending.events

    @property
    def bytes(self) -> int:
        """About how much memory they take."""
        return self._pending.bytes

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until ``stop``; a bus that does not answer is waited for with backoff."""
        backoff = 0.0
        while not stop.is_set():
            self._poked.clear()
            try:
                await self.catch_up()
                backoff = 0.0
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("the overlay does not follow the bus: %s", error)
                self.following = False
                backoff = min(self._settings.backoff_seconds_max, backoff * 2 or FIRST_BACKOFF_SECONDS)
            if backoff:
                await first_of(stop.wait(), self._clock.sleep(backoff))
            else:
                await first_of(stop.wait(), self._poked.wait(), self._clock.sleep(self._settings.poll_seconds))
        self.following = False

    def poke(self) -> None:
        """Look now instead of at the next poll."""
        self._poked.set()

    async def catch_up(self) -> None:
        """Read up to what is the end of the bus now, as far as there is room."""
        async with self._reading:
            ends = await self._tail.end_offsets(self._topic)
            if self._must_ask(ends):
                self._adopt(await self._tail.committed(self._group, self._topic), ends)
            read = [await self._read(source, ends[source]) for source in sorted(ends)]
            self.full = not all(read) or not self._has_room()
            self.following = True

    def tell(self, events: Iterable[RecordedEvent]) -> None:
        """Events that the command side of this process has stored: they are pending though the bus has not got them yet."""
        told = set()
        for event in events:
            # Before the first look at the bus it is not known where to wait for them; and memory has its bound.
            if self.following and self._has_room() and self._pending.tell(event):
                told.add(event.stream)
        self.full = self.full or not self._has_room()
        self._tell(iter(told))

    def listen(self) -> set[StreamId]:
        """The streams that are pending, to which every one is added whose events change; the listener takes out what it saw."""
        changed = self._pending.streams()
        self._listeners.append(changed)
        return changed

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep, until the end of the block, whatever a snapshot taken within it may lack."""
        self._begun += 1
        number = self._begun
        self._readings[number] = None
        try:
            yield
        finally:
            del self._readings[number]
            self._trim()

    def after(self, stream: StreamId, version: int) -> list[RecordedEvent]:
        """The pending events that follow a version without a gap."""
        return self._pending.after(stream, version)

    def first(self, stream: StreamId) -> int:
        """The lowest pending version; 0 where nothing is pending."""
        return self._pending.first(stream)

    def last(self, stream: StreamId) -> int:
        """The highest pending version; 0 where nothing is pending."""
        return self._pending.last(stream)

    def is_whole(self, stream: StreamId) -> bool:
        """Whether the pending versions follow one another without a gap."""
        return self._pending.is_whole(stream)

    def next_arrival(self) -> asyncio.Event:
        """Set when the next new event has been read. Taken before a look, nothing is missed between look and wait."""
        return self._arrived

    def _must_ask(self, ends: Mapping[TopicPartition, int]) -> bool:
        """At the beginning, from time to time, when memory is full, and when the bus ends before what was read of it."""
        if self._asked_at is None or self.full:
            return True
        if any(end < self._next.get(source, 0) for source, end in ends.items()):
            return True
        return not 0 <= self._clock.now().timestamp() - self._asked_at < self._settings.committed_seconds

    def _adopt(self, committed: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        """Go to the committed offsets where they are further, or where the group or the bus itself was set back."""
        self._asked_at = self._clock.now().timestamp()
        for source, end in ends.items():
            offset, known = committed.get(source, 0), self._next.get(source, 0)
            if end < known:
                _log.warning("%s/%d ends before what was read: reading it anew", source.topic, source.partition)
                self._tell(self._pending.drop(source))
                self._next[source] = min(offset, end)
            elif offset < self._committed.get(source, 0):
                # Set back: what is read once more and still pending is known by its version.
                self._trims.clear()
                self._next[source] = offset
            elif offset > known and (source not in self._next or not self._pending.ahead):
                # What was told of beforehand must be met on the bus, or nothing would let go of it.
                self._next[source] = offset
            else:
                self._next[source] = known
        self._committed = committed
        if self._trims and self._trims[-1][0] == self._begun:
            self._trims.pop()
        self._trims.append((self._begun, committed))
        self._trim()

    def _trim(self) -> None:
        oldest = next(iter(self._readings), self._begun + 1)
        while self._trims and self._trims[0][0] < oldest:
            _, committed = self._trims.popleft()
            for source, offset in committed.items():
                self._tell(self._pending.trim(source, offset))

    async def _read(self, source: TopicPartition, end: int) -> bool:
        """Read a partition up to its end; False where memory was full before."""
        while self._next[source] < end:
            if not self._has_room() and not self._pending.ahead:
                return False
            records = await self._tail.read(source, self._next[source], self._settings.records_max)
            if not self._take(source, records):
                return False
            if not records:
                self._next[source] = end
        return True

    def _take(self, source: TopicPartition, records: Sequence[BusRecord]) -> bool:
        """Add what is neither in the views nor known; False at the first event that there is no room for."""
        committed = self._committed.get(source, 0)
        new = set()
        whole = True
        for record in records:
            try:
                event = from_record(record)
            except BrokenRecord:
                event = None  # the projector names and counts it
            if event is not None and (self._pending.has(event) or record.offset >= committed):
                if not self._has_room() and not self._pending.has(event):
                    whole = False
                    break
                if self._pending.add(source, record.offset, event):
                    new.add(event.stream)
            self._next[source] = record.offset + 1
        if records:
            self.arrivals += 1
        if new:
            self._tell(iter(new))
            arrived, self._arrived = self._arrived, asyncio.Event()
            arrived.set()
        return whole

    def _has_room(self) -> bool:
        return self._pending.events < self._settings.events_max and self._pending.bytes < self._settings.bytes_max

    def _tell(self, streams: Iterator[StreamId]) -> None:
        for stream in streams:
            for changed in self._listeners:
                changed.add(stream)
