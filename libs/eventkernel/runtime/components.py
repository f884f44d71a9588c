"""Running components: start in order, run until told to stop, stop in reverse order, and say what failed."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Protocol

_log = logging.getLogger(__name__)


class Component(Protocol):
    """A part of a process. ``start`` returns when it serves; ``stop`` when everything under way has ended."""

    @property
    def name(self) -> str:
        """For logs and health."""

    async def start(self) -> None:
        """Begin. An exception means the process must not run."""

    async def stop(self) -> None:
        """Drain and release. Called once, after a start that succeeded."""


class LoopComponent:
    """A component around one coroutine that runs until its stop event, such as a relay's or a projector's ``run``."""

    def __init__(self, name: str, run: "RunLoop", failed: asyncio.Event) -> None:
        self.name = name
        self._run = run
        self._failed = failed
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin running in the background."""
        self._task = asyncio.create_task(self._run(self._stop), name=self.name)
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Set the stop event and wait; re-raises what ended the loop."""
        self._stop.set()
        if self._task is not None:
            await self._task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not self._stop.is_set():
            if not task.cancelled() and task.exception() is not None:
                _log.critical("%s ended by itself", self.name, exc_info=task.exception())
            self._failed.set()


class RunLoop(Protocol):
    """A coroutine function that runs until its event is set."""

    async def __call__(self, stop: asyncio.Event) -> None:
        """Run."""


async def run_until_stopped(components: Sequence[Component], stop: asyncio.Event) -> None:
    """Start the components in order, wait for ``stop``, stop them in reverse order.

    A component that fails to start stops those before it; the first error is raised, after all have been stopped.
    """
    started: list[Component] = []
    errors: list[Exception] = []
    try:
        for component in components:
            await component.start()
            started.append(component)
        await stop.wait()
    except Exception as error:  # noqa: BLE001 - raised below, once the others have stopped
        errors.append(error)
    for component in reversed(started):
        try:
            await component.stop()
        except Exception as error:  # noqa: BLE001 - every component gets its chance to stop
            _log.error("%s did not stop cleanly", component.name, exc_info=error)
            errors.append(error)
    if errors:
        raise errors[0]


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the event; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()

    def asked(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
