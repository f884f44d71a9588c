"""Deadlines of calls, without a timer for each of them: one timer for the nearest serves all.

``asyncio.timeout`` would cost each call several times as much.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeVar

from eventkernel_grpc.errors import DeadlinePassed

T = TypeVar("T")

REPLY_SHARE = 0.1
REPLY_SECONDS_MAX = 0.5
"""What is kept of a caller's deadline for the way back of an answer that says the time is over: a tenth, at most this."""
_ENDED_MAX = 1_000


def reply_seconds(remaining_seconds: float) -> float:
    """How much of the time that is left the way back gets."""
    return min(REPLY_SECONDS_MAX, REPLY_SHARE * remaining_seconds)


@dataclass(slots=True)
class _Running:
    """A call under way; without a task once it has ended."""

    task: "asyncio.Task[Any] | None"
    passed: bool = False


class Deadlines:
    """Ends calls whose time is over; ``seconds`` is for those that name none. For one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: list[tuple[float, int, _Running]] = []
        self._numbers = count()
        self._ended = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are remembered: those under way, and those that ended before one with a nearer deadline has."""
        return len(self._running)

    async def within(self, reply: Awaitable[T], path: str, seconds: float | None = None) -> T:
        """The reply; when its time is over it is cancelled and ``DeadlinePassed`` raised."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        if seconds is None:
            seconds = self.seconds
        already = task.cancelling()
        call, ends_at = _Running(task), loop.time() + seconds
        heappush(self._running, (ends_at, next(self._numbers), call))
        if self._timer is None or ends_at < self._timer.when():
            self._set_timer(loop, ends_at)
        try:
            return await reply
        except asyncio.CancelledError as error:
            # Somebody else may have cancelled the call in the same moment; that counts for more.
            if call.passed and task.uncancel() <= already:
                raise DeadlinePassed(path, seconds=seconds) from error
            raise
        finally:
            call.task = None
            self._ended += 1
            self._forget()

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(when, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._running and self._running[0][0] <= now:
            call = heappop(self._running)[2]
            self._ended -= 1  # Whoever has not ended counts when it does, and is not remembered any more.
            if call.task is not None:
                call.passed = True
                call.task.cancel()
        self._forget()
        if self._running:
            self._set_timer(loop, self._running[0][0])

    def _forget(self) -> None:
        """Let go of calls that have ended: the nearest ones at once, the others when they are many."""
        while self._running and self._running[0][2].task is None:
            heappop(self._running)
            self._ended -= 1
        if self._ended > _ENDED_MAX and 2 * self._ended > len(self._running):
            self._running = [entry for entry in self._running if entry[2].task is not None]
            heapify(self._running)
            self._ended = 0
