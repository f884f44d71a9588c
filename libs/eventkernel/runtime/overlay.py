"""Read your writes without waiting for the projector: rows of the views with what is still on its way folded onto them.

A stream that a token names is looked for, in this order: among the pending events of the bus, in the cache, in the view, and
after a short wait for the bus in the journal. With a relay that is alive the journal is never read.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import KernelError, TokenNotReached
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore, ViewReading, ViewStore
from eventkernel.ports.row_source import current_versions
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay_layer import Layer
from eventkernel.runtime.overlay_reading import OverlaidReading
from eventkernel.runtime.overlay_rows import OverlaidRows, standing_of
from eventkernel.runtime.overlay_tail import OverlayTail
from eventkernel.runtime.row_cache import RowCache, Standing, advanced
from eventkernel.runtime.stream_fold import Decode
from eventkernel.runtime.waiting import first_of
from eventkernel.view import View

E = TypeVar("E")

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
LOOK_SECONDS_MAX = 0.1
"""How much longer a last look at a bus may take that does not answer."""


class OverlayFull(KernelError):
    """More is pending than may be kept in memory. The caller waits for the view instead."""

    retriable = True


class OverlayObserver(Protocol):
    """What an overlay tells, for metrics."""

    def journal_read(self, events: int) -> None:
        """The bus lacked versions that a token asked for: so many events were read from the journal."""

    def degraded(self) -> None:
        """A reading was refused because more is pending than may be kept."""


@dataclass(frozen=True, slots=True)
class OverlaySettings:
    """``bus_seconds``: how long a token's version may take to come over the bus before the journal is asked. Once the journal
    had it and the bus had not, the journal is asked at once until the bus moves again.
    """

    bus_seconds: float = 0.25


class Overlay(Generic[E]):
    """Shared by all readings of a process; ``tail`` is kept running by a component of its own."""

    def __init__(
        self,
        views: ViewStore,
        tail: OverlayTail,
        journal: EventStore,
        *,
        decode: Decode[E],
        cache: RowCache[E],
        clock: Clock,
        progress: ViewProgress,
        settings: OverlaySettings = OverlaySettings(),
        observer: OverlayObserver | None = None,
    ) -> None:
        self._views = views
        self._tail = tail
        self._journal = journal
        self._decode = decode
        self._cache = cache
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._observer = observer
        self._rows: dict[str, OverlaidRows[E]] = {}
        self._bus_was_behind_at = -1
        self.journal_reads = 0

    def appended(self, events: Sequence[RecordedEvent]) -> None:
        """What the command side of this process has stored is overlaid from now on, whether the bus has got it or not."""
        self._cache.appended(events)
        self._tail.tell(events)

    @asynccontextmanager
    async def reading(
        self, view: View[Any, E], wanted: Mapping[StreamId, int], *, deadline_seconds: float | None = None
    ) -> AsyncIterator[OverlaidReading]:
        """One snapshot of the store under what is pending, the wanted versions of this view's streams among it.

        At most half of the time up to the deadline is spent on waiting for the bus: the journal needs some, too.

        Raises ``OverlayFull`` before anything is read, and ``TokenNotReached`` for a version that the journal lacks or the
        view cannot fold.
        """
        wanted = {stream: version for stream, version in wanted.items() if stream.category in view.categories}
        patience = self._settings.bus_seconds
        if deadline_seconds is not None:
            patience = min(patience, max(deadline_seconds, 0.0) / 2)
        with self._tail.reading():
            loaded: Mapping[StreamId, Sequence[RecordedEvent]] | None = None
            while True:
                if self._tail.full:
                    if self._observer:
                        self._observer.degraded()
                    raise OverlayFull(f"{self._tail.events} events are pending")
                async with self._views.reading() as below:
                    layer = await self.layer(below, view)
                    missing = await self._missing(below, layer, wanted)
                    if missing and loaded is not None:
                        await self._fold_loaded(below, layer, missing, loaded)
                    if loaded is not None or not missing:
                        yield OverlaidReading(below, _Layers(self, below, layer).of)
                        return
                # Whatever others are waited for, no reading is held meanwhile: the store has room for some.
                found = await self._wait(view, missing, patience)
                loaded = {} if found else await self._load(layer, missing)

    async def layer(self, below: ViewReading, view: View[Any, E]) -> Layer:
        """What is pending over a view, folded."""
        rows = self._rows.get(view.table)
        if rows is None:
            rows = self._rows[view.table] = OverlaidRows(view, self._tail, self._cache, self._decode)
        await rows.refresh(below)
        return Layer(rows)

    async def _missing(self, below: ViewReading, layer: Layer, wanted: Mapping[StreamId, int]) -> dict[StreamId, int]:
        """What of the wanted lies neither on the tail nor in the cache nor in the view."""
        missing = {}
        for stream, version in wanted.items():
            standing = layer.standing(stream)
            if standing is not None and standing.version >= version:
                continue
            kept = self._cache.find(layer.view, stream, version)
            if kept is not None:
                layer.put(stream, kept)
            else:
                missing[stream] = version
        if missing:
            stored = await below.checkpoints(layer.view, list(missing))
            missing = {stream: version for stream, version in missing.items() if stored[stream].version < version}
        return missing

    async def _load(self, layer: Layer, missing: Mapping[StreamId, int]) -> dict[StreamId, Sequence[RecordedEvent]]:
        """What the journal has of the missing, behind what is known of them."""
        stored = await current_versions(self._views, layer.view, list(missing))
        loaded = {}
        for stream, version in missing.items():
            base = self._standing(layer, stream)
            after = max(stored[stream], base.version if base else 0)
            if after < version:
                loaded[stream] = await self._journal_events(stream, after=after, up_to=version)
        return loaded

    def _standing(self, layer: Layer, stream: StreamId) -> Standing | None:
        """The newest state in memory."""
        return layer.standing(stream) or self._cache.find(layer.view, stream, 1)

    async def _journal_events(self, stream: StreamId, *, after: int, up_to: int) -> Sequence[RecordedEvent]:
        loaded = await self._journal.load(stream, after=after, up_to=up_to)
        self.journal_reads += 1
        self._bus_was_behind_at = self._tail.arrivals
        if self._observer:
            self._observer.journal_read(len(loaded.events))
        return loaded.events

    async def _fold_loaded(
        self,
        below: ViewReading,
        layer: Layer,
        missing: Mapping[StreamId, int],
        loaded: Mapping[StreamId, Sequence[RecordedEvent]],
    ) -> None:
        stored = await below.checkpoints(layer.view, list(missing))
        stamp = await below.corrections(layer.view)
        for stream, version in missing.items():
            base = self._standing(layer, stream)
            checkpoint = standing_of(layer.view, stored[stream])
            if checkpoint is not None and (base is None or checkpoint.version > base.version):
                base = checkpoint
            base = base or Standing(0, None, layer.view.initial)
            events = [event for event in loaded.get(stream, ()) if event.version > base.version]
            if not events or events[0].version != base.version + 1:
                # The view was set back since, or what had come over the bus has gone again.
                events = list(await self._journal_events(stream, after=base.version, up_to=version))
            after = advanced(layer.view, base, events, self._decode)
            if after.version < version:
                raise TokenNotReached(layer.view.name, stream.name, wanted=version, reached=after.version)
            if layer.rows.is_corrected_as_of(stamp):
                self._cache.keep(layer.view, stream, after)
            layer.put(stream, after)

    async def _wait(self, view: View[Any, E], missing: Mapping[StreamId, int], seconds: float) -> bool:
        """Whether the bus or the view has what is missing: until one has, but not for long."""
        behind = self._bus_was_behind_at == self._tail.arrivals
        patience = 0 if behind else seconds
        over = asyncio.create_task(self._clock.sleep(patience))
        limit = asyncio.create_task(self._clock.sleep(patience + LOOK_SECONDS_MAX))
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                arrived, moved = self._tail.next_arrival(), self._progress.next()
                last_look = over.done()
                look = asyncio.create_task(self._has_come(view, missing))
                await first_of(look, asyncio.shield(limit))
                found = look.done() and not look.cancelled() and look.result()
                if found or last_look or limit.done():
                    return found
                await first_of(arrived.wait(), moved.wait(), self._clock.sleep(pause), asyncio.shield(over))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        except KernelError as error:
            # A bus that does not answer has nothing to give: the journal has.
            if not error.retriable:
                raise
            return False
        finally:
            over.cancel()
            limit.cancel()

    async def _has_come(self, view: View[Any, E], missing: Mapping[StreamId, int]) -> bool:
        await self._tail.catch_up()
        left = [stream for stream, version in missing.items() if self._tail.last(stream) < version]
        if not left:
            return True
        stored = await current_versions(self._views, view, left)
        return all(stored[stream] >= missing[stream] for stream in left)


class _Layers:
    """The layers of one reading, each made when its view is first asked for."""

    def __init__(self, overlay: Overlay[Any], below: ViewReading, first: Layer) -> None:
        self._overlay = overlay
        self._below = below
        self._known = {first.view.table: first}

    async def of(self, view: View[Any, Any]) -> Layer:
        """The layer over a view."""
        if view.table not in self._known:
            self._known[view.table] = await self._overlay.layer(self._below, view)
        return self._known[view.table]
