"""The relay: from the outbox onto the bus, at least once, in order, without gaps.

A cursor moves only after the bus has acknowledged everything before it. After a failure, and when shards are taken over,
the tail of the bus is read back, so that what a predecessor published without moving its cursor is skipped, not repeated.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import BusTail, Clock, EventPublisher, Outbox, OutboxDepth, OutboxRun, ShardLeases
from eventkernel.runtime.cloudevents import WireName, to_message, version_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Named limits and intervals. ``readback_records_max`` is per partition; it covers what one round can have published."""

    shard_count: int = 16
    streams_max: int = 1_000
    events_max: int = 2_000
    poll_seconds: float = 0.05
    lease_seconds: float = 10.0
    backoff_seconds_max: float = 5.0
    readback_records_max: int = 5_000
    known_streams_max: int = 50_000


class RelayObserver(Protocol):
    """What a relay tells, for metrics."""

    def published(self, events: int, skipped: int) -> None:
        """A round ended: so many published, so many found on the bus already."""

    def failed(self, error: KernelError) -> None:
        """A round failed and will be repeated from the cursors."""

    def depth(self, depth: OutboxDepth) -> None:
        """How much waits now."""


class Relay:
    """One relay of one context. Any number may run; leases share the shards among them."""

    def __init__(
        self,
        owner: str,
        outbox: Outbox,
        publisher: EventPublisher,
        *,
        tail: BusTail,
        leases: ShardLeases,
        clock: Clock,
        topic: str,
        source: str,
        wire_name: WireName,
        settings: RelaySettings = RelaySettings(),
        observer: RelayObserver | None = None,
    ) -> None:
        self._owner = owner
        self._outbox = outbox
        self._publisher = publisher
        self._tail = tail
        self._leases = leases
        self._clock = clock
        self._topic = topic
        self._source = source
        self._wire_name = wire_name
        self._settings = settings
        self._observer = observer
        self._shards: frozenset[int] = frozenset()
        self._leased_until = 0.0
        self._on_bus: OrderedDict[StreamId, int] = OrderedDict()
        self._must_read_back = True
        self._poked = asyncio.Event()

    def poke(self, _stream: StreamId | None = None) -> None:
        """Work now instead of at the next poll."""
        self._poked.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop``; store and bus failures are waited out with backoff."""
        backoff = 0.0
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._poked.clear()
                try:
                    moved = await self.run_once()
                    backoff = 0.0
                except KernelError as error:
                    if not error.retriable:
                        raise
                    _log.warning("relay round failed, repeating from the cursors: %s", error)
                    self._must_read_back = True
                    backoff = min(self._settings.backoff_seconds_max, backoff * 2 or self._settings.poll_seconds)
                    moved = 0
                    if self._observer:
                        self._observer.failed(error)
                if not moved:
                    await self._wait(stopped, backoff or self._settings.poll_seconds)
        finally:
            stopped.cancel()
            with contextlib.suppress(KernelError):
                await self._leases.release(self._owner)

    async def run_once(self) -> int:
        """One round over the shards held: gives the number of events whose cursor moved."""
        await self._renew_leases()
        pending = await self._outbox.pending(self._shards, self._settings.streams_max)
        if not pending:
            return 0
        runs = await self._outbox.read(pending, self._settings.events_max)
        if not runs:
            return 0
        if self._must_read_back:
            await self._read_back()
        return await self._publish(runs)

    async def report_depth(self) -> OutboxDepth:
        """Ask how much waits and tell the observer."""
        depth = await self._outbox.depth()
        if self._observer:
            self._observer.depth(depth)
        return depth

    async def _publish(self, runs: Sequence[OutboxRun]) -> int:
        messages = []
        total = 0
        for run in runs:
            on_bus = self._on_bus.get(run.stream, run.published)
            for event in run.events:
                total += 1
                if event.version > on_bus:
                    messages.append(
                        to_message(event, topic=self._topic, source=self._source, wire_name=self._wire_name)
                    )
        # From here until the cursors have moved, a failure leaves records on the bus that the cursors do not know.
        self._must_read_back = True
        if messages:
            await self._publisher.publish(messages)
        moved = await self._outbox.advance(runs)
        self._must_read_back = False
        for run in runs:
            self._remember(run.stream, run.events[-1].version)
        if self._observer:
            self._observer.published(len(messages), total - len(messages))
        return sum(len(run.events) for run, ok in zip(runs, moved, strict=True) if ok)

    async def _renew_leases(self) -> None:
        now = self._clock.now().timestamp()
        if now < self._leased_until:
            return
        shards = frozenset(
            await self._leases.acquire(self._owner, self._settings.shard_count, self._settings.lease_seconds)
        )
        if shards - self._shards:
            self._must_read_back = True
        self._shards = shards
        self._leased_until = now + self._settings.lease_seconds / 3

    async def _read_back(self) -> None:
        """Learn from the tail of every partition which versions are on the bus already."""
        self._on_bus.clear()
        for partition, end in (await self._tail.end_offsets(self._topic)).items():
            offset = max(0, end - self._settings.readback_records_max)
            while offset < end:
                records = await self._tail.read(partition, offset, 1_000)
                if not records:
                    break
                for record in records:
                    stream, version = version_of(record)
                    self._remember(stream, max(version, self._on_bus.get(stream, 0)))
                offset = records[-1].offset + 1
        self._must_read_back = False

    def _remember(self, stream: StreamId, version: int) -> None:
        self._on_bus[stream] = version
        self._on_bus.move_to_end(stream)
        if len(self._on_bus) > self._settings.known_streams_max:
            self._on_bus.popitem(last=False)

    async def _wait(self, stopped: "asyncio.Task[bool]", seconds: float) -> None:
        poked = asyncio.create_task(self._poked.wait())
        timer = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({poked, timer, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            poked.cancel()
            timer.cancel()
