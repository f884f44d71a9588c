"""The rebuilder: works on the rebuilds that are wanted, a lease on each; any process with the stores may run one.

It reads the journal and writes the table beside the one that answers. It publishes nothing, commits no offsets and tells no
observer of projections, so webhooks, policies and watchers hear nothing of a rebuild.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from eventkernel.errors import KernelError, Refusal
from eventkernel.runtime.discards import load_discards
from eventkernel.runtime.failures import raised_in
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_compare import Pair, compare_all
from eventkernel.runtime.rebuild_fill import Filled, Filler, FillSettings, Target
from eventkernel.runtime.rebuild_record import WORKING, Phase, Rebuild, by_name, load_rebuild, save_rebuild
from eventkernel.runtime.rebuild_switch import catch_up, switch
from eventkernel.runtime.waiting import BACKOFF_SECONDS_MAX, FIRST_BACKOFF_SECONDS, first_of
from eventkernel.view import View

_log = logging.getLogger(__name__)

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class RebuilderSettings:
    """How often to look for work, how often to tell progress and ask whether to go on, how long a lease lasts unrenewed."""

    watch_seconds: float = 1.0
    beat_seconds: float = 1.0
    lease_seconds: float = 15.0
    fill: FillSettings = field(default_factory=FillSettings)


class RebuildObserver(Protocol):
    """What a rebuilder tells, for metrics."""

    def filled(self, view: str, events: int) -> None:
        """Events of a view are covered."""

    def phase(self, view: str, phase: str) -> None:
        """A rebuild has come to another phase."""


@dataclass(slots=True)
class _Work:
    """One rebuild in hand."""

    view: View[Any, Any]
    rebuild: Rebuild

    @property
    def new(self) -> View[Any, Any]:
        """The table that is filled."""
        return self.view.of_generation(self.rebuild.generation)

    @property
    def old(self) -> View[Any, Any]:
        """The table that answers meanwhile."""
        return self.view.of_generation(self.rebuild.previous)


class Rebuilder(Generic[E]):
    """Runs until told to stop."""

    def __init__(
        self,
        owner: str,
        sources: Sources[E],
        views: Sequence[View[Any, E]],
        *,
        settings: RebuilderSettings = RebuilderSettings(),
        observer: RebuildObserver | None = None,
        on_switched: Callable[[], None] | None = None,
    ) -> None:
        self._owner = owner
        self._from = sources
        self._views = by_name(views)
        self._settings = settings
        self._observer = observer
        self._on_switched = on_switched
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """There may be work: look now."""
        self._poked.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Look for work and do it; failures of stores are waited out."""
        backoff = 0.0
        while not stop.is_set():
            self._poked.clear()
            try:
                worked = await self.run_once(stop)
                backoff = 0.0
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("rebuild waits: %s", error)
                worked, backoff = False, min(BACKOFF_SECONDS_MAX, backoff * 2 or FIRST_BACKOFF_SECONDS)
            if not worked:
                wait = self._from.clock.sleep(max(backoff, self._settings.watch_seconds))
                await first_of(stop.wait(), self._poked.wait(), wait)

    async def run_once(self, stop: asyncio.Event) -> bool:
        """Do what is wanted now and free to take; False where there is nothing."""
        works = await self._claim()
        if not works:
            return False
        halt = asyncio.Event()
        done = asyncio.Event()
        beating = asyncio.create_task(self._beat(works, stop, halt, done), name="rebuild-beat")
        try:
            await self._fill([work for work in works if work.rebuild.phase is Phase.FILLING], halt)
            await self._catch_up([work for work in works if work.rebuild.phase is Phase.CATCHING_UP], halt)
            await self._compare([work for work in works if work.rebuild.phase is Phase.COMPARING], halt)
            for work in works:
                if work.rebuild.phase is Phase.READY and work.rebuild.wanted and not halt.is_set():
                    await self._switch(work, halt)
        finally:
            done.set()
            await asyncio.wait([beating])
            with suppress(KernelError):  # a lease that is not given back runs out
                await self._release(works)
        if not beating.cancelled() and (error := beating.exception()) is not None:
            raise error
        return True

    async def _claim(self) -> list[_Work]:
        works = []
        now = self._from.clock.now()
        async with self._from.store.transaction() as transaction:
            for view in self._views:
                known = await load_rebuild(transaction, view)
                if known is None or not known.working or not self._free(known, now):
                    continue
                mine = replace(known, owner=self._owner, leased_until=self._lease(now))
                if known.phase is Phase.FILLING:
                    mine = replace(mine, streams_done=0, events_done=0, seconds=0.0)
                await save_rebuild(transaction, view, mine)
                works.append(_Work(view, mine))
        # Another process may have made the tables; preparing them here tells this one their statements.
        await self._from.store.prepare([work.new for work in works])
        return works

    async def _fill(self, works: Sequence[_Work], halt: asyncio.Event) -> None:
        if not works:
            return
        async with self._from.store.transaction() as transaction:
            targets = [
                Target(work.new, work.old, await load_discards(transaction, work.view), work.rebuild.since)
                for work in works
            ]

        began = self._from.clock.now()

        async def covered(filled: Filled) -> None:
            seconds = (self._from.clock.now() - began).total_seconds()
            for work in works:
                known = work.rebuild
                streams, events = known.streams_done + filled.streams, known.events_done + filled.events
                work.rebuild = replace(known, streams_done=streams, events_done=events, seconds=seconds)
                if self._observer is not None:
                    self._observer.filled(work.view.name, filled.events)

        try:
            filler = Filler(self._from, targets, settings=self._settings.fill, on_filled=covered)
            streams, events = await filler.count()
            for work in works:
                work.rebuild = replace(work.rebuild, streams_total=streams, events_total=events)
            if await filler.run(halt):
                for work in works:
                    await self._turn(work, Phase.CATCHING_UP)
        except Exception as error:  # noqa: BLE001 - whatever it was becomes what the rebuild says of itself
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            for work in works:
                await self._failed(work, cause)

    async def _catch_up(self, works: Sequence[_Work], halt: asyncio.Event) -> None:
        for work in works:
            if halt.is_set():
                return
            try:
                stuck = await catch_up(self._from, work.new, work.old, stop=halt)
            except Exception as error:  # noqa: BLE001 - whatever it was becomes what the rebuild says of itself
                await self._failed(work, error)
            else:
                if stuck is not None:
                    await self._turn(work, Phase.COMPARING)

    async def _compare(self, works: Sequence[_Work], halt: asyncio.Event) -> None:
        """Of all that are filled by now; those that agree and are to switch by themselves stay wanted."""
        if not works or halt.is_set():
            return
        try:
            async with self._from.store.transaction() as transaction:
                pairs = [Pair(work.old, work.new, await load_discards(transaction, work.view)) for work in works]
            found = await compare_all(self._from, pairs, stop=halt)
        except Exception as error:  # noqa: BLE001 - as above
            for work in works:
                await self._failed(work, error)
            return
        for work, comparison in zip(works, found or (), strict=False):
            work.rebuild = replace(work.rebuild, comparison=comparison)
            await self._turn(work, Phase.READY, agrees=comparison.agrees)

    async def _switch(self, work: _Work, halt: asyncio.Event) -> None:
        try:
            work.rebuild = await switch(self._from, work.view, stop=halt)
        except Refusal as refusal:
            if not halt.is_set():  # stopped, it is still due
                await self._turn(work, work.rebuild.phase, str(refusal))
        except Exception as error:  # noqa: BLE001 - as above
            await self._failed(work, error)
        else:
            self._tell(work)
            if self._on_switched is not None:
                self._on_switched()

    async def _failed(self, work: _Work, error: Exception) -> None:
        """What will pass is raised, and tried again; what will not is a person's to see."""
        if isinstance(error, KernelError) and error.retriable:
            raise error
        # Messages of other errors quote values, which may be a patient's: see ``failures``.
        said = str(error) if isinstance(error, KernelError) else f"{type(error).__name__}{raised_in(error)}"
        _log.error("rebuild of %s failed: %s", work.view.name, said)
        await self._turn(work, Phase.FAILED, said)

    async def _beat(
        self, works: Sequence[_Work], stop: asyncio.Event, halt: asyncio.Event, done: asyncio.Event
    ) -> None:
        """Tell progress, renew leases, and hear when the work is not wanted any more."""
        try:
            while not done.is_set():
                await first_of(done.wait(), stop.wait(), self._from.clock.sleep(self._settings.beat_seconds))
                if stop.is_set():
                    halt.set()
                    return
                if not await self._told(works):
                    halt.set()
                    return
        except BaseException:
            halt.set()
            raise

    async def _told(self, works: Sequence[_Work]) -> bool:
        now = self._from.clock.now()
        wanted = True
        async with self._from.store.transaction() as transaction:
            for work in works:
                known = await load_rebuild(transaction, work.view)
                if known is None or known.generation != work.rebuild.generation or known.owner != self._owner:
                    return False
                if not work.rebuild.working or known.phase is not work.rebuild.phase:
                    continue  # at rest, or being moved on by this very worker
                wanted = wanted and known.wanted
                work.rebuild = replace(_wished(work.rebuild, known), leased_until=self._lease(now))
                await save_rebuild(transaction, work.view, work.rebuild)
        return wanted

    async def _turn(self, work: _Work, phase: Phase, error: str = "", *, agrees: bool = False) -> None:
        """To the next phase; tables that agree are switched where somebody wishes it by then."""
        now = self._from.clock.now()
        async with self._from.store.transaction() as transaction:
            known = await load_rebuild(transaction, work.view)
            if known is not None:
                work.rebuild = _wished(work.rebuild, known)
            goes_on = phase in WORKING or (agrees and work.rebuild.switch_when_equal)
            wanted = known is not None and known.wanted and goes_on
            work.rebuild = replace(work.rebuild, phase=phase, error=error, changed_at=now, wanted=wanted)
            await save_rebuild(transaction, work.view, work.rebuild)
        self._tell(work)

    async def _release(self, works: Sequence[_Work]) -> None:
        async with self._from.store.transaction() as transaction:
            for work in works:
                known = await load_rebuild(transaction, work.view)
                if known is not None and known.owner == self._owner:
                    mine = known if known.phase is not work.rebuild.phase else _wished(work.rebuild, known)
                    await save_rebuild(transaction, work.view, replace(mine, owner="", leased_until=None))

    def _tell(self, work: _Work) -> None:
        _log.info("rebuild of %s: %s", work.view.name, work.rebuild.phase.value)
        if self._observer is not None:
            self._observer.phase(work.view.name, work.rebuild.phase.value)

    def _free(self, rebuild: Rebuild, now: datetime) -> bool:
        return rebuild.owner in ("", self._owner) or rebuild.leased_until is None or rebuild.leased_until <= now

    def _lease(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.lease_seconds)


def _wished(mine: Rebuild, known: Rebuild) -> Rebuild:
    """A worker's rebuild with what others have asked for meanwhile."""
    return replace(mine, wanted=known.wanted, switch_when_equal=known.switch_when_equal)
