"""An event loop without a clock and without sockets: time passes when nobody can run, and chance decides who runs next.

Every callback belongs to a process. Callbacks of one process run in the order in which they became ready, as on asyncio's own
loop; which process comes next is drawn from the seed. A process can be killed, after which not one line of it runs any more,
not even a ``finally``, and it can be frozen and thawed, as by SIGSTOP and SIGCONT.
"""

import asyncio
import contextvars
import gc
import heapq
from asyncio.events import Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")


class Process:
    """What runs, is killed or is frozen as one. ``skew`` is added to the time that its clock shows."""

    def __init__(self, name: str, skew: float = 0.0) -> None:
        self.name = name
        self.skew = skew
        self.alive = True
        self.frozen = False
        self.ready: deque[Handle] = deque()
        self.runnable = False
        self.remains: list[SimulatedTask] = []


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its process."""

    process: Process


class Stuck(Exception):
    """Nobody can run and nobody waits for a time."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """``steps`` counts the callbacks run so far: a place in a history that a seed gives again."""

    def __init__(self, seed: object) -> None:
        super().__init__()
        self.random = Random(str(seed))  # noqa: S311 - a seeded history, not a secret
        self.world = Process("world")
        self.current = self.world
        self.steps = 0
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, Process, Handle]] = []
        self._runnable: list[Process] = []
        self.set_task_factory(self._new_task)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T], name: str = "") -> "asyncio.Task[T]":
        """Begin a task of a process."""
        before, self.current = self.current, process
        try:
            return self.create_task(coroutine, name=name or process.name)
        finally:
            self.current = before

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call as the world, whatever becomes of the process that asked for it."""
        handle = Handle(callback, args, self, _EMPTY)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), self.world, handle))

    def kill(self, process: Process) -> None:
        """Not one line of it runs any more."""
        process.alive = False
        self._rest(process)
        process.remains = [task for task in self._tasks() if task.process is process]

    def freeze(self, process: Process) -> None:
        """It stands still; what reaches it meanwhile waits."""
        process.frozen = True
        self._rest(process)

    def thaw(self, process: Process) -> None:
        """It goes on where it was."""
        process.frozen = False
        if process.ready and process.alive:
            self._wake(process)

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> Handle:
        """A task's step belongs to the task's process, every other callback to whoever asks."""
        owner = getattr(callback, "__self__", None)
        process = owner.process if type(owner) is SimulatedTask else self.current
        handle = Handle(callback, args, self, context)
        self._put(process, handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Belongs to whoever asks."""
        handle = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), self.current, handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> Handle:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    def bury(self) -> None:
        """End everything that is left, as the end of the world does: without anybody noticing."""
        for task in self._tasks():
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio's own way to say so
            coroutine: Any = task.get_coro()
            try:
                coroutine.close()
            except BaseException:  # noqa: BLE001, S112 - its ``finally`` meets a world that is gone
                continue
        self._timers.clear()
        self.close()

    def _run_once(self) -> None:
        timers = self._timers
        if not self._runnable:
            if not timers:
                raise Stuck
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, process, handle = heapq.heappop(timers)
            if not handle._cancelled:  # noqa: SLF001 - as asyncio's own loops do
                self._put(process, handle)
        runnable = self._runnable
        if not runnable:
            return
        place = int(self.random.random() * len(runnable)) if len(runnable) > 1 else 0
        process = runnable[place]
        handle = process.ready.popleft()
        if not process.ready:
            process.runnable = False
            runnable[place] = runnable[-1]
            runnable.pop()
        if handle._cancelled:  # noqa: SLF001
            return
        self.steps += 1
        self.current = process
        handle._run()  # noqa: SLF001
        self.current = self.world

    def _tasks(self) -> list[SimulatedTask]:
        return [task for task in asyncio.all_tasks(self) if isinstance(task, SimulatedTask)]

    def _put(self, process: Process, handle: Handle) -> None:
        if not process.alive:
            return
        process.ready.append(handle)
        if not process.runnable and not process.frozen:
            self._wake(process)

    def _wake(self, process: Process) -> None:
        process.runnable = True
        self._runnable.append(process)

    def _rest(self, process: Process) -> None:
        if process.runnable:
            process.runnable = False
            self._runnable.remove(process)

    def _new_task(self, _loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> SimulatedTask:
        task = SimulatedTask.__new__(SimulatedTask)
        # The first step is asked for while the task is made, so that the process must be known before.
        task.process = self.current
        task.__init__(coroutine, loop=self, **options)  # type: ignore[misc]
        return task


_EMPTY = contextvars.Context()


def run_to_the_end(loop: SimulatedLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as the world, and bury whatever is left. Garbage waits: collecting it would run code of the dead."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.bury()
        if was_on:
            gc.enable()
