"""Decoded per-stream states of views, kept between batches.

An entry counts only if the checkpoint still has its event and its very bytes: a rebuild may have put another state there.
Views that fold alike have one entry a stream.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StreamChange, mark_of
from eventkernel.runtime.views_alike import Standing, ViewsAlike
from eventkernel.view import View


class ViewStates:
    """Least recently used states, at most ``states_max``, where each counts for every view that shares it."""

    def __init__(self, states_max: int, groups: Sequence[ViewsAlike]) -> None:
        self._max = states_max // max((len(group.views) for group in groups), default=1)
        self._first = {view.table: group.first.table for group in groups for view in group.views}
        self._kept: OrderedDict[tuple[str, StreamId], Standing] = OrderedDict()

    def known(self, view: View[Any, Any], stream: StreamId) -> Standing | None:
        """Where the view and those like it stood last, as far as is known here."""
        return self._kept.get((view.table, stream))

    def get(self, view: View[Any, Any], stream: StreamId, checkpoint: Checkpoint) -> Any:
        """The state at this checkpoint: kept, else decoded, else the view's initial one."""
        kept = self._kept.get((self._first[view.table], stream))
        if kept is not None and kept[0].event_id == checkpoint.event_id and kept[0] == mark_of(checkpoint):
            return kept[1]
        return view.initial if checkpoint.state is None else view.codec.decode(checkpoint.state)

    def keep_steps(self, view: View[Any, Any], steps: Sequence[tuple[StreamChange, Any]]) -> None:
        """Keep the states of committed steps, if the view is the one that stands for those like it."""
        if self._first[view.table] == view.table:
            self.keep(view, {step.stream: (mark_of(step.checkpoint), state) for step, state in steps})

    def keep(self, view: View[Any, Any], standings: Mapping[StreamId, Standing]) -> None:
        """Keep where a view and those like it have come to."""
        table = view.table
        for stream, standing in standings.items():
            place = (table, stream)
            self._kept[place] = standing
            self._kept.move_to_end(place)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)

    def forget(self, view: View[Any, Any], streams: Iterable[StreamId]) -> None:
        """Where these stand is not known any more."""
        for stream in streams:
            self._kept.pop((view.table, stream), None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
