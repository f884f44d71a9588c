"""The server's own deadline for calls that name none, without a timer for each of them.

All are given the same time, so they run out in the order in which they began, and one timer for the oldest serves all.
``asyncio.timeout`` would cost each call several times as much.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from eventkernel_grpc.errors import DeadlinePassed

T = TypeVar("T")


@dataclass(slots=True)
class _Running:
    """A call under way; without a task once it has ended."""

    task: "asyncio.Task[Any] | None"
    ends_at: float
    passed: bool = False


class Deadlines:
    """Gives every call ``seconds``. For one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: deque[_Running] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are remembered: those under way, and those that ended after an older one that has not."""
        return len(self._running)

    async def within(self, reply: Awaitable[T], path: str) -> T:
        """The reply; when its time is over it is cancelled and ``DeadlinePassed`` raised."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        already = task.cancelling()
        call = _Running(task, loop.time() + self.seconds)
        self._running.append(call)
        if self._timer is None:
            self._timer = loop.call_at(call.ends_at, self._sweep, loop)
        try:
            return await reply
        except asyncio.CancelledError as error:
            # Somebody else may have cancelled the call in the same moment; that counts for more.
            if call.passed and task.uncancel() <= already:
                raise DeadlinePassed(path, seconds=self.seconds) from error
            raise
        finally:
            call.task = None
            while self._running and self._running[0].task is None:
                self._running.popleft()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for call in self._running:
            if call.ends_at > now:
                self._timer = loop.call_at(call.ends_at, self._sweep, loop)
                return
            if call.task is not None and not call.passed:
                call.passed = True
                call.task.cancel()
