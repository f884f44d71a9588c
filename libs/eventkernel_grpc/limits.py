"""Named limits on what may run at once."""

import asyncio

from eventkernel.errors import Overloaded


class ConcurrencyLimit:
    """At most ``at_most`` at a time; one more is refused at once, because a queue would only hide the overload.

    For one event loop; not thread-safe.
    """

    def __init__(self, name: str, at_most: int, *, retry_after_seconds: float = 0.1) -> None:
        if at_most < 1:
            raise ValueError(f"{name}: a limit of {at_most} lets nothing through")
        self.name = name
        self.at_most = at_most
        self.in_use = 0
        self._retry_after_seconds = retry_after_seconds
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Take a place, or raise ``Overloaded``."""
        if self.in_use >= self.at_most:
            raise Overloaded(self.name, at=self.at_most, retry_after_seconds=self._retry_after_seconds)
        self.in_use += 1
        if self.in_use == 1:
            self._idle.clear()

    def leave(self) -> None:
        """Give the place back."""
        self.in_use -= 1
        if self.in_use == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nobody holds a place."""
        await self._idle.wait()
