"""The projector: from the bus into the rows of views, each event's effect exactly once.

Rows and per-stream checkpoints change in one transaction; bus offsets are committed afterwards and are only a hint. A version
already folded is dropped, a version too high is a gap and is filled from the journal, another event under a known version
is a divergence. An event that a view cannot fold is parked with everything after it of its stream; other streams flow.

There are two ways to do it. Where all is in order, as it nearly always is, events are folded before the store is asked, once
for all views that fold alike, and the transaction compares the checkpoints while it moves them. Anything else takes the long
way: checkpoints are loaded and locked, view by view, and what is found decides. While a full batch is written the short way
the next one is read and folded.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from eventkernel import failpoints, marks
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import Divergence, KernelError, StoreMismatch
from eventkernel.ids import StreamId
from eventkernel.ports import (
    BusRecord,
    Clock,
    EventStore,
    EventSubscription,
    ParkedEvent,
    StreamChange,
    TopicPartition,
    ViewStore,
    ViewTransaction,
)
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.cloudevents import BrokenRecord, from_record
from eventkernel.runtime.failures import told
from eventkernel.runtime.stream_fold import Decode, Events, Gap, fold_stream, in_order
from eventkernel.runtime.tracing import log_events
from eventkernel.runtime.view_states import ViewStates
from eventkernel.runtime.views_alike import FoldedGroup, Standing, alike, fold_ahead
from eventkernel.runtime.waiting import FIRST_BACKOFF_SECONDS, first_of, gather
from eventkernel.view import View

_log = logging.getLogger(__name__)

E = TypeVar("E")

DECODED_BATCHES = 3
"""Batches' worth of decoded events that are remembered: the one that is written, the one after it, and some."""

RECORDS_IN_TURN = 128
"""So many records are read until others have a turn of the event loop."""


@dataclass(frozen=True, slots=True)
class ProjectorSettings:
    """Named limits: records taken in one poll and folded in one transaction; how long a poll waits; states kept in memory.

    ``gather_seconds``: how far the beginnings of batches that are not full lie apart at least, so that records which come one
    by one share a transaction; the first after a pause does not wait. ``reads_ahead``: whether the next batch is read and
    folded while a full one is written.
    """

    records_max: int = 1_000
    poll_seconds: float = 0.5
    gather_seconds: float = 0.0
    backoff_seconds_max: float = 5.0
    states_max: int = 50_000
    reads_ahead: bool = True


OnFolded: TypeAlias = Callable[[View[Any, Any], Sequence[tuple[StreamChange, Any]]], None]
"""Hears the committed steps of a view, each with the state it led to: what a cache of rows is written through by."""


class ProjectorObserver(Protocol):
    """What a projector tells, for metrics."""

    def applied(self, view: str, events: int, duplicates: int) -> None:
        """A transaction was committed."""

    def parked(self, view: str, stream: StreamId, error: str) -> None:
        """A stream of a view waits behind an event that could not be folded."""

    def gap(self, view: str, stream: StreamId, missing: int) -> None:
        """Versions were missing on the bus and are read from the journal."""

    def broken(self, error: BrokenRecord) -> None:
        """A record on the topic is not an event."""

    def failed(self, error: KernelError) -> None:
        """A batch failed as a whole and will be repeated."""


class _Gaps(Exception):
    """Raised inside the transaction to leave it: the journal is asked for what is missing, and the batch begins again."""

    def __init__(self, view: str, gaps: Sequence[Gap]) -> None:
        super().__init__(f"{len(gaps)} gaps in {view}")
        self.view = view
        self.gaps = gaps


@dataclass(slots=True)
class _Batch:
    """What one poll gave. ``folded``: what its events come to, where that could be told without the store's checkpoints."""

    records: Sequence[BusRecord]
    events: Mapping[StreamId, Sequence[RecordedEvent]]
    folded: Sequence[FoldedGroup] | None = None


@dataclass(slots=True)
class _Moved:
    """What one transaction did to one view, told once it is committed."""

    view: View[Any, Any]
    steps: list[tuple[StreamChange, Any]] = field(default_factory=list)
    parked: list[ParkedEvent] = field(default_factory=list)
    duplicates: int = 0


