"""The relay: from the outbox onto the bus, at least once, in order, without gaps.

A cursor moves only after the bus has acknowledged everything before it. After a failure, and when shards are taken over,
the tail of the bus is read back, so that what a predecessor published without moving its cursor is skipped, not repeated.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from eventkernel import failpoints, marks
from eventkernel.errors import KernelError, PublishFailed
from eventkernel.ids import StreamId
from eventkernel.ports import (
    BusTail,
    Clock,
    EventPublisher,
    Outbox,
    OutboxDepth,
    OutboxRun,
    PendingStream,
    ShardLeases,
)
from eventkernel.runtime.bus_knowledge import BusKnowledge
from eventkernel.runtime.cloudevents import WireName, to_message
from eventkernel.runtime.cursors import Cursors
from eventkernel.runtime.tracing import log_events
from eventkernel.runtime.waiting import first_of, gather

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Named limits and intervals. ``gather_seconds``: how far the beginnings of rounds that are not full lie apart at least,
    so that events which come one by one share a round; the first after a pause does not wait.
    ``cursor_seconds``: how long a cursor may wait so that one write moves it over several rounds' events.
    ``cursors_behind_max``: events published whose cursors have not moved, beyond which no round begins;
    ``readback_records_max``, which is per partition, covers them.
    ``apart_failures_max``: streams in a row that fail to be published apart before the whole round is given up.
    """

    shard_count: int = 16
    streams_max: int = 1_000
    events_max: int = 2_000
    poll_seconds: float = 0.05
    gather_seconds: float = 0.0
    cursor_seconds: float = 0.0
    cursors_behind_max: int = 5_000
    lease_seconds: float = 10.0
    backoff_seconds_max: float = 5.0
    readback_records_max: int = 5_000
    known_streams_max: int = 50_000
    apart_failures_max: int = 3
    depth_seconds: float = 5.0


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
        self._leased_at = -settings.lease_seconds
        self._depth_at = -settings.depth_seconds
        self._on_bus = BusKnowledge(settings.known_streams_max)
        self._cursors = Cursors(outbox, clock, seconds=settings.cursor_seconds, events_max=settings.cursors_behind_max)
        self._must_read_back = True
        self._apart = False
        self._poked = asyncio.Event()

    def poke(self, _stream: StreamId | None = None) -> None:
        """Work now instead of at the next poll."""
        self._poked.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop``; store and bus failures are waited out with backoff."""
        backoff = 0.0
        try:
            while not stop.is_set():
                self._poked.clear()
                began = self._clock.now()
                published = 0
                try:
                    published = await self.publish_once()
                    await self._report()
                    backoff = 0.0
                except KernelError as error:
                    if not error.retriable:
                        raise
                    _log.warning("relay round failed, repeating from the cursors: %s", error)
                    marks.hit("relay: a round failed, from the cursors again")
                    self._must_read_back = True
                    backoff = min(self._settings.backoff_seconds_max, backoff * 2 or self._settings.poll_seconds)
                    if self._observer:
                        self._observer.failed(error)
                if backoff:
                    # A poke means new events, not that what failed works again.
                    await first_of(stop.wait(), self._clock.sleep(backoff))
                elif not published:
                    poll = self._clock.sleep(self._settings.poll_seconds)
                    # What is on its way may have taken the round's place.
                    await first_of(stop.wait(), self._poked.wait(), self._cursors.batch(), poll)
                elif published < self._settings.events_max:
                    await gather(stop, self._clock, began, self._settings.gather_seconds)
        finally:
            with contextlib.suppress(KernelError):
                await self._cursors.settled()
            with contextlib.suppress(KernelError):
                await self._leases.release(self._owner)

    async def run_once(self) -> int:
        """One round over the shards held, and its cursors: gives the number of events whose cursor moved."""
        try:
            await self.publish_once()
        except KernelError:
            with contextlib.suppress(KernelError):
                await self._cursors.settled()
            raise
        return await self.settle()

    async def settle(self) -> int:
        """Wait for the cursors on their way: gives the number of events that cursors moved over since this was last asked."""
        return await self._cursors.settled()

    async def publish_once(self) -> int:
        """One round that leaves its cursors to move by themselves: gives the number of events that it brought onto the bus."""
        await self._cursors.room()
        await self._renew_leases()
        pending = [
            self._beyond(found) for found in await self._outbox.pending(self._shards, self._settings.streams_max)
        ]
        if not pending:
            return 0
        runs = await self._outbox.read(pending, self._settings.events_max)
        if not runs:
            return 0
        if self._must_read_back:
            await self._on_bus.read_back(self._tail, self._topic, self._settings.readback_records_max)
            marks.hit("relay: the tail was read back")
            self._must_read_back = False
        if self._apart:
            return await self._publish_apart(runs)
        try:
            return await self._publish(runs)
        except PublishFailed:
            self._apart = True
            raise

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
            on_bus = self._on_bus.reaches(run.stream, run.published)
            total += len(run.events)
            messages += [
                to_message(event, topic=self._topic, source=self._source, wire_name=self._wire_name)
                for event in run.events
                if event.version > on_bus
            ]
        if len(messages) < total:
            marks.hit("relay: what is on the bus already was skipped")
        # From here until it is known what is on the bus, a failure leaves records there that the cursors do not know.
        self._must_read_back = True
        if messages:
            failpoints.reached("relay-frozen-past-lease")
            await failpoints.under_way("produced-not-acknowledged", self._publisher.publish(messages))
            failpoints.reached("acknowledged-cursor-not-moved")
        for run in runs:
            self._on_bus.saw(run.stream, (event.version for event in run.events))
        self._must_read_back = False
        self._cursors.add(runs)
        if self._observer:
            self._observer.published(len(messages), total - len(messages))
        log_events(_log, "published", itertools.chain.from_iterable(run.events for run in runs))
        return total

    async def _publish_apart(self, runs: Sequence[OutboxRun]) -> int:
        """After a failure, stream by stream: one that the bus will not take holds up itself and nobody else."""
        moved = 0
        in_a_row = 0
        failed: PublishFailed | None = None
        for run in runs:
            try:
                moved += await self._publish([run])
                in_a_row = 0
            except PublishFailed as error:
                _log.error("%s from version %d on: %s", run.stream.key, run.published + 1, error)
                failed = error
                in_a_row += 1
                if in_a_row >= self._settings.apart_failures_max:
                    raise
        if failed is not None:
            self._must_read_back = True
            raise failed
        marks.hit("relay: every stream went through apart")
        self._apart = False
        return moved

    def _beyond(self, found: PendingStream) -> PendingStream:
        """Leave out what is on the bus while its cursor is on the way."""
        reached = self._cursors.reached(found.stream)
        if not reached:
            return found
        marks.hit("relay: began beyond a cursor on its way")
        return replace(found, after=reached)

    async def _renew_leases(self) -> None:
        now = self._clock.now().timestamp()
        if 0 <= now - self._leased_at < self._settings.lease_seconds / 3:
            return
        shards = frozenset(
            await self._leases.acquire(self._owner, self._settings.shard_count, self._settings.lease_seconds)
        )
        if shards - self._shards:
            marks.hit("relay: shards were taken over")
            # Whoever had them before may have published without moving the cursors.
            self._must_read_back = True
        self._shards = shards
        self._leased_at = now

    async def _report(self) -> None:
        now = self._clock.now().timestamp()
        if self._observer and not 0 <= now - self._depth_at < self._settings.depth_seconds:
            self._depth_at = now
            await self.report_depth()
