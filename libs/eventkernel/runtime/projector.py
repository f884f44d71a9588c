"""The projector: from the bus into the rows of views, each event's effect exactly once.

Rows and per-stream checkpoints change in one transaction; bus offsets are committed afterwards and are only a hint. A version
already folded is dropped, a version too high is a gap and is filled from the journal, another event under a known version
is a divergence. An event that a view cannot fold is parked with everything after it of its stream; other streams flow.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import Divergence, EventUnreadable, KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import (
    BusRecord,
    Checkpoint,
    Clock,
    EventStore,
    EventSubscription,
    ParkedEvent,
    StreamChange,
    TopicPartition,
    ViewStore,
    ViewTransaction,
)
from eventkernel.runtime.cloudevents import BrokenRecord, from_record
from eventkernel.runtime.view_states import ViewStates
from eventkernel.view import View, changes

_log = logging.getLogger(__name__)

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class ProjectorSettings:
    """Named limits: records taken in one poll and folded in one transaction; how long a poll waits; states kept in memory."""

    records_max: int = 1_000
    poll_seconds: float = 0.5
    backoff_seconds_max: float = 5.0
    states_max: int = 50_000


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


class _Gap(Exception):
    """Raised inside the transaction to leave it: versions after ``after`` are needed from the journal."""

    def __init__(self, view: str, stream: StreamId, after: int, before: int) -> None:
        super().__init__(stream.key)
        self.view = view
        self.stream = stream
        self.after = after
        self.before = before


class Projector(Generic[E]):
    """Folds the events of one subscription into views."""

    def __init__(
        self,
        views: Sequence[View[Any, E]],
        subscription: EventSubscription,
        store: ViewStore,
        *,
        journal: EventStore,
        decode: Callable[[RecordedEvent], E],
        clock: Clock,
        settings: ProjectorSettings = ProjectorSettings(),
        observer: ProjectorObserver | None = None,
        on_applied: Callable[[], None] | None = None,
    ) -> None:
        self._views = tuple(views)
        self._subscription = subscription
        self._store = store
        self._journal = journal
        self._decode = decode
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._on_applied = on_applied
        self._states = ViewStates(settings.states_max)

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until ``stop``; store and bus failures are waited out with backoff, the batch being read again."""
        backoff = 0.0
        while not stop.is_set():
            try:
                await self.run_once()
                backoff = 0.0
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("projector batch failed, repeating it: %s", error)
                if self._observer:
                    self._observer.failed(error)
                self._states.clear()
                backoff = min(self._settings.backoff_seconds_max, backoff * 2 or 0.1)
                await self._clock.sleep(backoff)
                with contextlib.suppress(KernelError):
                    await self._subscription.rewind()

    async def run_once(self) -> int:
        """One poll: gives the number of records taken."""
        records = await self._subscription.poll(self._settings.records_max, self._settings.poll_seconds)
        if not records:
            return 0
        await self.apply(events_by_stream(records, self._broken))
        if self._on_applied:
            self._on_applied()
        await self._subscription.commit(next_offsets(records))
        return len(records)

    async def apply(self, events: Mapping[StreamId, Sequence[RecordedEvent]]) -> None:
        """Fold events (of each stream in version order, repeats allowed) into every view, in one transaction."""
        wanted = {stream: list(run) for stream, run in events.items()}
        while True:
            try:
                async with self._store.transaction() as transaction:
                    moved = [await self._fold_view(transaction, view, wanted) for view in self._views]
            except _Gap as gap:
                await self._fill(gap, wanted)
                continue
            for view, steps, duplicates in moved:
                self._states.keep(view, steps)
                if self._observer:
                    folded = sum(step.checkpoint.version - step.from_version for step, _ in steps)
                    self._observer.applied(view.name, folded, duplicates)
            return

    async def _fold_view(
        self, transaction: ViewTransaction, view: View[Any, E], events: Mapping[StreamId, Sequence[RecordedEvent]]
    ) -> tuple[View[Any, E], list[tuple[StreamChange, Any]], int]:
        streams = sorted(stream for stream in events if stream.category in view.categories)
        if not streams:
            return view, [], 0
        checkpoints = await transaction.load(view, streams)
        lanes = await transaction.parked(view, streams)
        steps: list[tuple[StreamChange, Any]] = []
        parked: list[ParkedEvent] = []
        duplicates = 0
        for stream in streams:
            checkpoint = checkpoints[stream]
            if stream in lanes:
                last = lanes[stream][-1].event.version
                parked += [self._behind(event) for event in events[stream] if event.version > last]
                continue
            step, state, rest, error, repeated = self._fold_stream(view, stream, checkpoint, events[stream])
            duplicates += repeated
            if step is not None:
                steps.append((step, state))
            if error:
                _log.error("%s parks %s: %s", view.name, stream.key, error)
                parked += [ParkedEvent(rest[0], error, self._clock.now())] + [self._behind(event) for event in rest[1:]]
                if self._observer:
                    self._observer.parked(view.name, stream, error)
        if steps:
            await transaction.save(view, [step for step, _ in steps])
        if parked:
            await transaction.park(view, parked)
        return view, steps, duplicates

    def _fold_stream(
        self, view: View[Any, E], stream: StreamId, checkpoint: Checkpoint, events: Sequence[RecordedEvent]
    ) -> tuple[StreamChange | None, Any, Sequence[RecordedEvent], str, int]:
        """Fold one stream's events: (its step, its state, what is left from a failing event on, the failure, repeats)."""
        before = state = self._states.get(view, stream, checkpoint)
        version, event_id = checkpoint.version, checkpoint.event_id
        error, repeated = "", 0
        rest: Sequence[RecordedEvent] = ()
        for place, event in enumerate(events):
            if event.version <= version:
                if event.version == version and event.event_id != event_id:
                    error = str(
                        Divergence(stream.key, version=version, expected=str(event_id), actual=str(event.event_id))
                    )
                    rest = events[place:]
                    break
                repeated += 1
                continue
            if event.version > version + 1:
                raise _Gap(view.name, stream, version, event.version)
            try:
                state = view.fold(state, self._decode(event), event)
            except EventUnreadable as unreadable:
                error, rest = str(unreadable), events[place:]
                break
            except Exception as failure:  # noqa: BLE001 - a fold that breaks is the poison this lane is for
                error, rest = f"fold failed: {failure!r}", events[place:]
                break
            version, event_id = event.version, event.event_id
        if version == checkpoint.version:
            return None, state, rest, error, repeated
        moved = Checkpoint(version, event_id, view.codec.encode(state))
        step = StreamChange(stream, checkpoint.version, moved, changes(view, before, state))
        return step, state, rest, error, repeated

    async def _fill(self, gap: _Gap, wanted: dict[StreamId, list[RecordedEvent]]) -> None:
        """Put the missing versions in front of what the bus gave."""
        missing = gap.before - gap.after - 1
        if self._observer:
            self._observer.gap(gap.view, gap.stream, missing)
        loaded = await self._journal.load(gap.stream, after=gap.after, up_to=gap.before - 1)
        if len(loaded.events) != missing:
            raise Divergence(
                gap.stream.key,
                version=gap.after + 1,
                expected=f"{missing} events in the journal",
                actual=f"{len(loaded.events)}",
            )
        known = {event.version: event for event in (*loaded.events, *wanted[gap.stream])}
        wanted[gap.stream] = [known[version] for version in sorted(known)]

    def _broken(self, error: BrokenRecord) -> None:
        """A record without a place in any stream cannot be parked in a lane; it is named, counted and left on the bus."""
        _log.error("not an event, skipped: %s", error)
        if self._observer:
            self._observer.broken(error)

    def _behind(self, event: RecordedEvent) -> ParkedEvent:
        return ParkedEvent(event, "", self._clock.now())


def events_by_stream(
    records: Sequence[BusRecord], broken: Callable[[BrokenRecord], None]
) -> dict[StreamId, list[RecordedEvent]]:
    """The records' events by stream, each stream in version order; of one version the first record counts."""
    found: dict[StreamId, dict[int, RecordedEvent]] = {}
    for record in records:
        try:
            event = from_record(record)
        except BrokenRecord as error:
            broken(error)
            continue
        found.setdefault(event.stream, {}).setdefault(event.version, event)
    return {stream: [run[version] for version in sorted(run)] for stream, run in found.items()}


def next_offsets(records: Sequence[BusRecord]) -> dict[TopicPartition, int]:
    """Per partition, the offset after its last record."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        place = TopicPartition(record.topic, record.partition)
        offsets[place] = max(offsets.get(place, 0), record.offset + 1)
    return offsets
