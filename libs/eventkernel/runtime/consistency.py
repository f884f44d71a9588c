"""Waiting until a view has what a consistency token asks for."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from eventkernel.errors import TokenNotReached
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, ViewStore
from eventkernel.view import View

_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 0.05


class ViewProgress:
    """Tells waiting readers of this process that a projector of this process has committed something."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def notify(self) -> None:
        """Wake every waiter once."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Until the next notice or the time is over, whichever is first."""
        notice = asyncio.create_task(self._moved.wait())
        timer = asyncio.create_task(clock.sleep(seconds))
        try:
            await asyncio.wait({notice, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            notice.cancel()
            timer.cancel()


async def wait_for(
    store: ViewStore,
    view: View[Any, Any],
    wanted: Mapping[StreamId, int],
    *,
    clock: Clock,
    deadline_seconds: float,
    progress: ViewProgress,
) -> None:
    """Return when the view has folded every stream up to its wanted version; ``TokenNotReached`` at the deadline."""
    behind = {stream: version for stream, version in wanted.items() if stream.category in view.categories}
    give_up = clock.now().timestamp() + deadline_seconds
    pause = _FIRST_WAIT_SECONDS
    while behind:
        reached = await _reached(store, view, list(behind))
        behind = {stream: version for stream, version in behind.items() if reached[stream] < version}
        if not behind:
            return
        left = give_up - clock.now().timestamp()
        if left <= 0:
            stream, version = next(iter(behind.items()))
            raise TokenNotReached(view.name, stream.name, wanted=version, reached=reached[stream])
        await progress.wait(clock, min(pause, left))
        pause = min(pause * 2, _LONGEST_WAIT_SECONDS)


async def _reached(store: ViewStore, view: View[Any, Any], streams: Sequence[StreamId]) -> dict[StreamId, int]:
    async with store.reading() as reading:
        checkpoints = await reading.checkpoints(view, streams)
    return {stream: checkpoints[stream].version for stream in streams}
