"""One stream's events onto one view's state: the pure part of projecting, of retrying a lane and of a dry run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import Divergence
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StreamChange
from eventkernel.runtime.failures import told
from eventkernel.view import View, changes

E = TypeVar("E")

Decode: TypeAlias = Callable[[RecordedEvent], E]


@dataclass(frozen=True, slots=True)
class Gap:
    """Versions after ``after`` and before ``before`` are missing among the events that were given."""

    stream: StreamId
    after: int
    before: int

    @property
    def missing(self) -> int:
        """How many."""
        return self.before - self.after - 1


@dataclass(frozen=True, slots=True)
class Folded:
    """How far a stream could be folded.

    ``step`` is None where nothing moved. ``rest`` begins with the event that failed with ``error``; it is empty where none
    did. ``repeated`` counts events that were known. With a ``gap`` the fold stopped before it.
    """

    step: StreamChange | None
    state: Any
    rest: Sequence[RecordedEvent] = ()
    error: str = ""
    repeated: int = 0
    gap: Gap | None = None


def fold_stream(
    view: View[Any, E],
    stream: StreamId,
    checkpoint: Checkpoint,
    before: Any,
    events: Sequence[RecordedEvent],
    *,
    decode: Decode[E],
) -> Folded:
    """Fold events, in version order and with repeats, onto the state ``before`` that belongs to the checkpoint."""
    state, version, event_id = before, checkpoint.version, checkpoint.event_id
    error, repeated = "", 0
    rest: Sequence[RecordedEvent] = ()
    gap: Gap | None = None
    for place, event in enumerate(events):
        if event.version <= version:
            if event.version == version and event.event_id != event_id:
                two = Divergence(stream.key, version=version, expected=str(event_id), actual=str(event.event_id))
                error, rest = str(two), events[place:]
                break
            repeated += 1
            continue
        if event.version > version + 1:
            gap = Gap(stream, version, event.version)
            rest = events[place:]
            break
        try:
            state = view.fold(state, decode(event), event)
        except Exception as failure:  # noqa: BLE001 - an event that cannot be read or folded is what a lane is for
            error, rest = told(failure, event), events[place:]
            break
        version, event_id = event.version, event.event_id
    step = None
    if version != checkpoint.version:
        moved = Checkpoint(version, event_id, view.codec.encode(state))
        step = StreamChange(stream, checkpoint.version, moved, changes(view, before, state))
    return Folded(step, state, rest, error, repeated, gap)


def in_order(events: Iterable[RecordedEvent]) -> list[RecordedEvent]:
    """By version, each event once. Two different events under one version both stay: the fold names them a divergence."""
    unique: dict[tuple[int, object], RecordedEvent] = {}
    for event in events:
        unique.setdefault((event.version, event.event_id), event)
    return sorted(unique.values(), key=lambda event: event.version)


def state_of(view: View[Any, Any], checkpoint: Checkpoint) -> Any:
    """The state kept with a checkpoint."""
    return view.initial if checkpoint.state is None else view.codec.decode(checkpoint.state)


Events: TypeAlias = Mapping[StreamId, Sequence[RecordedEvent]]
