"""What one event does to the rows of a view, computed from the stream's own history: the unit that watchers and hooks look at.

A step does not depend on how far a projector is: the state before the event comes from memory, else from the journal. So
the same event gives the same step to whoever asks, also long after the view has moved on.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import Divergence, EventUnreadable
from eventkernel.filters import Filter, Row, matches
from eventkernel.ids import StreamId
from eventkernel.ports import EventStore
from eventkernel.runtime.stream_fold import Decode
from eventkernel.view import Change, Key, View, changes

_log = logging.getLogger(__name__)

E = TypeVar("E")

STATES_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Step:
    """One event and the rows it changed. ``changes`` is empty where the rows stayed as they were."""

    event: RecordedEvent
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """One row's change as somebody with a filter sees it.

    ``row`` is None where the row no longer matches; ``appeared`` says that it did not match before.
    """

    key: Key
    row: Row | None
    appeared: bool


def seen(where: Filter, step: Step) -> tuple[SeenRow, ...]:
    """What a filter lets through of a step: rows that match now, and rows that no longer do."""
    found = []
    for change in step.changes:
        before = change.before is not None and matches(where, change.before)
        if change.after is not None and matches(where, change.after):
            found.append(SeenRow(change.key, change.after, appeared=not before))
        elif before:
            found.append(SeenRow(change.key, None, appeared=False))
    return tuple(found)


class StepFolder(Generic[E]):
    """Turns events into steps of one view. Keeps the newest state of the streams met last."""

    def __init__(
        self, view: View[Any, E], journal: EventStore, decode: Decode[E], *, states_max: int = STATES_MAX
    ) -> None:
        self.view = view
        self._journal = journal
        self._decode = decode
        self._max = states_max
        self._kept: OrderedDict[StreamId, tuple[int, Any]] = OrderedDict()

    def apart(self, *, states_max: int) -> "StepFolder[E]":
        """Another folder of the same view, whose states are its own: for steps of another time."""
        return StepFolder(self.view, self._journal, self._decode, states_max=states_max)

    async def step(self, event: RecordedEvent) -> Step | None:
        """The step of an event; None where the view has nothing to do with the stream, or cannot fold it.

        What cannot be folded here is parked by the view's projector, too: its rows stand still until it is repaired.
        """
        if event.stream.category not in self.view.categories:
            return None
        try:
            before = await self.state_at(event.stream, event.version - 1)
            after = self._folded(before, event)
            step = Step(event, changes(self.view, before, after))
        except (EventUnreadable, Divergence) as error:
            _log.warning("%s version %d changes no rows: %s", event.stream.key, event.version, error)
            return None
        self._keep(event.stream, event.version, after)
        return step

    async def state_at(self, stream: StreamId, version: int) -> Any:
        """The view's state of a stream at a version. Raises ``EventUnreadable``; ``Divergence`` where the journal lacks it."""
        known, state = self._kept.get(stream, (0, self.view.initial))
        if known > version:
            known, state = 0, self.view.initial
        if known == version:
            return state
        loaded = (await self._journal.load(stream, after=known, up_to=version)).events
        if len(loaded) != version - known:
            raise Divergence(
                stream.key,
                version=version,
                expected=f"{version - known} events",
                actual=f"{len(loaded)} in the journal",
            )
        for event in loaded:
            state = self._folded(state, event)
        return state

    def _folded(self, state: Any, event: RecordedEvent) -> Any:
        try:
            return self.view.fold(state, self._decode(event), event)
        except EventUnreadable:
            raise
        except Exception as error:
            # One stream's history that breaks the fold holds up its own stream and nobody else.
            raise EventUnreadable(f"{event.stream.key} version {event.version}: fold failed: {error!r}") from error

    def _keep(self, stream: StreamId, version: int, state: Any) -> None:
        self._kept[stream] = (version, state)
        self._kept.move_to_end(stream)
        if len(self._kept) > self._max:
            self._kept.popitem(last=False)
