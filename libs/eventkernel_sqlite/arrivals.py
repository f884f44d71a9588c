"""Waking what waits for new rows of a file in this process, so that it need not find them by looking.

Other processes cannot be woken this way: a waiter also looks at the file from time to time.
"""

import asyncio
from pathlib import Path
from weakref import WeakValueDictionary

LOOK_FIRST_SECONDS = 0.004
LOOK_LAST_SECONDS = 0.025


class Arrivals:
    """The waiters of one file, each in the event loop it waits in."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def join(self) -> asyncio.Event:
        """An event that is set at every arrival; the waiter clears it before it looks at the file."""
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        return event

    def leave(self, event: asyncio.Event) -> None:
        """Forget a waiter."""
        self._waiting.pop(event, None)

    def announce(self) -> None:
        """Something new is committed. Call it from a coroutine."""
        here = asyncio.get_running_loop()
        for event, loop in list(self._waiting.items()):
            if loop is here:
                event.set()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(event.set)


async def wait_for_arrival(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


_of_path: WeakValueDictionary[str, Arrivals] = WeakValueDictionary()


def arrivals_of(path: Path) -> Arrivals:
    """The arrivals of a file: one object however often the file is opened in this process."""
    name = str(path.resolve())
    known = _of_path.get(name)
    if known is None:
        known = _of_path[name] = Arrivals()
    return known
