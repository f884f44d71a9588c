"""The two clocks: the machine's, and one that moves only when it is told to."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING


class SystemClock:
    """The machine's clock and the event loop's sleep."""

    def now(self) -> datetime:
        """The machine's time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


class ManualClock:
    """Stands still until ``advance``; sleepers wake in the order of their times, each seeing its own time as now."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The time it was last moved to."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers one by one; those that fall asleep again on the way are woken too where it reaches.

        Other tasks run in any case, so that a test may move the clock until something has happened.
        """
        until = self._now + timedelta(seconds=seconds)
        await asyncio.sleep(0)
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._now = max(self._now, until)

    def set(self, moment: datetime) -> None:
        """Jump, in either direction, without waking anybody: machines' clocks do."""
        self._now = moment


if TYPE_CHECKING:
    from eventkernel.ports.clock import Clock

    _: tuple[type[Clock], type[Clock]] = (SystemClock, ManualClock)
