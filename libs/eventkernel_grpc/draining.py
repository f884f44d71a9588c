"""The first half of a stop: late calls are held and then refused as retriable, and open streams are ended.

grpc drops without a status what it has received and not yet handed over when it shuts down: under load nearly every caller
then sees CANCELLED, which nobody retries. So late calls are taken and held, until a moment passes without a new one; then
grpc shuts down, and only then they are answered UNAVAILABLE. Answered at once they would come back before grpc is closed
(figures in docs/decisions/0005-grpc-conventions.md).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from eventkernel_grpc.errors import ServerDraining


class Draining:
    """Knows the open streams of one server. For one event loop."""

    def __init__(self) -> None:
        self.begun = False
        self._late = 0
        self._closed = asyncio.Event()
        self._open: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """End every open stream with ``ServerDraining``, and each that is opened from now on."""
        self.begun = True
        now = asyncio.get_running_loop().time()
        for timeout in self._open:
            timeout.reschedule(now)

    async def refuse(self) -> NoReturn:
        """Hold a call that came too late until grpc takes no more, then raise ``ServerDraining``."""
        self._late += 1
        await self._closed.wait()
        raise ServerDraining

    def close(self) -> None:
        """Let the held calls go: grpc has begun to shut down."""
        self._closed.set()

    async def quiet(self, interval_seconds: float, intervals_max: int) -> None:
        """Return after an interval in which no late call came, or when there is no hope for one."""
        for _ in range(intervals_max):
            late = self._late
            await asyncio.sleep(interval_seconds)
            if late == self._late:
                return

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """The block ends with ``ServerDraining`` when the server begins to stop."""
        if self.begun:
            await self.refuse()
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
