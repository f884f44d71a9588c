"""Ending what would never end by itself: open streams when the server stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventkernel_grpc.errors import ServerDraining


class Draining:
    """Knows the open streams of one server. For one event loop."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._open: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """End every open stream with ``ServerDraining``, and each that is opened from now on."""
        self.begun.set()
        now = asyncio.get_running_loop().time()
        for timeout in self._open:
            timeout.reschedule(now)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """The block ends with ``ServerDraining`` when the server begins to stop."""
        if self.begun.is_set():
            raise ServerDraining
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
