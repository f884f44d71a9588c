"""Views folded as a projector folds them, without one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pytest

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.view import Key, TableKind, View, changes
from eventkernel.view_sums import added, deltas, sum_columns
from prescriptions.testing.recorded import recorded, stream_of
from prescriptions.testing.stories import Story
from prescriptions.wire.events import PrescriptionEventCodec

Rows: TypeAlias = Mapping[Key, Row]
_CODEC = PrescriptionEventCodec()


class Folded:
    """One view's table, and the states of its streams; rows change by contributions alone, old out, new in."""

    def __init__(self, view: View[Any, Any]) -> None:
        self.view = view
        self.rows: dict[Key, Row] = {}
        self.states: dict[StreamId, Any] = {}

    def apply(self, events: Iterable[RecordedEvent], *, step: int = 1, keep: bool = True) -> "Folded":
        """Fold events, ``step`` of one stream at once; without ``keep`` every state goes through its stored bytes."""
        pending: dict[StreamId, list[RecordedEvent]] = {}
        for event in events:
            waiting = pending.setdefault(event.stream, [])
            waiting.append(event)
            if len(waiting) == step:
                self._fold(event.stream, pending.pop(event.stream), keep=keep)
        for stream, waiting in pending.items():
            self._fold(stream, waiting, keep=keep)
        return self

    def remove(self, stream: StreamId) -> None:
        """Take out all that a stream contributes."""
        self._move(stream, self.states.pop(stream), self.view.initial)

    def _fold(self, stream: StreamId, events: list[RecordedEvent], *, keep: bool) -> None:
        before = state = self.states.get(stream, self.view.initial)
        for event in events:
            state = self.view.fold(state, _CODEC.decode(event.type, event.schema_version, event.data), event)
        self._move(stream, before, state)
        self.states[stream] = state if keep else self.view.codec.decode(bytes(self.view.codec.encode(state)))

    def _move(self, stream: StreamId, before: Any, after: Any) -> None:
        moved = changes(self.view, before, after)
        if self.view.kind is TableKind.OWNED:
            for change in moved:
                if change.after is None:
                    self.rows.pop(change.key, None)
                else:
                    self.rows[change.key] = change.after
            return
        names = sum_columns(self.view)
        for (_, key), delta in deltas(self.view, ((stream.tenant, change) for change in moved)).items():
            known = self.rows.get(key)
            sums = delta if known is None else added(tuple(known[name] for name in names), delta)
            if any(sums):
                self.rows[key] = dict(zip(self.view.key, key, strict=True)) | dict(zip(names, sums, strict=True))
            else:
                self.rows.pop(key, None)


Fold: TypeAlias = Callable[..., Folded]


@pytest.fixture(scope="session")
def fold() -> Fold:
    """Fold stories, numbered from 1, into a view."""

    def folded(view: View[Any, Any], *stories: Story) -> Folded:
        table = Folded(view)
        for number, story in enumerate(stories, 1):
            table.apply(recorded(story, stream_of(number)))
        return table

    return folded


@pytest.fixture(scope="session")
def empty() -> type[Folded]:
    """A table to fold into by hand."""
    return Folded
