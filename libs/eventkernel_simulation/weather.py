"""What goes wrong and how long things take: drawn from the seed, until it is calm."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eventkernel_simulation.loop import Process, SimulatedLoop

LONGEST_SECONDS = 6.0
"""Nothing that is late comes later than this."""
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Weather:
    """Faults by name, each with its rate. ``notes`` hears what happens, step by step, where somebody wants to read it."""

    def __init__(self, loop: SimulatedLoop, rates: Mapping[str, float], *, slow: float = 0.0) -> None:
        self.loop = loop
        self._rates = rates
        self._slow = slow
        self.random = loop.random
        self.calm = False
        self.tracing = False
        self.trace: list[str] = []

    def strikes(self, fault: str) -> bool:
        """Whether this fault strikes now."""
        rate = self._rates.get(fault)
        return rate is not None and not self.calm and self.random.random() < rate

    def one_of(self, faults: tuple[str, ...]) -> str | None:
        """Which of these strikes, if any does."""
        if not self.calm:
            chance = self.random.random()
            for fault in faults:
                chance -= self._rates.get(fault, 0.0)
                if chance < 0:
                    return fault
        return None

    def trip(self) -> float:
        """Seconds of one way through the network and the server behind it: mostly a millisecond, sometimes very long."""
        chance = self.random.random()
        if not self.calm and chance < self._slow:
            return 0.02 + 0.5 * self.random.random()
        return 0.0005 + 0.002 * chance

    def long(self) -> float:
        """Seconds after which something comes that nobody waits for any more."""
        seconds: float = 0.05 * (LONGEST_SECONDS / 0.05) ** self.random.random()
        return seconds

    def note(self, who: str, text: str) -> None:
        """Write down what happened; ask ``tracing`` before making the text."""
        self.trace.append(f"{self.loop.steps:>7} {self.loop.time():9.4f} {who:<12} {text}")


class SkewedClock:
    """``Clock`` of one process: the world's time, and how far its machine is off."""

    def __init__(self, loop: SimulatedLoop, process: Process) -> None:
        self._loop = loop
        self._process = process

    def now(self) -> datetime:
        """The time it shows."""
        return BEGINNING + timedelta(seconds=self._loop.time() + self._process.skew)

    async def sleep(self, seconds: float) -> None:
        """Wait on the loop, whose time is not skewed."""
        await asyncio.sleep(seconds)


if TYPE_CHECKING:
    from eventkernel.ports import Clock

    _: type[Clock] = SkewedClock
