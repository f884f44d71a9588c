"""Waiting until a view has what a consistency token asks for."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from eventkernel.errors import TokenNotReached
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, ViewStore
from eventkernel.runtime.waiting import first_of
from eventkernel.view import View

_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 0.05


class ViewProgress:
    """Tells waiting readers of this process that a projector of this process has committed something."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def notify(self) -> None:
        """Wake every waiter once."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def next(self) -> asyncio.Event:
        """Set by the next notice. Taken before a look at the store, no commit is missed between the look and the wait."""
        return self._moved

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Until the next notice or the time is over, whichever is first."""
        await first_of(self.next().wait(), clock.sleep(seconds))


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
    over = asyncio.create_task(clock.sleep(deadline_seconds)) if deadline_seconds > 0 else None
    pause = _FIRST_WAIT_SECONDS
    try:
        while True:
            last_look = over is None or over.done()
            moved = progress.next()
            reached = await _reached(store, view, list(behind))
            behind = {stream: version for stream, version in behind.items() if reached[stream] < version}
            if not behind:
                return
            if last_look or over is None:
                stream, version = next(iter(behind.items()))
                raise TokenNotReached(view.name, stream.name, wanted=version, reached=reached[stream])
            await first_of(moved.wait(), clock.sleep(pause), asyncio.shield(over))
            pause = min(pause * 2, _LONGEST_WAIT_SECONDS)
    finally:
        if over is not None:
            over.cancel()


async def _reached(store: ViewStore, view: View[Any, Any], streams: Sequence[StreamId]) -> dict[StreamId, int]:
    async with store.reading() as reading:
        checkpoints = await reading.checkpoints(view, streams)
    return {stream: checkpoints[stream].version for stream in streams}
