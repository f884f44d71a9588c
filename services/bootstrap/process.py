"""What the roles of one process share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bootstrap.metrics import Metrics
from bootstrap.overlays import Overlays
from bootstrap.settings import Settings
from bootstrap.stores import Stores
from eventkernel.ids import StreamId
from eventkernel.runtime.consistency import ViewProgress


@dataclass(slots=True)
class Process:
    """What the roles of one process share. ``pokes`` and ``progress`` connect roles that happen to live together."""

    settings: Settings
    stores: Stores
    metrics: Metrics
    failed: asyncio.Event
    said: Callable[[str], None]
    pokes: list[Callable[[StreamId], None]] = field(default_factory=list)
    rebuild_pokes: list[Callable[[], None]] = field(default_factory=list)
    progress: ViewProgress = field(default_factory=ViewProgress)
    overlays: Overlays | None = None

    def overlaying(self) -> Overlays:
        """The overlay of this process, made when it is first asked for."""
        if self.overlays is None:
            self.overlays = Overlays(self.settings, self.stores, self.metrics, self.progress)
        return self.overlays

    def poke(self, stream: StreamId) -> None:
        """Tell a relay of this process that there is something to publish."""
        for poke in self.pokes:
            poke(stream)
