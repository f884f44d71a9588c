"""Waiting until a view has what a consistency token asks for."""

import asyncio
import contextvars
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventkernel.errors import TokenNotReached
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, ViewStore
from eventkernel.ports.row_source import current_versions
from eventkernel.runtime.waiting import first_of
from eventkernel.view import View

_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 0.05


class ViewProgress:
    """Tells waiting readers of this process that a projector of this process has committed something, and looks for all of
    them together at what projectors of other processes have.
    """

    def __init__(self) -> None:
        self._moved = asyncio.Event()
        self._looks: dict[tuple[int, str], _Looks] = {}

    def notify(self) -> None:
        """Wake every waiter once."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def next(self) -> asyncio.Event:
        """Set by the next notice. Taken before a look at the store, no commit is missed between the look and the wait."""
        return self._moved

    async def reached(
        self, store: ViewStore, view: View[Any, Any], behind: Mapping[StreamId, int], clock: Clock, moved: asyncio.Event
    ) -> None:
        """Return when a look that began after this call has found every stream at its version.

        All who wait for a view share one look. ``moved`` is what ``next`` gave before the caller looked by itself. Raises
        what the look raises.
        """
        place = (id(store), view.table)
        looks = self._looks.get(place)
        if looks is None:
            looks = self._looks[place] = _Looks(self, store, view, clock)
            looks.begin(moved)
        waiter = _Waiter(dict(behind), asyncio.get_running_loop().create_future())
        looks.waiters.append(waiter)
        try:
            await waiter.reached
        finally:
            looks.waiters.remove(waiter)
            if not looks.waiters:
                # Whoever comes from now on begins anew: these looks are over, though their task has not ended yet.
                del self._looks[place]
                looks.end()


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who waits, and for what it still does."""

    behind: dict[StreamId, int]
    reached: "asyncio.Future[None]"


class _Looks:
    """One look after the other for all who wait for a view, as long as anybody does."""

    def __init__(self, progress: ViewProgress, store: ViewStore, view: View[Any, Any], clock: Clock) -> None:
        self.waiters: list[_Waiter] = []
        self._progress = progress
        self._store = store
        self._view = view
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def begin(self, moved: asyncio.Event) -> None:
        """Look when ``moved`` is set or after a pause, and so on."""
        self._task = asyncio.create_task(self._run(moved), context=contextvars.Context())

    def end(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, moved: asyncio.Event) -> None:
        pause, known = _FIRST_WAIT_SECONDS, 0
        while True:
            await first_of(moved.wait(), self._clock.sleep(pause))
            moved = self._progress.next()
            await self._look([waiter for waiter in self.waiters if not waiter.reached.done()])
            left = sum(not waiter.reached.done() for waiter in self.waiters)
            # Where somebody came or went, more will; where all have been waiting in vain, the view may stand.
            pause = _FIRST_WAIT_SECONDS if left != known else min(pause * 2, _LONGEST_WAIT_SECONDS)
            known = left

    async def _look(self, waiters: list[_Waiter]) -> None:
        streams = list(dict.fromkeys(stream for waiter in waiters for stream in waiter.behind))
        if not streams:
            return
        try:
            versions = await current_versions(self._store, self._view, streams)
        except Exception as error:  # noqa: BLE001 - it is the waiters' to judge
            for waiter in waiters:
                if not waiter.reached.done():
                    waiter.reached.set_exception(error)
            return
        for waiter in waiters:
            waiter.behind = {s: version for s, version in waiter.behind.items() if versions[s] < version}
            if not waiter.behind and not waiter.reached.done():
                waiter.reached.set_result(None)


async def wait_for(
    store: ViewStore,
    view: View[Any, Any],
    wanted: Mapping[StreamId, int],
    *,
    clock: Clock,
    deadline_seconds: float,
    progress: ViewProgress,
) -> None:
    """Return when the view has folded every stream up to its wanted version; ``TokenNotReached`` at the deadline.

    The deadline counts time slept, not the clock's face, which may jump; and after it the store is asked once more, so that
    a process that was paused past its deadline answers by what is there, not by how long it slept.
    """
    behind = {stream: version for stream, version in wanted.items() if stream.category in view.categories}
    if not behind:
        return
    moved = progress.next()
    over = asyncio.create_task(clock.sleep(deadline_seconds)) if deadline_seconds > 0 else None
    try:
        while True:
            last_look = over is None or over.done()
            versions = await current_versions(store, view, list(behind))
            behind = {stream: version for stream, version in behind.items() if versions[stream] < version}
            if not behind:
                return
            if over is None or last_look:
                stream, version = next(iter(behind.items()))
                raise TokenNotReached(view.name, stream.name, wanted=version, reached=versions[stream])
            reached = asyncio.ensure_future(progress.reached(store, view, behind, clock, moved))
            await first_of(reached, asyncio.shield(over))
            if not reached.cancelled():
                return
    finally:
        if over is not None:
            over.cancel()
