"""Known mistakes, each put back on purpose, so that the simulation can show that it finds them.

They live here and in no setting of the program: a mutation is handed to a world, or patches a function while a schedule runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, OutboxRun
from eventkernel.runtime import projector as projecting
from eventkernel.runtime.projector import Projector, events_by_stream, next_offsets
from eventkernel.runtime.relay import Relay
from eventkernel.runtime.stream_fold import Decode, Folded, fold_stream
from eventkernel.view import View
from eventkernel_cassandra.buckets import Statics
from eventkernel_cassandra.generations import Judge, Meaning, judge


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake: what it is, and what it takes the place of."""

    name: str
    says: str
    judge: Judge | None = None
    driver_retries: bool = False
    relay: type[Relay] | None = None
    projector: type[Projector[Any]] | None = None
    periodic_commit_log: bool = False
    fold: Callable[..., Folded] | None = None
    unheeded_audit: bool = False


def _delete_when_nothing_is_pending(found: Statics, generation: int) -> Meaning:
    return Meaning.STALE if found.head == found.published else judge(found, generation)


class _CursorFirst(Relay):
    """Moves the cursors, then publishes."""

    async def _publish(self, runs: Sequence[OutboxRun]) -> int:
        self._cursors.add(runs)
        cursors, self._cursors = self._cursors, _Nowhere()  # type: ignore[assignment]  # it is asked for nothing else
        try:
            return await super()._publish(runs)
        finally:
            self._cursors = cursors


class _Nowhere:
    def add(self, runs: Sequence[OutboxRun]) -> None:
        """They are on their way already."""


class _OffsetFirst(Projector[Any]):
    """Commits the offsets, then folds."""

    async def run_once(self) -> int:
        records = await self._subscription.poll(self._settings.records_max, self._settings.poll_seconds)
        if records:
            self._folded_at = self._clock.now()
            await self._subscription.commit(next_offsets(records))
            await self.apply(events_by_stream(records, self._broken))
        return len(records)


def _fold_everything(
    view: View[Any, Any],
    stream: StreamId,
    checkpoint: Checkpoint,
    before: Any,
    events: Sequence[RecordedEvent],
    *,
    decode: Decode[Any],
) -> Folded:
    """Folds what it is given, whatever the checkpoint has already."""
    again = [event for event in events if event.version <= checkpoint.version]
    if not again:
        return fold_stream(view, stream, checkpoint, before, events, decode=decode)
    behind = replace(checkpoint, version=again[0].version - 1)
    folded = fold_stream(view, stream, behind, before, events, decode=decode)
    if folded.step is None:
        return folded
    at = folded.step.checkpoint
    kept = at if at.version > checkpoint.version else replace(checkpoint, state=at.state)
    return replace(folded, step=replace(folded.step, from_version=checkpoint.version, checkpoint=kept))


MUTATIONS: Final = {
    mutation.name: mutation
    for mutation in (
        Mutation(
            "naive-hint-delete",
            "a relay deletes a pending row because nothing is pending",
            judge=_delete_when_nothing_is_pending,
        ),
        Mutation(
            "default-retry-policy",
            "the driver sends a conditional write to the next host after a lost connection",
            driver_retries=True,
        ),
        Mutation(
            "cursor-before-acknowledgement",
            "a relay moves its cursor before the bus has acknowledged",
            relay=_CursorFirst,
        ),
        Mutation(
            "offset-before-commit",
            "a projector commits its offsets before its rows",
            projector=_OffsetFirst,
        ),
        Mutation(
            "periodic-commit-log",
            "the store acknowledges what it has not synced, and loses it in a crash",
            periodic_commit_log=True,
        ),
        Mutation(
            "no-version-guard",
            "a view folds every record it gets, known or not",
            fold=_fold_everything,
        ),
        Mutation(
            "unheeded-audit",
            "the topic loses what it acknowledged, and nobody publishes it again",
            unheeded_audit=True,
        ),
    )
}


_FOLD = "fold_stream"
"""The name that the projector calls."""


@contextmanager
def in_force(mutation: Mutation | None) -> Iterator[None]:
    """Put the mutation's function in the place of the right one, for the time of the block."""
    if mutation is None or mutation.fold is None:
        yield
        return
    right = getattr(projecting, _FOLD)
    setattr(projecting, _FOLD, mutation.fold)
    try:
        yield
    finally:
        setattr(projecting, _FOLD, right)
