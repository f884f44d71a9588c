"""Where in a stream a moment lies. No time of an event runs backwards within a stream, so what had happened is a prefix."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import EventStore
from eventkernel.ports.event_store import AFTER_ALL

WINDOW_EVENTS: Final = 64
"""Read in one piece at the end of a search, which spares its last steps."""


def until(moment: datetime, *, recorded: bool = False) -> Callable[[RecordedEvent], bool]:
    """Whether an event had happened at a moment of the effective (or, with ``recorded``, of the recorded) time, inclusive."""
    if recorded:
        return lambda event: event.meta.recorded_at <= moment
    return lambda event: event.meta.occurred_at <= moment


async def head_of(store: EventStore, stream: StreamId) -> int:
    """The stream's version without reading its events; 0 where there is none."""
    return (await store.load(stream, after=AFTER_ALL)).position.version


async def last_within(store: EventStore, stream: StreamId, within: Callable[[RecordedEvent], bool], head: int) -> int:
    """The version of the last event up to ``head`` that is within, 0 for none: those that are must be a prefix.

    It is searched for by halves: of a million events 14 are read, one by one, and then one window.
    """
    inside, outside = 0, head + 1
    while outside - inside > WINDOW_EVENTS:
        middle = (inside + outside) // 2
        found = (await store.load(stream, after=middle - 1, up_to=middle)).events
        if found and within(found[0]):
            inside = middle
        else:
            outside = middle
    window = (await store.load(stream, after=inside, up_to=outside - 1)).events if outside - inside > 1 else ()
    return inside + sum(map(within, window))
