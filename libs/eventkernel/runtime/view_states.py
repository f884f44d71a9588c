"""Decoded per-stream states of views, kept between batches.

An entry counts only if the checkpoint still has its event and its very bytes: a rebuild may have put another state there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StreamChange
from eventkernel.view import View


class ViewStates:
    """Least recently used states, at most ``states_max`` over all views."""

    def __init__(self, states_max: int) -> None:
        self._max = states_max
        self._kept: OrderedDict[tuple[str, StreamId], tuple[Any, Any]] = OrderedDict()

    def get(self, view: View[Any, Any], stream: StreamId, checkpoint: Checkpoint) -> Any:
        """The state at this checkpoint: kept, else decoded, else the view's initial one."""
        kept = self._kept.get((view.table, stream))
        if kept is not None and kept[0] == _mark(checkpoint):
            return kept[1]
        return view.initial if checkpoint.state is None else view.codec.decode(checkpoint.state)

    def keep(self, view: View[Any, Any], steps: Sequence[tuple[StreamChange, Any]]) -> None:
        """Keep the states of committed steps."""
        for step, state in steps:
            place = (view.table, step.stream)
            self._kept[place] = (_mark(step.checkpoint), state)
            self._kept.move_to_end(place)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


def _mark(checkpoint: Checkpoint) -> tuple[object, ...]:
    """Tells checkpoints apart without keeping their bytes."""
    return (checkpoint.version, checkpoint.event_id, hash(checkpoint.state))
