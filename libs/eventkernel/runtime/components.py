"""Running components: start in order, run until told to stop, stop in reverse order, and say what failed."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from eventkernel.errors import KernelError
from eventkernel.ports import Clock
from eventkernel.runtime.waiting import until_available

_log = logging.getLogger(__name__)

STOP_SECONDS_MAX = 20.0
"""How long a loop may take to end by itself before it is cancelled. Every loop may be cut off anywhere: it may crash, too."""


class Component(Protocol):
    """A part of a process. ``start`` returns when it serves; ``stop`` when everything under way has ended."""

    @property
    def name(self) -> str:
        """For logs and health."""

    async def start(self) -> None:
        """Begin. An exception means the process must not run. Cancelled, it leaves nothing behind."""

    async def stop(self) -> None:
        """Drain and release. Called once, after a start that succeeded."""


class LoopComponent:
    """A component around one coroutine that runs until its stop event, such as a relay's or a projector's ``run``."""

    def __init__(
        self, name: str, run: "RunLoop", failed: asyncio.Event, *, stop_seconds: float = STOP_SECONDS_MAX
    ) -> None:
        self.name = name
        self._run = run
        self._failed = failed
        self._stop_seconds = stop_seconds
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin running in the background."""
        self._task = asyncio.create_task(self._run(self._stop), name=self.name)
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Set the stop event and wait, up to a limit; re-raises what ended the loop."""
        self._stop.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=self._stop_seconds)
        if not done:
            _log.warning("%s did not end within %g s and is cut off", self.name, self._stop_seconds)
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not self._stop.is_set():
            error = None if task.cancelled() else task.exception()
            _log.critical("%s ended by itself", self.name, exc_info=error)
            self._failed.set()


class RunLoop(Protocol):
    """A coroutine function that runs until its event is set."""

    async def __call__(self, stop: asyncio.Event) -> None:
        """Run."""


class WaitingComponent:
    """A component whose start is tried again, with backoff, for as long as a store that it needs does not answer.

    Only the end of the process ends the waiting (``run_until_stopped`` cancels a start under way). What will not pass, such
    as ``StoreMismatch``, is raised at once: the process must not run. ``on_waiting`` hears each failure.
    """

    def __init__(
        self, component: Component, clock: Clock, *, on_waiting: Callable[[KernelError], None] | None = None
    ) -> None:
        self.name = component.name
        self._component = component
        self._clock = clock
        self._on_waiting = on_waiting

    async def start(self) -> None:
        """Start as soon as the store answers."""
        await until_available(self._component.start, clock=self._clock, name=self.name, on_waiting=self._on_waiting)

    async def stop(self) -> None:
        """Stop."""
        await self._component.stop()


async def run_until_stopped(components: Sequence[Component], stop: asyncio.Event) -> None:
    """Start the components in order, wait for ``stop``, stop them in reverse order.

    A component that fails to start stops those before it; the first error is raised, after all have been stopped. A start
    that is still under way when ``stop`` comes is cancelled.
    """
    started: list[Component] = []
    errors: list[Exception] = []
    asked = asyncio.create_task(stop.wait())
    try:
        for component in components:
            if not await _started(component, asked, started):
                break
        await asked
    except Exception as error:  # noqa: BLE001 - raised below, once the others have stopped
        errors.append(error)
    finally:
        asked.cancel()
        for component in reversed(started):
            try:
                await component.stop()
            except Exception as error:  # noqa: BLE001 - every component gets its chance to stop
                _log.error("%s did not stop cleanly", component.name, exc_info=error)
                errors.append(error)
    if errors:
        raise errors[0]


async def _started(component: Component, asked: "asyncio.Task[bool]", started: list[Component]) -> bool:
    """Start it and add it to those that are; False when stopping was asked for before it had."""
    if asked.done():
        return False
    starting = asyncio.create_task(component.start(), name=f"start {component.name}")
    try:
        await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if not starting.cancelled() and starting.exception() is None:
            # Also where this process is cancelled just now: what runs will be stopped.
            started.append(component)
    if starting.cancelled():
        return False
    starting.result()
    return True


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the event; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()

    def asked(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
