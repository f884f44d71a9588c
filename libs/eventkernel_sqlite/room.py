"""Room for threads beside a busy event loop.

A saturated loop lets go of the interpreter lock only for the instant of its poll, and takes it again before a waiting
thread has woken up; each of these instants also restarts the thread's wait for a forced switch (``take_gil`` in CPython's
``ceval_gil``). Waits of 100 to 480 ms were measured. So while a thread has work of ours, the loop really sleeps now and
then, for as long as waking up takes.
"""

import asyncio
import time

ROOM_SECONDS = 0.0001
EVERY_SECONDS = 0.0005


class Room:
    """Counts what is under way in threads, and makes room on the loop as long as that is not zero."""

    def __init__(self) -> None:
        self._under_way = 0
        self._making = False

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something was handed to a thread. Call on the loop."""
        self._under_way += 1
        if not self._making:
            self._making = True
            loop.call_soon(self._make, loop)

    def leave(self) -> None:
        """It has come back. Call on the loop."""
        self._under_way -= 1

    def _make(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._under_way:
            time.sleep(ROOM_SECONDS)
            loop.call_later(EVERY_SECONDS, self._make, loop)
        else:
            self._making = False
