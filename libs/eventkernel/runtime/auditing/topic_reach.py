"""How far the topic has each stream in order, and a digest of what it has there: one number and one hash a stream."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import BusTail, TopicPartition
from eventkernel.runtime.cloudevents import BrokenRecord, from_record

DIGEST_BYTES = 16
NOTHING = b""


@dataclass(frozen=True, slots=True)
class Reach:
    """Versions 1 to ``version`` lie on the topic in this order, whatever lies between and behind them."""

    version: int = 0
    digest: bytes = NOTHING

    def then(self, event: RecordedEvent) -> "Reach":
        """With the next version behind it: its id and its payload count."""
        text = b"".join((self.digest, event.event_id.bytes, event.data))
        return Reach(self.version + 1, blake2b(text, digest_size=DIGEST_BYTES).digest())


@dataclass(slots=True)
class TopicReach:
    """Reads the whole topic, and what has come since whenever it is asked to. ``repeats``: versions that were there before."""

    tail: BusTail
    topic: str
    records_max: int
    pause: Callable[[], Awaitable[None]]
    repeats: int = 0
    broken: int = 0
    streams: dict[StreamId, Reach] = field(default_factory=dict)
    _next: dict[TopicPartition, int] = field(default_factory=dict)

    async def read_on(self) -> None:
        """Up to the ends as they are now."""
        for source, end in sorted((await self.tail.end_offsets(self.topic)).items()):
            offset = self._next.get(source, 0)
            while offset < end and (records := await self.tail.read(source, offset, self.records_max)):
                for record in records:
                    try:
                        event = from_record(record)
                    except BrokenRecord:
                        self.broken += 1
                        continue
                    known = self.streams.get(event.stream, Reach())
                    if event.version == known.version + 1:
                        self.streams[event.stream] = known.then(event)
                    elif event.version <= known.version:
                        self.repeats += 1
                offset = records[-1].offset + 1
                await self.pause()
                await asyncio.sleep(0)
            self._next[source] = max(offset, end)

    def of(self, stream: StreamId) -> Reach:
        """How far a stream is there."""
        return self.streams.get(stream, Reach())
