"""States of streams in views at a version, kept in memory: written through by the projector and by the command side.

What is kept is true for ever, since a version of a stream never changes; a reader only asks whether it is new enough. So
flushing it, or losing any part of it at any moment, costs time and changes no answer. The exception are corrections, made when
people mend a view: their stamp lies in the store, and a view's states from before it are forgotten (``corrected``).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.ports import StreamChange
from eventkernel.runtime.stream_fold import Decode
from eventkernel.view import Key, View

E = TypeVar("E")
EVENTS_OF_STREAM_MAX = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stream stands in a view: its state after ``version``, whose event has this id (None: nothing folded)."""

    version: int
    event_id: UUID | None
    state: Any


class RowCache(Generic[E]):
    """Least recently used, at most ``states_max`` states over all views and the newest events of ``streams_max`` streams.

    ``hits`` and ``misses`` count the questions that it could and could not answer with what was asked for.
    """

    def __init__(self, decode: Decode[E], *, states_max: int = 50_000, streams_max: int = 10_000) -> None:
        self._decode = decode
        self._states_max = states_max
        self._streams_max = streams_max
        self._states: OrderedDict[tuple[str, StreamId], Standing] = OrderedDict()
        self._events: OrderedDict[StreamId, dict[int, RecordedEvent]] = OrderedDict()
        self._corrections: dict[str, int] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._states)

    def find(self, view: View[Any, E], stream: StreamId, at_least: int) -> Standing | None:
        """The newest standing known, if it has this version at least."""
        kept = self._newest(view, stream)
        if kept is None or kept.version < at_least:
            self.misses += 1
            return None
        self.hits += 1
        return kept

    def rows(self, view: View[Any, E], stream: StreamId, at_least: int) -> Mapping[Key, Row] | None:
        """The rows of a stream by key, as of this version at least; None where that is not known."""
        kept = self.find(view, stream, at_least)
        return None if kept is None else view.contribution(kept.state)

    def keep(self, view: View[Any, E], stream: StreamId, standing: Standing) -> None:
        """Keep a standing, unless a newer one is known."""
        place = (view.table, stream)
        known = self._states.get(place)
        if known is None or known.version < standing.version:
            self._states[place] = standing
        self._states.move_to_end(place)
        while len(self._states) > self._states_max:
            self._states.popitem(last=False)

    def corrected(self, view: View[Any, E], stamp: int) -> None:
        """A reader saw this stamp of corrections: if it is new, what is kept of the view goes."""
        if stamp > self._corrections.get(view.base, 0):
            self._corrections[view.base] = stamp
            for place in [place for place in self._states if place[0] == view.table]:
                del self._states[place]

    def projected(self, view: View[Any, E], steps: Sequence[tuple[StreamChange, Any]]) -> None:
        """Committed steps of a projector of this process, each with the state it led to."""
        for step, state in steps:
            self.keep(view, step.stream, Standing(step.checkpoint.version, step.checkpoint.event_id, state))

    def appended(self, events: Iterable[RecordedEvent]) -> None:
        """Events that the command side of this process has stored; they are folded when somebody asks."""
        for event in events:
            newest = self._events.setdefault(event.stream, {})
            newest[event.version] = event
            if len(newest) > EVENTS_OF_STREAM_MAX:
                del newest[min(newest)]
            self._events.move_to_end(event.stream)
        while len(self._events) > self._streams_max:
            self._events.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._events.clear()

    def _newest(self, view: View[Any, E], stream: StreamId) -> Standing | None:
        kept = self._states.get((view.table, stream))
        events = self._events.get(stream)
        if not events:
            return kept
        after = advanced(view, kept or Standing(0, None, view.initial), _run(events, kept), self._decode)
        if after.version == 0:
            return None
        if after is not kept:
            self.keep(view, stream, after)
        return after


def _run(events: Mapping[int, RecordedEvent], kept: Standing | None) -> list[RecordedEvent]:
    version = 0 if kept is None else kept.version
    run = []
    while (event := events.get(version + 1)) is not None:
        run.append(event)
        version += 1
    return run


def advanced(view: View[Any, E], standing: Standing, run: Iterable[RecordedEvent], decode: Decode[E]) -> Standing:
    """The standing after events that follow it one by one. It ends before one that the view cannot fold: that one is the
    projector's to park, and a reader sees what is before it.
    """
    version, event_id, state = standing.version, standing.event_id, standing.state
    for event in run:
        try:
            state = view.fold(state, decode(event), event)
        except Exception:  # noqa: BLE001 - as in ``fold_stream``: whatever a fold raises is a matter of that event
            break
        version, event_id = event.version, event.event_id
    return standing if version == standing.version else Standing(version, event_id, state)