class Projector(Generic[E]):
    """Folds the events of one subscription into views. The subscription is its own: it takes records before it applies them."""

    def __init__(
        self,
        views: Sequence[View[Any, E]],
        subscription: EventSubscription,
        store: ViewStore,
        *,
        journal: EventStore,
        decode: Decode[E],
        clock: Clock,
        settings: ProjectorSettings = ProjectorSettings(),
        observer: ProjectorObserver | None = None,
        on_applied: Callable[[], None] | None = None,
        on_folded: OnFolded | None = None,
    ) -> None:
        self._views = tuple(views)
        self._subscription = subscription
        self._store = store
        self._journal = journal
        # Every view folds the same event, and a batch that failed is folded again: it is decoded once.
        self._decode: Decode[E] = ByIdentity(decode, DECODED_BATCHES * settings.records_max)
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._on_applied = on_applied
        self._on_folded = on_folded
        self._groups = alike(self._views)
        self._states = ViewStates(settings.states_max, self._groups)
        self._following: _Batch | None = None
        self._folded_at = clock.now()

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until ``stop``; store and bus failures are waited out with backoff, the batch being read again."""
        backoff = 0.0
        rewind = False
        while not stop.is_set():
            try:
                if rewind:
                    # Polling on without it would leave the failed batch behind, and its offsets be committed over it.
                    await self._subscription.rewind()
                    rewind = False
                taken = await self.run_once()
                backoff = 0.0
                if taken < self._settings.records_max:
                    await gather(stop, self._clock, self._folded_at, self._settings.gather_seconds)
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("projector batch failed, repeating it: %s", error)
                marks.hit("projector: a batch failed, read again")
                rewind = True
                self._states.clear()
                if self._observer:
                    self._observer.failed(error)
                backoff = min(self._settings.backoff_seconds_max, backoff * 2 or FIRST_BACKOFF_SECONDS)
                await first_of(stop.wait(), self._clock.sleep(backoff))

    async def run_once(self) -> int:
        """One batch, a poll's: gives the number of records taken. Behind a full one the next is read and folded beforehand."""
        try:
            return await self._one()
        except BaseException:
            self._following = None  # whoever goes on after this reads again from the offsets that are committed
            raise

    async def _one(self) -> int:
        batch, self._following = self._following, None
        if batch is None:
            batch = await self._polled(self._settings.poll_seconds)
            if batch is None:
                return 0
            batch.folded = await self._fold_ahead(batch.events, self._states.known)
        self._folded_at = self._clock.now()
        failpoints.reached("two-consumers-in-rebalance")
        failure: KernelError | None = None
        full = len(batch.records) >= self._settings.records_max
        if full and self._settings.reads_ahead and batch.folded is not None:
            failure = await self._write_and_look_ahead(batch, batch.folded)
        else:
            await self._write(batch)
        failpoints.reached("postgres-committed-offset-not")
        log_events(_log, "applied", itertools.chain.from_iterable(batch.events.values()))
        if self._on_applied:
            self._on_applied()
        await self._subscription.commit(next_offsets(batch.records))
        if failure is not None:
            raise failure
        return len(batch.records)

    async def _polled(self, seconds: float) -> _Batch | None:
        records = await self._subscription.poll(self._settings.records_max, seconds)
        if not records:
            return None
        events: dict[StreamId, list[RecordedEvent]] = {}
        for at in range(0, len(records), RECORDS_IN_TURN):
            if at:
                await asyncio.sleep(0)
            for stream, run in events_by_stream(records[at : at + RECORDS_IN_TURN], self._broken).items():
                events.setdefault(stream, []).extend(run)
        return _Batch(records, {stream: in_order(run) for stream, run in events.items()})

    async def _write_and_look_ahead(self, batch: _Batch, folded: Sequence[FoldedGroup]) -> KernelError | None:
        """Write the batch, and meanwhile read and fold what comes after it. Gives the error of reading, to be told later."""
        reached = {(group.group.first.table, stream): at for group in folded for stream, at in group.reached.items()}

        def known(view: View[Any, E], stream: StreamId) -> Standing | None:
            return reached.get((view.table, stream)) or self._states.known(view, stream)

        failure: KernelError | None = None
        following: _Batch | None = None
        writing = asyncio.create_task(self._write(batch), name="projector-write")
        try:
            following = await self._polled(0.0)
            if following is not None:
                following.folded = await self._fold_ahead(following.events, known)
        except KernelError as error:
            failure = error
        except BaseException:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            raise
        as_thought = await writing
        if following is not None and not as_thought:
            following.folded = await self._fold_ahead(following.events, self._states.known)
        self._following = following
        return failure

    async def _write(self, batch: _Batch) -> bool:
        """Whether the batch came to what it was thought to come to."""
        if batch.folded is None or not await self._advanced(batch.folded):
            await self._apply_carefully(batch.events)
            return False
        return True

    async def _fold_ahead(
        self,
        events: Mapping[StreamId, Sequence[RecordedEvent]],
        known: Callable[[View[Any, E], StreamId], Standing | None],
    ) -> Sequence[FoldedGroup] | None:
        try:
            return await fold_ahead(self._groups, events, known, fold=fold_stream, decode=self._decode)
        except Exception:  # noqa: BLE001 - found again on the long way, which knows what to do about it
            return None

    async def _advanced(self, folded: Sequence[FoldedGroup]) -> bool:
        """Save what was folded ahead; False where the store does not stand where it was thought to, or refuses a row."""
        try:
            async with self._store.transaction() as transaction:
                await transaction.advance([group.change for group in folded])
        except Exception as error:
            if _will_pass(error):
                raise
            marks.hit("projector: the store was not where it was thought to be")
            for group in folded:
                self._states.forget(group.group.first, group.reached)
            return False
        for group in folded:
            self._states.keep(group.group.first, group.reached)
            states = [state for _, state in group.reached.values()]
            for view, steps in group.change.steps:
                self._heard(_Moved(view, list(zip(steps, states, strict=True)), duplicates=group.repeated))
        told = {view.table for group in folded for view in group.group.views}
        for view in self._views:
            if view.table not in told:
                self._heard(_Moved(view))
        return True

    async def apply(self, events: Events) -> None:
        """Fold events into every view: all in one transaction, or where that fails for a reason that will not pass, stream
        by stream, so that a row which the store refuses holds up its own stream and no other.
        """
        wanted = {stream: in_order(run) for stream, run in events.items()}
        await self._write(_Batch((), wanted, await self._fold_ahead(wanted, self._states.known)))

    async def _apply_carefully(self, events: Mapping[StreamId, Sequence[RecordedEvent]]) -> None:
        try:
            await self._apply(self._views, events)
        except Exception as error:
            if _will_pass(error):
                raise
            _log.warning("batch of %d streams failed, applying them one by one: %s", len(events), type(error).__name__)
            self._states.clear()
            for stream, run in events.items():
                for view in self._views:
                    if stream.category in view.categories:
                        await self._apply_apart(view, stream, run)

    async def _apply_apart(self, view: View[Any, E], stream: StreamId, run: Sequence[RecordedEvent]) -> None:
        """One event at a time; the one that fails is parked with those after it."""
        for place, event in enumerate(run):
            try:
                await self._apply((view,), {stream: [event]})
            except Exception as error:
                if _will_pass(error):
                    raise
                self._states.clear()
                first = ParkedEvent(event, told(error, event), self._clock.now())
                parked = [first, *map(self._behind, run[place + 1 :])]
                async with self._store.transaction() as transaction:
                    await transaction.park(view, parked)
                self._tell_parked(view, parked)
                return

    async def _apply(self, views: Sequence[View[Any, E]], events: Mapping[StreamId, Sequence[RecordedEvent]]) -> None:
        wanted = dict(events)
        unfilled: dict[StreamId, str] = {}
        while True:
            try:
                async with self._store.transaction() as transaction:
                    moved = [await self._fold_view(transaction, view, wanted, unfilled) for view in views]
            except _Gaps as found:
                for gap in found.gaps:
                    await self._fill(found.view, gap, wanted, unfilled)
                continue
            for result in moved:
                self._tell(result)
            return

    async def _fold_view(
        self,
        transaction: ViewTransaction,
        view: View[Any, E],
        events: Mapping[StreamId, Sequence[RecordedEvent]],
        unfilled: Mapping[StreamId, str],
    ) -> _Moved:
        moved = _Moved(view)
        streams = sorted(stream for stream in events if stream.category in view.categories)
        if not streams:
            return moved
        checkpoints = await transaction.load(view, streams)
        lanes = await transaction.parked(view, streams)
        gaps: list[Gap] = []
        for stream in streams:
            run, checkpoint = events[stream], checkpoints[stream]
            if stream in lanes:
                last = lanes[stream][-1].event.version
                moved.parked += [self._behind(event) for event in run if event.version > last]
                continue
            before = self._states.get(view, stream, checkpoint)
            folded = fold_stream(view, stream, checkpoint, before, run, decode=self._decode)
            if folded.repeated:
                marks.hit("projector: what was folded before was dropped")
            moved.duplicates += folded.repeated
            if folded.step is not None:
                moved.steps.append((folded.step, folded.state))
            error = folded.error
            if folded.gap is not None:
                if stream not in unfilled:
                    gaps.append(folded.gap)
                error = unfilled.get(stream, "")
            if error:
                first, *others = folded.rest
                moved.parked.append(ParkedEvent(first, error, self._clock.now()))
                moved.parked += [self._behind(event) for event in others]
        if gaps:
            raise _Gaps(view.name, gaps)
        if moved.steps:
            await transaction.save(view, [step for step, _ in moved.steps])
        if moved.parked:
            await transaction.park(view, moved.parked)
        return moved

    async def _fill(
        self, view: str, gap: Gap, wanted: dict[StreamId, Sequence[RecordedEvent]], unfilled: dict[StreamId, str]
    ) -> None:
        """Put the missing versions in front of what the bus gave; a stream whose journal lacks them will be parked."""
        if self._observer:
            self._observer.gap(view, gap.stream, gap.missing)
        loaded = await self._journal.load(gap.stream, after=gap.after, up_to=gap.before - 1)
        if len(loaded.events) == gap.missing:
            marks.hit("projector: a gap was filled from the journal")
            wanted[gap.stream] = in_order((*loaded.events, *wanted[gap.stream]))
            return
        expected = f"{gap.missing} events before it in the journal"
        found = Divergence(gap.stream.key, version=gap.before, expected=expected, actual=str(len(loaded.events)))
        unfilled[gap.stream] = str(found)

    def _tell(self, moved: _Moved) -> None:
        if moved.steps:
            self._states.keep_steps(moved.view, moved.steps)
        self._heard(moved)

    def _heard(self, moved: _Moved) -> None:
        if self._on_folded and moved.steps:
            self._on_folded(moved.view, moved.steps)
        if self._observer:
            folded = sum(step.checkpoint.version - step.from_version for step, _ in moved.steps)
            self._observer.applied(moved.view.name, folded, moved.duplicates)
        self._tell_parked(moved.view, moved.parked)

    def _tell_parked(self, view: View[Any, E], parked: Sequence[ParkedEvent]) -> None:
        for entry in parked:
            if not entry.error:
                continue
            _log.error("%s parks %s: %s", view.name, entry.event.stream.key, entry.error)
            if self._observer:
                self._observer.parked(view.name, entry.event.stream, entry.error)

    def _broken(self, error: BrokenRecord) -> None:
        """A record without a place in any stream cannot be parked in a lane; it is named, counted and left on the bus."""
        _log.error("not an event, skipped: %s", error)
        if self._observer:
            self._observer.broken(error)

    def _behind(self, event: RecordedEvent) -> ParkedEvent:
        return ParkedEvent(event, "", self._clock.now())


def _will_pass(error: Exception) -> bool:
    """Whether to leave the batch as it is: a store that is away comes back, and one that is the wrong one needs a person."""
    return isinstance(error, StoreMismatch) or (isinstance(error, KernelError) and error.retriable)


def events_by_stream(
    records: Sequence[BusRecord], broken: Callable[[BrokenRecord], None]
) -> dict[StreamId, list[RecordedEvent]]:
    """The records' events by stream, as they lie on the bus: repeats among them, and not always in version order."""
    found: dict[StreamId, list[RecordedEvent]] = {}
    for record in records:
        try:
            event = from_record(record)
        except BrokenRecord as error:
            broken(error)
            continue
        found.setdefault(event.stream, []).append(event)
    return found


def next_offsets(records: Sequence[BusRecord]) -> dict[TopicPartition, int]:
    """Per partition, the offset after its last record."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        place = TopicPartition(record.topic, record.partition)
        offsets[place] = max(offsets.get(place, 0), record.offset + 1)
    return offsets
