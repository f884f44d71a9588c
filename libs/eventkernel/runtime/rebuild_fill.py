"""Filling generations from the journal: all streams there are, each in order, several workers at once.

The checkpoints of what is filled are the progress: a filling that was stopped or cut off goes through the streams again and
finds those that are done by their heads. Views that are filled together read and decode each event once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, ParkedEvent, StreamHead
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.discards import Discards, passing_over
from eventkernel.runtime.failures import told
from eventkernel.runtime.rebuild_advance import Sources, advance, copy
from eventkernel.runtime.waiting import until_available
from eventkernel.view import View

_log = logging.getLogger(__name__)

E = TypeVar("E")

DECODED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class FillSettings:
    """Named limits: workers at once; events and streams of one transaction, whichever comes first."""

    workers: int = 4
    events_max: int = 500
    streams_max: int = 200


@dataclass(frozen=True, slots=True)
class Target:
    """``view`` names the generation to fill, ``old`` the one to copy streams from that have no event since ``since``."""

    view: View[Any, Any]
    old: View[Any, Any]
    discards: Discards
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A batch was committed: streams and events that are covered now, and events that were folded for it."""

    streams: int
    events: int
    folded: int


OnFilled = Callable[[Filled], Awaitable[None]]


class Filler(Generic[E]):
    """Fills its targets once through all streams."""

    def __init__(
        self,
        sources: Sources[E],
        targets: Sequence[Target],
        *,
        settings: FillSettings = FillSettings(),
        on_filled: OnFilled | None = None,
    ) -> None:
        self._from = sources
        self._targets = tuple(targets)
        self._settings = settings
        self._on_filled = on_filled
        self._decode = ByIdentity(sources.decode, DECODED_MAX)
        self._categories = frozenset().union(*(target.view.categories for target in targets))

    async def count(self) -> tuple[int, int]:
        """How many streams there are, and events."""
        streams = events = 0
        async for head in self._from.directory.streams():
            if head.stream.category in self._categories:
                streams, events = streams + 1, events + head.head
        return streams, events

    async def run(self, stop: asyncio.Event) -> bool:
        """Go through all streams that were there when it began; False where it was stopped before the end."""
        batches: asyncio.Queue[list[StreamHead] | None] = asyncio.Queue(self._settings.workers)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.workers):
                _ = group.create_task(self._work(batches, stop))
            batch: list[StreamHead] = []
            events = 0
            async for head in self._from.directory.streams():
                if stop.is_set():
                    break
                if head.stream.category not in self._categories:
                    continue
                batch.append(head)
                events += head.head
                if events >= self._settings.events_max or len(batch) >= self._settings.streams_max:
                    await batches.put(batch)
                    batch, events = [], 0
            if batch:
                await batches.put(batch)
            for _ in range(self._settings.workers):
                await batches.put(None)
        return not stop.is_set()

    async def _work(self, batches: "asyncio.Queue[list[StreamHead] | None]", stop: asyncio.Event) -> None:
        """A store that is away is waited for; the batch is then begun again."""
        while (batch := await batches.get()) is not None:
            if stop.is_set():
                continue
            folded = 0

            async def attempt(heads: Sequence[StreamHead] = batch) -> None:
                nonlocal folded
                folded = await self._fill(heads)

            done = await until_available(attempt, clock=self._from.clock, name="rebuild", stop=stop)
            if done and self._on_filled is not None:
                await self._on_filled(Filled(len(batch), sum(head.head for head in batch), folded))

    async def _fill(self, heads: Sequence[StreamHead]) -> int:
        wanted = {head.stream: head.head for head in heads}
        behind: dict[int, dict[StreamId, Checkpoint]] = {}
        async with self._from.store.reading() as reading:
            for place, target in enumerate(self._targets):
                streams = [stream for stream in wanted if stream.category in target.view.categories]
                known = await reading.checkpoints(target.view, streams)
                behind[place] = {stream: at for stream, at in known.items() if at.version < wanted[stream]}
        first: dict[StreamId, int] = {}
        for streams_behind in behind.values():
            for stream, at in streams_behind.items():
                first[stream] = min(at.version, first.get(stream, at.version))
        done = await self._copy(wanted, behind)
        left = {stream: after for stream, after in first.items() if any(stream in some for some in behind.values())}
        while left:
            events, left = await self._portion(left)
            some = {
                place: {stream: at for stream, at in known.items() if stream in events}
                for place, known in behind.items()
            }
            done += await self._fold(events, some)
        return done

    async def _portion(
        self, after: Mapping[StreamId, int]
    ) -> tuple[dict[StreamId, Sequence[RecordedEvent]], dict[StreamId, int]]:
        """The next events of each stream, not more of one than are folded at once; and where those go on that have more."""
        events, left = {}, {}
        for stream, version in after.items():
            found = (await self._from.journal.load(stream, after=version, events_max=self._settings.events_max)).events
            if found:
                events[stream] = found
            if len(found) == self._settings.events_max:
                left[stream] = found[-1].version
        return events, left

    async def _fold(
        self, events: Mapping[StreamId, Sequence[RecordedEvent]], behind: Mapping[int, Mapping[StreamId, Checkpoint]]
    ) -> int:
        folded = 0
        try:
            async with self._from.store.transaction() as transaction:
                for place, target in enumerate(self._targets):
                    some = {stream: events[stream] for stream in behind[place]}
                    view, decode = passing_over(target.view, self._decode, target.discards)
                    if some:
                        folded += await advance(transaction, view, some, decode=decode, clock=self._from.clock)
        except Exception as error:
            if isinstance(error, KernelError):
                raise
            _log.warning("batch of %d streams failed, folding them one by one: %s", len(events), type(error).__name__)
            folded = 0
            for place, target in enumerate(self._targets):
                for stream in behind[place]:
                    folded += await self._fold_apart(target, stream, events[stream])
        return folded

    async def _fold_apart(self, target: Target, stream: StreamId, events: Sequence[RecordedEvent]) -> int:
        """One event at a time; one whose rows the store refuses is parked with those after it."""
        view, decode = passing_over(target.view, self._decode, target.discards)
        folded = 0
        for place, event in enumerate(events):
            try:
                async with self._from.store.transaction() as transaction:
                    folded += await advance(transaction, view, {stream: [event]}, decode=decode, clock=self._from.clock)
            except Exception as error:
                if isinstance(error, KernelError):
                    raise
                now = self._from.clock.now()
                said = [told(error, event), *("" for _ in events[place + 1 :])]
                rest = [ParkedEvent(e, why, now) for e, why in zip(events[place:], said, strict=True)]
                async with self._from.store.transaction() as transaction:
                    await transaction.park(view, rest)
                break
        return folded

    async def _copy(self, wanted: Mapping[StreamId, int], behind: dict[int, dict[StreamId, Checkpoint]]) -> int:
        """Copy streams without events since the position, where the old table has all of them; takes them out of ``behind``."""
        copied = 0
        for place, target in enumerate(self._targets):
            fresh = [stream for stream, at in behind[place].items() if at.version == 0]
            if target.since is None or not fresh:
                continue
            async with self._from.store.reading() as reading:
                old = await reading.checkpoints(target.old, fresh)
            whole = {stream: at for stream, at in old.items() if at.version == wanted[stream]}
            settled = {stream: at for stream, at in whole.items() if await self._before(stream, at, target.since)}
            async with self._from.store.transaction() as transaction:
                copied += await copy(transaction, target.view, settled)
            behind[place] = {stream: at for stream, at in behind[place].items() if stream not in settled}
        return copied

    async def _before(self, stream: StreamId, at: Checkpoint, since: datetime) -> bool:
        """Whether the last event of a stream was recorded before a moment; times never run backwards within a stream."""
        last = (await self._from.journal.load(stream, after=at.version - 1, up_to=at.version)).events
        return bool(last) and last[-1].meta.recorded_at < since
