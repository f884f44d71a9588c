"""Time as an argument."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The server's time, UTC. It may jump; nothing of correctness rests on it."""

    def now(self) -> datetime:
        """Aware UTC datetime with microseconds."""

    async def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock returns when its scheduler reaches that time."""
