"""Adapters around real adapters that fail where stores, networks and processes fail, by script or by chance.

With every rate at 0 each of them passes the contract suite of its port, and ``FaultyEventStore`` passes it with unknown
outcomes as well, because the port allows them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventkernel.errors import PublishFailed, StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports import (
    AppendOutcome,
    BusMessage,
    BusRecord,
    Checkpoint,
    CommandRecord,
    Entry,
    EventPublisher,
    EventStore,
    EventSubscription,
    JointChange,
    Loaded,
    Outbox,
    OutboxDepth,
    OutboxRun,
    ParkedEvent,
    PendingStream,
    Position,
    StreamChange,
    TopicPartition,
    Unknown,
    ViewCatalogue,
    ViewNotes,
    ViewReading,
    ViewStatus,
    ViewStore,
    ViewTransaction,
)
from eventkernel.ports.event_store import checked
from eventkernel.view import View


class Crash(BaseException):
    """The process dies here. Not an ``Exception``: nothing that handles errors may handle it."""


class Faults:
    """Which fault strikes next. ``rates`` are chances by name; ``script`` names faults that are certain, once each time."""

    def __init__(self, seed: int = 0, **rates: float) -> None:
        self.random = Random(seed)  # noqa: S311 - a seeded history, not a secret
        self._rates = rates
        self._certain: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def script(self, name: str, times: int = 1) -> None:
        """The fault strikes at its next occasions."""
        self._certain[name] += times

    def quiet(self) -> None:
        """No more faults."""
        self._rates = {}
        self._certain.clear()

    def strikes(self, name: str) -> bool:
        """Whether the fault strikes now."""
        if self._certain[name]:
            self._certain[name] -= 1
        elif not self._rates.get(name) or self.random.random() >= self._rates[name]:
            return False
        self.struck[name] += 1
        return True

    async def pause(self) -> None:
        """Let others run, for a few turns of the event loop where ``turns`` is among the rates, else not at all."""
        if "turns" in self._rates:
            for _ in range(self.random.randrange(4)):
                await asyncio.sleep(0)


class FaultyEventStore:
    """``EventStore``. Faults: ``append_refused`` (nothing happens), ``append_lost`` (unknown, not stored), ``append_stored``
    (unknown, stored), ``append_late`` (unknown, and tried once more behind the caller's back), ``read_failed``.
    """

    def __init__(self, inner: EventStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self._late: set[asyncio.Task[AppendOutcome]] = set()
        self._closed = False

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Append, with faults."""
        checked(entries)
        if self._closed:
            raise StoreUnavailable("faulty", "closed")
        await self._faults.pause()
        if self._faults.strikes("append_refused"):
            raise StoreUnavailable("faulty", "refused before anything was done")
        if self._faults.strikes("append_lost"):
            return Unknown("the request was lost")
        if self._faults.strikes("append_late"):
            task = asyncio.create_task(self._append_late(stream, expected, entries))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return Unknown("the request is on its way")
        outcome = await self._inner.append(stream, expected, entries)
        await self._faults.pause()
        if self._faults.strikes("append_stored"):
            return Unknown("the reply was lost")
        return outcome

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Read, with faults."""
        await self._read()
        return await self._inner.load(stream, after=after, up_to=up_to, events_max=events_max)

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """Read, with faults."""
        await self._read()
        return await self._inner.find_command(stream, command_id)

    async def close(self) -> None:
        """After what is late has landed."""
        self._closed = True
        await self.landed()
        await self._inner.close()

    async def landed(self) -> None:
        """Return when nothing is on its way any more."""
        while self._late:
            await asyncio.wait(set(self._late))

    async def _append_late(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        for _ in range(self._faults.random.randrange(12)):
            await asyncio.sleep(0)
        return await self._inner.append(stream, expected, entries)

    async def _read(self) -> None:
        await self._faults.pause()
        if self._faults.strikes("read_failed"):
            raise StoreUnavailable("faulty", "no answer to a read")


class FaultyPublisher:
    """``EventPublisher``. Faults: ``publish_refused``, ``publish_cut`` (only the first part arrives), ``publish_holed`` (a
    record in the middle is missing), ``publish_unacknowledged`` (all arrives), ``publish_crash`` (all arrives, the process
    dies). ``poison`` is a key of which nothing is ever taken.
    """

    def __init__(self, inner: EventPublisher, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self.poison: bytes | None = None

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Publish, with faults."""
        await self._faults.pause()
        topic = messages[0].topic if messages else ""
        if self._faults.strikes("publish_refused"):
            raise PublishFailed(topic, "refused")
        if any(message.key == self.poison for message in messages):
            raise PublishFailed(topic, "a record is too large")
        if self._faults.strikes("publish_cut"):
            await self._inner.publish(messages[: self._faults.random.randrange(len(messages))])
            raise PublishFailed(topic, "cut off")
        if self._faults.strikes("publish_holed"):
            hole = self._faults.random.randrange(len(messages))
            await self._inner.publish([*messages[:hole], *messages[hole + 1 :]])
            raise PublishFailed(topic, "a record timed out")
        await self._inner.publish(messages)
        if self._faults.strikes("publish_unacknowledged"):
            raise PublishFailed(topic, "acknowledgements were lost")
        if self._faults.strikes("publish_crash"):
            raise Crash
        await self._faults.pause()

    async def close(self) -> None:
        """Close."""
        await self._inner.close()


class FaultyOutbox:
    """``Outbox``. Faults: ``outbox_failed`` (any read), ``advance_failed`` (not done), ``advance_unknown`` (done)."""

    def __init__(self, inner: Outbox, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """Read, with faults."""
        await self._read()
        return await self._inner.pending(shards, streams_max)

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """Read, with faults."""
        await self._read()
        return await self._inner.read(streams, events_max)

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """Advance, with faults."""
        await self._faults.pause()
        if self._faults.strikes("advance_failed"):
            raise StoreUnavailable("faulty", "cursors not moved")
        moved = await self._inner.advance(runs)
        if self._faults.strikes("advance_unknown"):
            raise StoreUnavailable("faulty", "no answer to moving cursors")
        return moved

    async def depth(self) -> OutboxDepth:
        """How much waits."""
        return await self._inner.depth()

    async def _read(self) -> None:
        await self._faults.pause()
        if self._faults.strikes("outbox_failed"):
            raise StoreUnavailable("faulty", "no answer from the outbox")


class FaultySubscription:
    """``EventSubscription``. Faults: ``poll_failed``, ``poll_again`` (a rewind nobody asked for), ``commit_failed`` (not
    done), ``rewind_failed``.
    """

    def __init__(self, inner: EventSubscription, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """Poll, with faults."""
        if self._faults.strikes("poll_failed"):
            raise StoreUnavailable("faulty", "the bus does not answer")
        if self._faults.strikes("poll_again"):
            await self._inner.rewind()
        return await self._inner.poll(records_max, timeout_seconds)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, with faults."""
        if self._faults.strikes("commit_failed"):
            raise StoreUnavailable("faulty", "offsets not committed")
        await self._inner.commit(offsets)

    async def rewind(self) -> None:
        """Rewind, with faults."""
        if self._faults.strikes("rewind_failed"):
            raise StoreUnavailable("faulty", "not rewound")
        await self._inner.rewind()

    async def close(self) -> None:
        """Close."""
        await self._inner.close()


class FaultyViewStore:
    """``ViewStore``. Faults: ``begin_failed``, ``rolled_back`` (at the commit), ``committed_unknown`` (committed, and the
    answer lost). Streams in ``refused`` cannot be saved: their rows break a rule of the table, in all views or in one.
    """

    def __init__(self, inner: ViewStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self.refused: dict[StreamId, str | None] = {}

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Prepare."""
        if self._faults.strikes("begin_failed"):
            raise StoreUnavailable("faulty", "no connection")
        await self._inner.prepare(views)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ViewTransaction]:
        """A transaction, with faults."""
        if self._faults.strikes("begin_failed"):
            raise StoreUnavailable("faulty", "no connection")
        async with self._inner.transaction() as transaction:
            yield _FaultyTransaction(transaction, self.refused)
            if self._faults.strikes("rolled_back"):
                raise StoreUnavailable("faulty", "rolled back")
        if self._faults.strikes("committed_unknown"):
            raise StoreUnavailable("faulty", "no answer to the commit")

    def reading(self) -> AbstractAsyncContextManager[ViewReading]:
        """Read."""
        return self._inner.reading()

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts."""
        return await self._inner.status(views)

    async def close(self) -> None:
        """Close."""
        await self._inner.close()


class RowRefused(Exception):
    """What a driver says of a value that does not fit its column."""


class _FaultyTransaction:
    def __init__(self, inner: ViewTransaction, refused: Mapping[StreamId, str | None]) -> None:
        self._inner = inner
        self._refused = refused

    @property
    def catalogue(self) -> ViewCatalogue:
        return self._inner.catalogue

    @property
    def notes(self) -> ViewNotes:
        return self._inner.notes

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        return await self._inner.load(view, streams)

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        self._refuse(view, steps)
        await self._inner.save(view, steps)

    async def advance(self, joint: Sequence[JointChange]) -> None:
        for change in joint:
            for view, steps in change.steps:
                self._refuse(view, steps)
        await self._inner.advance(joint)

    def _refuse(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        for step in steps:
            if step.stream in self._refused and self._refused[step.stream] in (None, view.name):
                raise RowRefused(step.stream.key)

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        return await self._inner.parked(view, streams)

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        await self._inner.park(view, events)

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        await self._inner.unpark(view, stream, up_to)


if TYPE_CHECKING:
    _: tuple[
        type[EventStore],
        type[EventPublisher],
        type[Outbox],
        type[EventSubscription],
        type[ViewStore],
        type[ViewTransaction],
    ] = (FaultyEventStore, FaultyPublisher, FaultyOutbox, FaultySubscription, FaultyViewStore, _FaultyTransaction)
