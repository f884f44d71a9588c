"""The first half of a stop: new calls are refused so that callers retry elsewhere, and open streams are ended.

grpc drops without a status what it has received and not yet handed over when it shuts down: under load nearly every caller
then sees CANCELLED, which nobody retries. So calls are answered UNAVAILABLE until they have become rare, and only then does
grpc shut down (figures in docs/decisions/0005-grpc-conventions.md).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventkernel_grpc.errors import ServerDraining


class Draining:
    """Knows the open streams of one server. For one event loop."""

    def __init__(self) -> None:
        self.begun = False
        self._refused = 0
        self._open: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """End every open stream with ``ServerDraining``, and each that is opened from now on."""
        self.begun = True
        now = asyncio.get_running_loop().time()
        for timeout in self._open:
            timeout.reschedule(now)

    def check(self) -> None:
        """Raise ``ServerDraining`` where a call comes too late."""
        if self.begun:
            self._refused += 1
            raise ServerDraining

    async def quiet(self, interval_seconds: float, intervals_max: int) -> None:
        """Return after an interval in which no call was refused, or when there is no hope for one."""
        for _ in range(intervals_max):
            refused = self._refused
            await asyncio.sleep(interval_seconds)
            if refused == self._refused:
                return

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """The block ends with ``ServerDraining`` when the server begins to stop."""
        self.check()
        timeout = asyncio.timeout(None)
        try:
            async with timeout:
                self._open.add(timeout)
                yield
        except TimeoutError as error:
            if timeout.expired():
                raise ServerDraining from error
            raise
        finally:
            self._open.discard(timeout)
