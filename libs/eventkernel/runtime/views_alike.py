"""Views that fold alike: folded once for all of them, before the store is asked.

What is folded ahead starts from where the streams are thought to stand. The store compares that with its checkpoints when it
saves (``ViewTransaction.advance``), so that a wrong thought costs time and nothing else.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, CheckpointMark, JointChange, StreamChange, mark_of
from eventkernel.runtime.stream_fold import Decode, Folded
from eventkernel.view import View, changes

Standing: TypeAlias = tuple[CheckpointMark, Any]
"""A checkpoint's mark, and the state that is kept with it."""

UNKNOWN = CheckpointMark(0, None, b"")
"""Where a stream stands of which nothing is folded."""

STREAMS_IN_TURN = 32
"""So many streams are folded until others have a turn of the event loop."""


@dataclass(frozen=True, slots=True)
class ViewsAlike:
    """They have fold, codec, initial state and categories in common, and differ in their rows. The first stands for all."""

    views: tuple[View[Any, Any], ...]

    @property
    def first(self) -> View[Any, Any]:
        """The one that is folded."""
        return self.views[0]


def alike(views: Sequence[View[Any, Any]]) -> tuple[ViewsAlike, ...]:
    """The views in groups. Folds, codecs and initial states are compared by identity."""
    found: dict[tuple[object, ...], list[View[Any, Any]]] = {}
    for view in views:
        found.setdefault((id(view.fold), id(view.codec), id(view.initial), view.categories), []).append(view)
    return tuple(ViewsAlike(tuple(group)) for group in found.values())


@dataclass(slots=True)
class FoldedGroup:
    """What became of one group: the change to save, where each stream stands after it, and how many events were known."""

    group: ViewsAlike
    change: JointChange
    reached: dict[StreamId, Standing] = field(default_factory=dict)
    repeated: int = 0


Fold: TypeAlias = Callable[..., Folded]
Known: TypeAlias = Callable[[View[Any, Any], StreamId], Standing | None]


async def fold_ahead(
    groups: Sequence[ViewsAlike],
    events: Mapping[StreamId, Sequence[RecordedEvent]],
    known: Known,
    *,
    fold: Fold,
    decode: Decode[Any],
) -> list[FoldedGroup] | None:
    """Fold events of streams whose standing is known, or that begin with these events; groups without any are left out.

    None if anything else is among them: a stream of unknown standing, a gap, an event that fails or one that changes nothing.
    These need the checkpoints themselves.
    """
    found = []
    for group in groups:
        first = group.first
        streams = sorted(stream for stream in events if stream.category in first.categories)
        standings = [(stream, _standing(first, stream, events[stream], known)) for stream in streams]
        if any(standing is None for _, standing in standings):
            return None
        steps: list[list[StreamChange]] = [[] for _ in group.views]
        before: dict[StreamId, CheckpointMark] = {}
        folded = FoldedGroup(group, JointChange(before, tuple(zip(group.views, steps, strict=True))))
        for turn, (stream, standing) in enumerate(standings):
            assert standing is not None
            mark, state = standing
            at = Checkpoint(mark.version, mark.event_id, None)
            one = fold(first, stream, at, state, events[stream], decode=decode)
            step = one.step
            if step is None or one.rest:
                return None
            before[stream] = mark
            steps[0].append(step)
            for view, others in zip(group.views[1:], steps[1:], strict=True):
                moved = changes(view, state, one.state)
                others.append(StreamChange(stream, step.from_version, step.checkpoint, moved))
            folded.reached[stream] = (mark_of(step.checkpoint), one.state)
            folded.repeated += one.repeated
            if turn % STREAMS_IN_TURN == STREAMS_IN_TURN - 1:
                await asyncio.sleep(0)
        if streams:
            found.append(folded)
    return found


def _standing(view: View[Any, Any], stream: StreamId, run: Sequence[RecordedEvent], known: Known) -> Standing | None:
    standing = known(view, stream)
    return (UNKNOWN, view.initial) if standing is None and run[0].version == 1 else standing
