"""The overlay of a process: the bus followed beyond the views, the cache of rows, and who writes through it."""

from typing import TYPE_CHECKING

from bootstrap.metrics import CacheMetrics, Metrics, OverlayMetrics
from bootstrap.settings import Settings
from bootstrap.stores import TOPIC, Stores
from eventkernel.ports import EventStore
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay, OverlaySettings
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.runtime.row_cache import RowCache
from eventkernel.runtime.telling_event_store import TellingEventStore
from prescriptions.wire.events import decode_recorded

if TYPE_CHECKING:
    from prescriptions.domain.events import Event


class Overlays:
    """Made once for a process that serves queries. Roles that live with it write through its cache."""

    def __init__(self, settings: Settings, stores: Stores, metrics: Metrics, progress: ViewProgress) -> None:
        self.cache: RowCache[Event] = RowCache(decode_recorded, states_max=settings.row_cache_states_max)
        self.tail = OverlayTail(
            stores.tail,
            topic=TOPIC,
            group=settings.consumer_group,
            clock=stores.clock,
            settings=OverlayTailSettings(events_max=settings.overlay_events_max, bytes_max=settings.overlay_bytes_max),
        )
        self.overlay: Overlay[Event] = Overlay(
            stores.views,
            self.tail,
            stores.events,
            decode=decode_recorded,
            cache=self.cache,
            clock=stores.clock,
            progress=progress,
            settings=OverlaySettings(bus_seconds=settings.overlay_bus_seconds),
            observer=OverlayMetrics(metrics),
        )
        CacheMetrics(metrics, self.cache, self.tail)

    def told_by(self, events: EventStore) -> EventStore:
        """The event store for a command side that lives here."""
        return TellingEventStore(events, self.overlay.appended)
